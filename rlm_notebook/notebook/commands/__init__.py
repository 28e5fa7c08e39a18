"""The commands of a `%rlm` line."""
