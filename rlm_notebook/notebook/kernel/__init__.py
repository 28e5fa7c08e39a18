"""The kernel that the notebook runs in: its event loop, its messages, its session."""
