# SPDX-License-Identifier: GPL-2.0-or-later
"""How a command that has to clean up is stopped."""

import signal
from types import FrameType


def sigterm_interrupts() -> None:
    """From now on SIGTERM ends this command as Ctrl-C does: what it began is undone first."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
