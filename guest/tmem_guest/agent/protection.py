# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent answers also when the guest is short of memory, or its swap does not."""

import ctypes
import os

_SCORE = "/proc/self/oom_score_adj"
_NEVER_KILL = "-1000"
# MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT: what was touched once stays.
_LOCK_ALL_TOUCHED = 1 | 2 | 4

_score_before: str | None = None


def protect() -> None:
    """Keeps this process from being swapped out, or killed for lack of memory.

    For a whole process, not for a thread of one that does other things. OSError if not allowed.
    """
    global _score_before  # noqa: PLW0603 - a property of the process
    with open(_SCORE) as score:
        before = score.read().strip()
    with open(_SCORE, "w") as score:
        score.write(_NEVER_KILL)
    _score_before = before
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_LOCK_ALL_TOUCHED) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def active() -> bool:
    """Whether children have something to undo()."""
    return _score_before is not None


def undo() -> None:
    """In a child: what protects the agent is not for what it runs. (Locks are not inherited.)"""
    with open(_SCORE, "w") as score:
        score.write(_score_before or "0")
