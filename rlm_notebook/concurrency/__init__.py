"""Threads, event loops, time limits and cancellation; independent of runs."""
