# SPDX-License-Identifier: GPL-2.0-or-later
"""One experiment at a time: two would measure each other. What a killed one left is removed by the
next."""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tmem_host.experiment.errors import ExperimentError
from tmem_host.experiment.service import PrivateService
from tmem_host.provision.paths import cache_directory
from tmem_host.provision.progress import Progress

# On a disk, since guests' disks are read past the page cache; short, for the sockets below it.
_PARENT = Path("/var/tmp")
_PREFIX = "tmem-x-"
_ARENA_BYTES = 16 << 20


@contextmanager
def only_one(progress: Progress) -> Iterator[Path]:
    """A new, empty directory for an experiment, while no other of this user runs.

    ExperimentError, which names the other one's process, if there is one. Whoever enters has the
    VMs of an experiment that was killed removed first. The directory is gone at the end.
    """
    path = cache_directory() / "experiment.lock"
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(path.open("a+"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExperimentError(_in_the_way(path)) from None
        except OSError as error:
            raise ExperimentError(f"cannot lock {path}: {error.strerror}") from error
        _remove_left(path, progress)
        state = _new_state(path)
        try:
            yield state
        finally:
            with suppress(OSError):
                state.rmdir()
            # what is left there is not there any more
            with suppress(OSError):
                path.write_text("")


def _new_state(lock: Path) -> Path:
    try:
        state = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_PARENT))
    except OSError as error:
        raise ExperimentError(
            f"cannot make a directory for the experiment in {_PARENT}: {error.strerror}"
        ) from error
    try:
        lock.write_text(json.dumps({"pid": os.getpid(), "state": str(state)}))
    except OSError as error:
        state.rmdir()
        raise ExperimentError(f"cannot write {lock}: {error.strerror}") from error
    return state


def _remove_left(path: Path, progress: Progress) -> None:
    state = _read(path).get("state")
    if not isinstance(state, str):
        return
    left = Path(state)
    if left.parent == _PARENT and left.name.startswith(_PREFIX) and left.is_dir():
        progress.note("removing what a killed experiment left")
        with PrivateService(left, arena_bytes=_ARENA_BYTES):
            pass


def _in_the_way(path: Path) -> str:
    return (
        f"another experiment runs, in process {_read(path).get('pid', 'unknown')}, and two at once"
        " would measure each other; wait until it is done, or end it"
    )


def _read(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
