# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests of provisioning share: a machine that lacks something, and the emulator."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes programs vanish from PATH."""

    def remove(*names: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for directory in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
            for path in Path(directory).iterdir():
                if path.name not in names and not (folder / path.name).exists():
                    (folder / path.name).symlink_to(path)
        monkeypatch.setenv("PATH", str(folder))

    return remove


@pytest.fixture(scope="session")
def qemu() -> str:
    """The emulator."""
    path = shutil.which("qemu-system-x86_64")
    if path is None:
        pytest.skip("no qemu-system-x86_64; apt-get install qemu-system-x86")
    return path
