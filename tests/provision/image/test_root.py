# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian root of images: what is in it, and what becomes of one that cannot be finished."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.provision.image.conftest import contents, listing, works_in
from tmem_host.provision import ProvisionError
from tmem_host.provision.image import Image, ImageCache, build
from tmem_host.provision.image import root as root_module
from tmem_host.provision.kernel import Kernel
from tmem_host.provision.paths import source_root


def test_what_is_in_it(guest_image: Image, kernel: Kernel) -> None:
    found = listing(guest_image.path)
    for path in (
        "/usr/sbin/tmem-init -> /tmem/init",
        "/usr/bin/tmem-guest -> /tmem/bin/tmem-guest",
        "/usr/lib/python3/dist-packages/tmem_guest -> /tmem/python/tmem_guest",
        "/usr/lib/python3/dist-packages/tmem_shim -> /tmem/python/tmem_shim",
        "/usr/lib/modules -> /tmem/modules",
        f"/tmem/modules/{kernel.version}/modules.dep",
        "/usr/bin/fio",
        "/usr/bin/python3.11",
        "/usr/sbin/mkfs.ocfs2",
        "/usr/sbin/mount.ocfs2",
    ):
        assert path in found
    assert not any("tmem_host" in path or "_engine" in path for path in found)
    # started from compiled files, if those of this Python are any use there
    if sys.implementation.cache_tag == "cpython-311":
        assert "/tmem/python/tmem_guest/agent/__pycache__/server.cpython-311.pyc" in found


def test_nothing_of_the_machine_that_made_it_is_in_it(guest_image: Image) -> None:
    found = listing(guest_image.path)
    assert "/etc/resolv.conf" not in found
    assert not any("/etc/apt/sources" in path and path.endswith(".list") for path in found)
    assert contents(guest_image.path, "etc/hostname") == "guest\n"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unattended: None) -> Path:
    """Where temporary files go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    # mmdebstrap's own users must come through
    tmp_path.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def test_a_package_that_there_is_not(cache: ImageCache, sources: Path, temporary: Path) -> None:
    with open(sources / "vm-configs/image/packages.txt", "a") as file:
        file.write("tmem-there-is-no-such-package\n")
    with pytest.raises(ProvisionError, match=r"Debian root: Unable to locate package tmem-there"):
        build(kernels=[])
    assert cache.images() == []
    assert list((cache.roots.root / "building").iterdir()) == []
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "moment"), [(signal.SIGINT, "25 %"), (signal.SIGTERM, "50 %")], ids=str
)
def test_stopped(
    number: signal.Signals,
    moment: str,
    cache: ImageCache,
    make_kernel: Callable[[str], Kernel],
    temporary: Path,
) -> None:
    make_kernel("5.10.1")
    command = [sys.executable, "-c", "from tmem_host.cli import main; exit(main())"]
    with subprocess.Popen(
        [*command, "image", "build"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said: list[str] = []
        while not said or moment not in said[-1]:
            said.append(process.stderr.readline())
            assert said[-1], said
        process.send_signal(number)
        rest = process.stderr.read().splitlines()
    assert (process.returncode, rest[-1]) == (130, "tmem: interrupted")
    assert not works_in(temporary)
    assert list(temporary.iterdir()) == []
    assert list((cache.roots.root / "building").iterdir()) == []
    assert cache.roots.find(root_module.key(source_root() / "vm-configs/image")) is None


def test_an_ordinary_user_without_a_range_of_ids(
    cache: ImageCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    with pytest.raises(ProvisionError, match=r"nobody has no range of ids in /etc/subuid; .*root"):
        build(kernels=[])
    assert cache.images() == []
