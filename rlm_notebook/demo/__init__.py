"""The demonstration: a guide to read, and the quickstart notebook that summarises it."""
