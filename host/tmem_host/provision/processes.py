# SPDX-License-Identifier: GPL-2.0-or-later
"""Running the programs that do the work, and saying which ones are missing."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from tmem_host.provision.errors import ProvisionError

_PATIENCE_SECONDS = 10.0


def require(packages: Mapping[str, str]) -> None:
    """Checks that each program is there; `packages` says which Debian package has it.

    ProvisionError names what is missing and the command that installs it.
    """
    missing = {program: name for program, name in packages.items() if not shutil.which(program)}
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise ProvisionError(
            f"{', '.join(missing)} {verb} missing; run as root:"
            f" apt-get install {' '.join(sorted(set(missing.values())))}"
        )


def output_of(
    arguments: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Runs a program to its end and returns what it printed.

    ProvisionError with the last line of its complaint if it fails.
    """
    done = subprocess.run(
        list(map(str, arguments)),
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        why = said[-1] if said else f"exit status {done.returncode}"
        raise ProvisionError(f"{arguments[0]} failed: {why}")
    return done.stdout


def watch(
    arguments: Sequence[str],
    each_line: Callable[[str], None],
    *,
    cwd: Path,
    env: Mapping[str, str],
    complaints: IO[str] | int,
) -> int:
    """Runs a program, calls `each_line` for what it prints, and returns its exit status.

    The standard error goes to `complaints`, which may be subprocess.STDOUT. The program and all of
    its children are in a session of their own: they end when this function is left by an exception
    (Ctrl-C reaches Python alone), and the program ends when this process is killed.
    """
    child = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", *arguments],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=complaints,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        assert child.stdout is not None
        with child.stdout:
            for line in child.stdout:
                each_line(line.rstrip("\n"))
        return child.wait()
    except BaseException:
        _end_session(child)
        raise


def _end_session(child: "subprocess.Popen[str]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            break
        try:
            child.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    child.wait()
