"""One run and its parts: events, records of earlier executions, admission of calls, control, start and end."""
