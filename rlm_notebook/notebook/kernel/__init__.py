"""The kernel: its event loop, its messages, and the session of the extension."""
