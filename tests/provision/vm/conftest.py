# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests of VMs without guests share: places, and libvirt's test driver."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provision.vm.skips import needs_libvirt


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory whose path is short enough for sockets; gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="tmem-", dir="/tmp"))
    monkeypatch.setenv("TMEM_VM_STATE", str(directory))
    monkeypatch.delenv("LIBVIRT_DEFAULT_URI", raising=False)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(autouse=True)
def _libvirt() -> None:
    needs_libvirt()
