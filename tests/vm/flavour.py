# SPDX-License-Identifier: GPL-2.0-or-later
"""Which kernel the guests of tests/vm run, and what it may say.

With TMEM_TEST_KERNEL=debug it is the one with the kernel's own checks (KASAN, lockdep, sleeping in
atomic context), which is several times slower. `make test-debug` runs with it, in smaller sizes,
the modules that are made for it: those that take memory and sizes from here.
"""

import os
import re
from collections.abc import Callable
from typing import TypeVar

_CHOSEN = os.environ.get("TMEM_TEST_KERNEL", "")
if _CHOSEN not in {"", "debug"}:
    raise ValueError(f"TMEM_TEST_KERNEL={_CHOSEN}: there is only debug")
DEBUG = _CHOSEN == "debug"
_DEBUG_TAKES_MIB = 80

# A guest's processor may stand still for long where other work, or a disk, holds up its host: that
# is no complaint about the guest's kernel. What never goes on fails by the limits of the tests.
KERNEL_ARGUMENTS = "rcupdate.rcu_cpu_stall_timeout=120"

# Every report of the kernel's checks that is no WARNING or BUG comes with a trace. Of the setting
# above it says so when it boots.
_COMPLAINT = re.compile(
    r"WARNING|\bBUG\b|Oops|Call Trace|(?<!rcu_cpu_)stall(?! warnings timeout)|lockup|I/O error"
    r"|blocked for more|memory corruption"
)

Size = TypeVar("Size")


def sized(usual: Size, debug: Size) -> Size:
    """`debug` on the debug kernel."""
    return debug if DEBUG else usual


def memory_mib(usual: int) -> int:
    """The memory of a guest that has as much to use as one of `usual` on the usual kernel."""
    return usual + sized(0, _DEBUG_TAKES_MIB + usual // 8)


def assert_no_complaints(said: str) -> None:
    """`said`: the log of a kernel to which nothing may be wrong."""
    found = _COMPLAINT.search(said)
    assert found is None, said[max(0, found.start() - 500) : found.start() + 8000]


def assert_kernel_is_well(shell: Callable[[str], str]) -> None:
    """Whether the kernel of a guest, in which `shell` runs scripts, has complained of nothing; and
    the debug kernel has checked its locks to the end."""
    assert_no_complaints(shell("dmesg"))
    if DEBUG:
        # lockdep ends with its first complaint, whoever has caused it
        assert shell("sed -n 's/ *debug_locks: *//p' /proc/lockdep_stats").strip() == "1"
