"""Run a command and write what it took: ``launcher.py RESULT STDOUT STDERR -- COMMAND …``.

A process of its own, because Linux starts a child's peak memory at what its parent held; this one
is small. Only the standard library; CPU and memory are of the command and all that it waited for
(memory: of the largest of them).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Run, wait, write."""
    result, stdout, stderr, _, *command = sys.argv[1:]
    with Path(stdout).open("wb") as out, Path(stderr).open("wb") as err:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    taken = {
        "seconds": seconds,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
        "code": process.returncode,
    }
    Path(result).write_text(json.dumps(taken))


if __name__ == "__main__":
    main()
