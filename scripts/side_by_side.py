#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs commands of the shell at the same time: `side_by_side.py COMMAND...`.

What the first says is passed on line by line; what each other says, in one piece when it has ended,
between two lines of the first. The exit status is 1 if one has failed.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO


def side_by_side(commands: Sequence[str], out: IO[str]) -> bool:
    """Whether all have succeeded. An interrupt is theirs as well as ours: it ends when they do."""
    shown = threading.Lock()
    processes = [
        subprocess.Popen(
            command,
            shell=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        for command in commands
    ]

    def show(text: str) -> None:
        with shown:
            out.write(text)
            out.flush()

    def pass_on(process: "subprocess.Popen[str]", whole: bool) -> None:
        assert process.stdout is not None
        if whole:
            show(process.stdout.read())
        else:
            for line in process.stdout:
                show(line)

    threads = [
        threading.Thread(target=pass_on, args=(process, number > 0))
        for number, process in enumerate(processes)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failed = [
        command for command, process in zip(commands, processes, strict=True) if process.wait() != 0
    ]
    for command in failed:
        show(f"failed: {command}\n")
    return not failed


if __name__ == "__main__":
    signal.signal(signal.SIGINT, lambda *_: None)
    sys.exit(0 if side_by_side(sys.argv[1:], sys.stdout) else 1)
