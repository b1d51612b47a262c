"""Forks, for scripts that do nothing else: a process with threads must not."""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Callable

Results = dict[str, str]
SECONDS = 60.0  # that the child may take


def in_both_processes(work: Callable[[str], Results]) -> Results:
    """Fork, do ``work("parent")`` and ``work("child")`` at the same time, and return both results.

    Under the key "child" there is the error that ended it, and nothing of it where it hangs.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            results = work("child")
        except BaseException as error:
            results = {"child": f"{type(error).__name__}: {error}"}
        os.write(writing, json.dumps(results).encode())
        os._exit(0)
    os.close(writing)
    try:
        results = work("parent")
        if select.select([reading], [], [], SECONDS)[0]:
            results |= json.loads(os.read(reading, 1024 * 1024))
    finally:
        os.kill(child, signal.SIGKILL)  # ended already, or it hangs
        os.waitpid(child, 0)
    return results
