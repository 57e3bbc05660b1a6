# SPDX-License-Identifier: GPL-2.0-or-later
"""What a trace of operations tells (docs/trace.md)."""

from tmem_host.trace.reuse import Distances
from tmem_host.trace.stats import Stats, measure

__all__ = ["Distances", "Stats", "measure"]
