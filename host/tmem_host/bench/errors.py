# SPDX-License-Identifier: GPL-2.0-or-later
"""What keeps a benchmark from running."""


class BenchError(Exception):
    """The benchmark cannot run here; the message is one sentence for the operator."""
