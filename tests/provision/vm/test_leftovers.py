# SPDX-License-Identifier: GPL-2.0-or-later
"""What a killed libvirt has forgotten goes, what a running domain has stays. (That libvirt forgets
it, tests/vm/test_cleaning.py shows.)"""

from pathlib import Path

import pytest

from tmem_host.provision.vm.errors import VmError
from tmem_host.provision.vm.leftovers import remove_leftovers
from tmem_host.provision.vm.places import Places, places_at

STATUS = "<domstatus state='running' pid='7'><domain type='qemu' id='{}'/></domstatus>\n"
FOLDERS = (
    "lib/qemu/domain-{}-{}",
    "lib/qemu/channel/target/domain-{}-{}",
    "lib/qemu/ram/{}-{}",
)


@pytest.fixture
def places(state: Path) -> Places:
    """A root in which the domain 12, `runs`, has a status file, and 1 and 2 have none."""
    found = places_at(state)
    (found.embed / "run/qemu").mkdir(parents=True)
    (found.embed / "run/qemu/runs.xml").write_text(STATUS.format(12))
    for number, name in ((12, "runs"), (1, "gone"), (2, "runs")):
        for path in folders(found, number, name):
            path.mkdir(parents=True)
            (path / "monitor.sock").touch()
    return found


def folders(places: Places, number: int, name: str) -> list[Path]:
    return [places.embed / folder.format(number, name) for folder in FOLDERS]


def test_folders_of_domains_that_do_not_run(places: Places) -> None:
    kept = places.embed / "lib/qemu/save"
    kept.mkdir()
    remove_leftovers(places)
    assert all(path.is_dir() for path in folders(places, 12, "runs"))
    assert not any(path.exists() for path in folders(places, 1, "gone"))
    # that of another life
    assert not any(path.exists() for path in folders(places, 2, "runs"))
    assert kept.is_dir()


@pytest.mark.parametrize("text", ["", "<domstatus/>", "<domstatus><domain/></domstatus>"])
def test_nothing_goes_when_it_cannot_be_told_what_runs(places: Places, text: str) -> None:
    (places.embed / "run/qemu/other.xml").write_text(text)
    remove_leftovers(places)
    assert all(path.is_dir() for path in folders(places, 1, "gone"))


def test_files_that_were_half_written(places: Places) -> None:
    written = [places.embed / folder / "half.xml.new" for folder in ("etc/qemu", "run/qemu")]
    for path in written:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    remove_leftovers(places)
    assert not any(path.exists() for path in written)
    assert (places.embed / "run/qemu/runs.xml").exists()


def test_what_cannot_be_removed_is_said(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", refused)
        with pytest.raises(VmError, match=r"cannot remove .*/domain-1-gone: Permission denied"):
            remove_leftovers(places)
