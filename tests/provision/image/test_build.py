# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes into an image, and when one is built anew."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.provision.image.conftest import MODULES, contents, listing
from tmem_host.provision import ProvisionError
from tmem_host.provision.image import (
    ImageCache,
    build,
    build_for,
    image_cache,
    is_current,
    project,
)
from tmem_host.provision.image import root as root_module
from tmem_host.provision.image.cache import Root
from tmem_host.provision.kernel import Kernel
from tmem_host.provision.paths import source_root

MakeKernel = Callable[[str], Kernel]
Without = Callable[..., None]


def _nothing_is_left(cache: ImageCache) -> None:
    assert cache.images() == []
    building = cache.root / "building"
    assert not building.exists() or list(building.iterdir()) == []


def test_an_image(tiny_root: Root, make_kernel: MakeKernel) -> None:
    image = build(kernels=[make_kernel("5.10.2"), make_kernel("5.10.1")])
    found = listing(image.path)
    # what the root had, and below /tmem what the project adds
    assert contents(image.path, "etc/hostname") == "tiny\n"
    for file in project.files(source_root()):
        assert f"/tmem/{file.target}" in found
        mode = "-rwxr-xr-x" if os.access(file.source, os.X_OK) else "-rw-r--r--"
        assert found[f"/tmem/{file.target}"].startswith(mode)
    for version in ("5.10.1", "5.10.2"):
        folder = f"tmem/modules/{version}"
        assert contents(image.path, f"{folder}/module.txt") == f"a module of {version}"
        # the project's own, where modprobe finds them
        for name in MODULES:
            assert f"/{folder}/extra/{name}.ko" in found
            assert f"extra/{name}.ko:" in contents(image.path, f"{folder}/modules.dep")
    assert image.kernels == ("5.10.1", "5.10.2")
    assert {attributes.split()[1] for attributes in found.values()} == {"0/0"}
    assert {"/tmem/overlay", "/tmem/root"} <= set(found)


def test_no_engine_is_in_it(tiny_root: Root, make_kernel: MakeKernel) -> None:
    image = build(kernels=[make_kernel("5.10.1")])
    packages = {path.split("/")[3] for path in listing(image.path) if path.count("/") > 2}
    python = {path.split("/")[3] for path in listing(image.path) if "/tmem/python/" in path}
    assert python == {"tmem_guest", "tmem_shim"}
    assert not any("tmem_host" in name for name in packages)
    assert not any("_engine" in path for path in listing(image.path))


def test_it_is_built_once(tiny_root: Root, make_kernel: MakeKernel) -> None:
    first, second = make_kernel("5.10.1"), make_kernel("5.10.2")
    image = build(kernels=[first, second])
    changed = image.path.stat().st_mtime_ns
    assert build(kernels=[second, first, second]) == image
    assert image.path.stat().st_mtime_ns == changed
    assert build(kernels=[first]).hash != image.hash


def test_kernels_that_are_up_to_date_share_one(
    tiny_root: Root, make_kernel: MakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, current, other, _ = (make_kernel(f"5.10.{n}") for n in range(1, 5))
    now = {current.hash, other.hash, "not built"}
    monkeypatch.setattr(sys.modules[build.__module__], "current_hashes", lambda _: now)
    # what is out of date may not even be one that modules can be built for
    assert build_for(own).kernels == ("5.10.1", "5.10.2", "5.10.3")
    assert build_for(current) == build_for(other)
    assert build_for(current).kernels == ("5.10.2", "5.10.3")


@pytest.mark.parametrize(
    "changed",
    [
        "guest/tmem_guest/agent/loop.py",
        "shim/tmem_shim/agent_protocol.py",
        "vm-configs/image/tmem/init",
        "vm-configs/image/tmem/bin/links",
        "c/kmod/Kbuild",
        "c/shim/put.c",
    ],
)
def test_a_change_is_another_image_of_the_same_root(
    tiny_root: Root, sources: Path, make_kernel: MakeKernel, changed: str
) -> None:
    kernel = make_kernel("5.10.1")
    before = build(kernels=[kernel])
    with open(sources / changed, "a") as file:
        file.write("# changed\n")
    assert not is_current(before)
    after = build(kernels=[kernel])
    assert (after.hash != before.hash, after.root) == (True, before.root)
    assert is_current(after)
    # undone, it is the first one again
    shutil.copyfile(source_root() / changed, sources / changed)
    assert build(kernels=[kernel]) == before


def test_what_is_no_part_of_it_changes_nothing(
    tiny_root: Root, sources: Path, make_kernel: MakeKernel
) -> None:
    kernel = make_kernel("5.10.1")
    before = build(kernels=[kernel])
    (sources / "guest/tmem_guest/__pycache__").mkdir()
    (sources / "guest/tmem_guest/__pycache__/cli.pyc").touch()
    (sources / "shim/tmem_shim/_shim.pyi").touch()
    (sources / "c/shim/user/pump.c").touch()
    (sources / "c/kmod/tmem.mod.c").touch()
    (sources / "c/engine/reclaim.c").write_text("another")
    assert build(kernels=[kernel]) == before


def test_the_shims_extension_is_in_it_once_it_is_built(
    tiny_root: Root, sources: Path, make_kernel: MakeKernel
) -> None:
    (sources / "shim/tmem_shim/_new.abi3.so").write_text("machine code")
    image = build(kernels=[make_kernel("5.10.1")])
    assert contents(image.path, "tmem/python/tmem_shim/_new.abi3.so") == "machine code"


@pytest.mark.parametrize("part", ["packages.txt", "dpkg.txt", "customize"])
def test_another_debian_is_another_root(cache: ImageCache, sources: Path, part: str) -> None:
    folder = sources / "vm-configs/image"
    before = root_module.key(folder)
    with open(folder / part, "a") as file:
        file.write("# a comment\n")
    same = root_module.key(folder)
    # a comment in a script might be none
    assert (same == before) == (part != "customize")
    with open(folder / part, "a") as file:
        file.write("another\n")
    assert root_module.key(folder) != same


def test_a_kernel_without_modules(
    tiny_root: Root, make_kernel: MakeKernel, cache: ImageCache
) -> None:
    kernel = make_kernel("5.10.1")
    (kernel.modules / "lib/modules/5.10.1/modules.dep").unlink()
    with pytest.raises(ProvisionError, match=r"5\.10\.1 has no modules .*tmem kernel clean"):
        build(kernels=[kernel])
    _nothing_is_left(cache)


def test_no_tools(tiny_root: Root, cache: ImageCache, without: Without) -> None:
    without("mksquashfs")
    with pytest.raises(ProvisionError, match=r"mksquashfs is missing.* install squashfs-tools"):
        build(kernels=[])
    _nothing_is_left(cache)


def test_no_tools_for_the_root(cache: ImageCache, without: Without) -> None:
    without("mmdebstrap", "mksquashfs")
    missing = r"mmdebstrap, mksquashfs are missing.* install mmdebstrap squashfs-tools"
    with pytest.raises(ProvisionError, match=missing):
        build(kernels=[])
    _nothing_is_left(cache)


def test_no_space(tiny_root: Root, cache: ImageCache, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(cache.root)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ProvisionError, match=r"building an image needs 0\.5 GiB in .*0\.0 GiB"):
        build(kernels=[])
    _nothing_is_left(cache)


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A disk of a few megabytes, which nobody asks for its space beforehand."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let root mount")
    monkeypatch.setattr(sys.modules[build.__module__], "need_space", lambda *_: None)
    return folder


def test_space_that_runs_out(
    small_disk: Path, tiny_root: Root, cache: ImageCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small_disk / "kvm-tmem").mkdir()
    shutil.copytree(cache.roots.root, small_disk / "kvm-tmem/image/roots")
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk))
    filler = small_disk / "filler"
    try:
        for left_bytes in (0, 16 << 10, 64 << 10, 256 << 10):
            filler.unlink(missing_ok=True)
            filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - left_bytes))
            with pytest.raises(ProvisionError, match=r"^cannot (build|make) .*[Nn]o space left"):
                build(kernels=[])
            _nothing_is_left(image_cache())
        filler.unlink()
        assert build(kernels=[]) in image_cache().images()
    finally:
        subprocess.run(["umount", str(small_disk)], check=True)
