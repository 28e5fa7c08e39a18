"""Wrappers: each makes a `Model` out of a `Model` and adds one concern. Any of them, in any order."""
