"""The command `rlm-notebook`."""
