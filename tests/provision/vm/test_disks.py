# SPDX-License-Identifier: GPL-2.0-or-later
"""Files behind disks."""

import json
import subprocess
from pathlib import Path

import pytest

from tmem_host.provision.vm import disks as module
from tmem_host.provision.vm.disks import check_file, make_disks
from tmem_host.provision.vm.errors import NoSpace, VmError
from tmem_host.provision.vm.places import VmPlaces
from tmem_host.provision.vm.spec import Cache, Disk, DiskFormat, VmSpec


@pytest.fixture
def places(state: Path) -> VmPlaces:
    return VmPlaces(state, state)


def spec(*disks: Disk, base: Path | None = None, overlay_bytes: int = 16 << 20) -> VmSpec:
    return VmSpec(name="a", kernel=Path("/k"), base=base, overlay_bytes=overlay_bytes, disks=disks)


def test_private_disks_are_made_sparse(places: VmPlaces) -> None:
    make_disks(
        spec(
            Disk(name="r", size_bytes=1 << 20),
            Disk(name="q", size_bytes=2 << 20, format=DiskFormat.QCOW2),
        ),
        places,
    )
    raw = places.disk("r", "raw").stat()
    assert (raw.st_size, raw.st_blocks) == (1 << 20, 0)
    described = subprocess.run(
        ["qemu-img", "info", "--output=json", places.disk("q", "qcow2")],
        capture_output=True,
        check=True,
    )
    info = json.loads(described.stdout)
    assert (info["format"], info["virtual-size"]) == ("qcow2", 2 << 20)


def test_the_overlay_is_an_ext4(places: VmPlaces, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.touch()
    make_disks(spec(base=base), places)
    # the magic number of its superblock
    assert places.overlay.read_bytes()[1024 + 56 : 1024 + 58] == b"\x53\xef"
    assert places.overlay.stat().st_size == 16 << 20


def test_no_space(places: VmPlaces) -> None:
    with pytest.raises(NoSpace, match=r"no space: .* MiB free .* smaller disks"):
        make_disks(spec(Disk(name="d", size_bytes=1 << 60)), places)
    assert not places.disk("d", "raw").exists()


def test_files_that_are_not_there(places: VmPlaces, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(VmError, match=r"cannot open the disk .*missing: No such file"):
        make_disks(spec(Disk(name="d", path=missing)), places)
    with pytest.raises(VmError, match=r"cannot open the disk .*missing: No such file"):
        make_disks(spec(base=missing), places)


def test_a_file_system_without_direct_io_says_so() -> None:
    # files of proc cannot be read past the page cache, as those of many an old tmpfs
    with pytest.raises(VmError, match="O_DIRECT"):
        check_file(Path("/proc/self/status"), uncached=True)


def test_a_shared_disk_is_checked_for_direct_io(
    places: VmPlaces, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(
        module, "check_file", lambda _path, *, uncached=False: seen.append(uncached)
    )
    make_disks(spec(Disk(name="d", path=tmp_path, shared=True, cache=Cache.NONE)), places)
    assert seen == [True]


def test_missing_programs_name_their_package(
    places: VmPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(VmError, match="apt-get install qemu-utils"):
        make_disks(spec(Disk(name="q", size_bytes=512, format=DiskFormat.QCOW2)), places)


def test_a_program_that_fails_says_why(places: VmPlaces, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.touch()
    with pytest.raises(VmError, match=r"mkfs\.ext4 failed: .*"):
        make_disks(spec(base=base, overlay_bytes=4096), places)
