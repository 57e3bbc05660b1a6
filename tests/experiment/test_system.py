# SPDX-License-Identifier: GPL-2.0-or-later
"""What an experiment lacks is said at once, before anything is built."""

import shutil
from pathlib import Path

import pytest

from tmem_host.experiment import system
from tmem_host.experiment.errors import ExperimentError
from tmem_host.experiment.settings import Settings, parse
from tmem_host.experiment.system import check_host
from tmem_host.provision.vm.errors import VmError

MIB = 1 << 20


def settings(text: str) -> Settings:
    return parse(text, Path("own.toml"))


def test_a_host_that_lacks_nothing(tmp_path: Path) -> None:
    check_host(settings('guests = 1\narena = "16MiB"\n[data]\nsize = "1MiB"'), tmp_path)


@pytest.mark.parametrize(
    ("tool", "package"),
    [
        ("mkfs.ocfs2", "ocfs2-tools"),
        ("mkfs.ext4", "e2fsprogs"),
        ("blkid", "util-linux"),
        ("setpriv", "util-linux"),
        ("qemu-system-x86_64", "qemu-system-x86"),
    ],
)
def test_a_tool_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str, package: str
) -> None:
    which = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, **options: None if name == tool else which(name, **options)
    )
    with pytest.raises((ExperimentError, VmError)) as caught:
        check_host(settings(""), tmp_path)
    assert str(caught.value) == f"{tool} is not installed; run: apt-get install {package}"


def test_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "mem_available_bytes", lambda: 700 * MIB)
    wanted = settings('guests = 2\nmemory = ["100MiB", "200MiB"]\narena = "45MiB"')
    with pytest.raises(ExperimentError, match="may need 701 MiB, and 700 MiB are available"):
        check_host(wanted, tmp_path)


@pytest.mark.parametrize(
    ("text", "what", "mib"),
    [
        ('arena = "64MiB"', "the arena", 64),
        ('guests = 2\n[data]\nsize = "10MiB"', "the guests' disks", 2 * 256 + 30),
        (
            'workload = "memory"\narms = ["none"]\n[load]\npeak = "1MiB"\nswap = "7MiB"',
            "the guests' disks",
            2 * (256 + 7),
        ),
        ('workload = "build"\nguests = 1\narms = ["none"]', "the guests' disks", 256 + 3 * 512),
    ],
)
def test_no_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, what: str, mib: int
) -> None:
    """One byte less than is needed there, and more than enough everywhere else."""
    place = Path("/dev/shm") if what == "the arena" else tmp_path
    usage = shutil.disk_usage(tmp_path)
    free = {place: mib * MIB}

    def disk_usage(path: Path) -> object:
        return usage._replace(free=free.get(path, 1 << 50))

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    monkeypatch.setattr(system, "mem_available_bytes", lambda: 1 << 50)
    check_host(settings(text), tmp_path)
    free[place] -= 1
    with pytest.raises(ExperimentError, match=f"no space: {what} may need {mib} MiB in {place}"):
        check_host(settings(text), tmp_path)
