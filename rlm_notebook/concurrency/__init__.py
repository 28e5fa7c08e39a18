"""Threads, loops and cancellation; knows nothing of runs."""
