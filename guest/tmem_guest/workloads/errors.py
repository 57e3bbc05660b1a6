# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong in a workload."""


class WorkloadError(Exception):
    """A workload cannot go on. The text is one sentence."""


class WrongBytes(WorkloadError):
    """Something was given back that was not put there."""
