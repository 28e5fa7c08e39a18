"""How tests start a process that they interrupt."""

import signal

__all__ = ["interruptible"]


def interruptible() -> None:
    """For `preexec_fn`: undo that a process in the background, as the tests may be, ignores interrupts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
