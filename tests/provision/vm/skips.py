# SPDX-License-Identifier: GPL-2.0-or-later
"""What some machines lack."""

import importlib.util
import shutil

import pytest


def needs_libvirt() -> None:
    """Skips without libvirt-python."""
    if importlib.util.find_spec("libvirtmod") is None:
        pytest.skip("libvirt-python is not installed: make setup")


def needs_qemu() -> None:
    """Skips without QEMU."""
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86 is not installed: make setup")
