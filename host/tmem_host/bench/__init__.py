# SPDX-License-Identifier: GPL-2.0-or-later
"""Benchmarks: what is measured, against what, and whether it is good enough.

The work is done by C programs (c/bench); here they are given their data and their figures are
made into a document. docs/performance.md says what each figure is.
"""

from tmem_host.bench.errors import BenchError
from tmem_host.bench.run import ENGINE, SERVICE, Benchmark, Settings, run

__all__ = ["ENGINE", "SERVICE", "BenchError", "Benchmark", "Settings", "run"]
