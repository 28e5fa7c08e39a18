"""Runs a server's program, and ends it with all that it started when the process that wanted it is gone.

A script of its own, without this package: `python guard.py PARENT PROGRAM ARGUMENT...`, as the leader of a process
group. A server ends when its input does; one that hangs does not notice, and a killed kernel cannot stop it.
"""

import os
import signal
import subprocess
import sys
import threading
import time

__all__: list[str] = []

#: Seconds between two looks, and until a server whose input has ended is killed.
INTERVAL = 0.5
PATIENCE = 2.0


def watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(INTERVAL)
    time.sleep(PATIENCE)
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    try:
        server = subprocess.Popen(command)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127
    # The group is asked to end with SIGTERM, and this process has to see the server end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The server alone holds its input and output, so that each of them ends with it.
    for stream in (0, 1):
        os.close(stream)
    threading.Thread(target=watch, args=(parent,), daemon=True).start()
    code = server.wait()
    # What the server started and left behind.
    os.killpg(0, signal.SIGTERM)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    code = main()
    os._exit(code)
