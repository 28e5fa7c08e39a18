"""Where the code of models runs: one protocol (`port`), an implementation per kind of confinement."""
