"""Observers of a run's events: text and rich progress, logging, tracing."""
