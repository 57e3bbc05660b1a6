# SPDX-License-Identifier: GPL-2.0-or-later
"""The same hosts as those of the shim's tests."""

from tests.shim.conftest import make_host

__all__ = ["make_host"]
