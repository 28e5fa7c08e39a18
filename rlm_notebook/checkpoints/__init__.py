"""Implementations of the `Journal` port: a JSON file with its journal, or memory."""
