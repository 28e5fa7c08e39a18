"""Who listens to the log: each is told every event and shows or keeps it in its own way."""
