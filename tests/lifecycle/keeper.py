"""Starts processes in its own session and kills all of that session once its standard input closes.

The tests hold the other end of that pipe, so nothing outlives them, however they end. An order is a
line of JSON: command, env and the file for its output; the response is the pid.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

import psutil


def main() -> None:
    children = []
    for line in sys.stdin:
        order = json.loads(line)
        with open(order["log"], "ab") as log:
            children.append(
                subprocess.Popen(
                    order["command"],
                    env=order["env"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    process_group=0,
                )
            )
        print(children[-1].pid, flush=True)
        for child in children:
            child.poll()  # the tests kill some; none shall stay a zombie
    while others := [process for process in psutil.process_iter(["status"]) if _is_mine(process)]:
        for process in others:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        psutil.wait_procs(others, timeout=1)


def _is_mine(process: psutil.Process) -> bool:
    try:
        return (
            process.pid != os.getpid()
            and process.status() != psutil.STATUS_ZOMBIE
            and os.getsid(process.pid) == os.getpid()
        )
    except (OSError, psutil.Error):
        return False


if __name__ == "__main__":
    main()
