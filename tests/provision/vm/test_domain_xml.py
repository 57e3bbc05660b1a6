# SPDX-License-Identifier: GPL-2.0-or-later
"""Domain XML: golden files, libvirt's schema, and text that wants to be markup.

TMEM_REGENERATE=1 writes the golden files anew; look at the difference before committing it.
"""

import dataclasses
import os
import re
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tmem_host.provision.vm import domain_xml as module
from tmem_host.provision.vm.domain_xml import Link, domain_xml
from tmem_host.provision.vm.errors import BadName, BadSetting, VmError
from tmem_host.provision.vm.places import VmPlaces
from tmem_host.provision.vm.settings import Compression, TmemSettings
from tmem_host.provision.vm.spec import (
    IO_PROFILES,
    Accelerator,
    Cache,
    Cluster,
    Disk,
    DiskFormat,
    VmSpec,
)

GOLDEN = Path(__file__).parent / "golden"
SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")
PLACES = VmPlaces(Path("/state/vms/guest"), Path("/state/run/guest"))
ID = UUID("0d2a3c1e-7f55-4f39-8a3b-2c9f5d1e6b70")
SHARED = UUID("6d1e7b0a-4f0c-4d0e-9d57-3c2b1a0f9e8d")

SMALL = VmSpec(name="guest", kernel=Path("/k/bzImage"), initrd=Path("/k/initrd"))
LARGE = VmSpec(
    name="guest",
    kernel=Path("/k/bzImage"),
    base=Path("/i/base.squashfs"),
    memory_mib=512,
    vcpus=2,
    accelerator=Accelerator.KVM,
    disks=(
        Disk(name="data", size_bytes=1 << 20, io=IO_PROFILES["contended"], cache=Cache.NONE),
        Disk(name="more", size_bytes=1 << 20, format=DiskFormat.QCOW2),
        Disk(name="cluster", path=Path("/d/shared"), shared=True, cache=Cache.NONE),
    ),
    networks=("lan",),
    ports=("bench",),
    modules=("ocfs2", "ocfs2_stack_o2cb"),
    cluster=Cluster(name="tmem", dead_after_beats=31, disk="cluster", nodes=2),
    tmem=True,
    kernel_arguments="loglevel=7",
    settings=TmemSettings(
        weight=100,
        cap_bytes=64 << 20,
        compression=Compression.ZSTD,
        shared=frozenset({SHARED}),
    ),
)
LINK = Link(group="239.1.2.3", port=20001, mac="52:54:00:03:00:01", address="10.77.0.1/24")


@pytest.fixture(autouse=True)
def _emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "emulator", lambda: "/usr/bin/qemu-system-x86_64")


def check_schema(xml: str) -> None:
    """Fails unless libvirt's schema allows it."""
    if not SCHEMA.exists():
        pytest.skip("libvirt's schemas are not installed: make setup")
    schema = etree.RelaxNG(etree.parse(SCHEMA))
    schema.assertValid(etree.fromstring(xml.encode()))


@pytest.mark.parametrize(
    ("name", "xml"),
    [
        ("small", lambda: domain_xml(SMALL, PLACES, ID)),
        ("large", lambda: domain_xml(LARGE, PLACES, ID, [LINK])),
        ("system", lambda: domain_xml(SMALL, PLACES, ID, keep_labels=True)),
    ],
)
def test_golden(name: str, xml: "type[str]") -> None:
    made = xml()
    check_schema(made)
    path = GOLDEN / f"{name}.xml"
    if os.environ.get("TMEM_REGENERATE"):
        path.write_text(made)
    assert made == path.read_text()


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
def test_text_stays_text(text: str) -> None:
    spec = VmSpec(name="guest", kernel=Path("/k/b'<>&\"${name}"), kernel_arguments=f"x={text}")
    # XML has no room for these at all
    if any(ord(c) in (0xFFFE, 0xFFFF) for c in text):
        return
    root = ElementTree.fromstring(domain_xml(spec, PLACES, ID))
    assert root.findtext("os/kernel") == "/k/b'<>&\"${name}"
    assert (root.findtext("os/cmdline") or "").endswith(f"x={text}")


def test_a_guest_without_image_has_no_disks() -> None:
    root = ElementTree.fromstring(domain_xml(SMALL, PLACES, ID))
    assert root.findall("devices/disk") == []


def test_each_device_has_a_place_of_its_own() -> None:
    disks = tuple(Disk(name=f"d{number}", size_bytes=512) for number in range(14))
    ports = tuple(f"p{number}" for number in range(5))
    most = dataclasses.replace(LARGE, disks=disks, ports=ports, cluster=None)
    root = ElementTree.fromstring(domain_xml(most, PLACES, ID, [LINK] * 8))
    slots = [int(each.get("slot", ""), 16) for each in root.iterfind(".//address[@type='pci']")]
    words = [each.get("value", "") for each in root.iterfind("{*}commandline/{*}arg")]
    networks = [found[1] for word in words if (found := re.search(r"addr=0x18\.(\d)", word))]
    assert len(slots) == len(set(slots)) == 4 + 2 + 14 + 5
    # the last one is the machine's own
    assert max(slots) < 0x1F
    assert 0x18 not in slots
    assert networks == list("01234567")


@pytest.mark.parametrize(
    ("spec", "links"),
    [
        (LARGE, 9),
        (dataclasses.replace(LARGE, ports=tuple("abcdef")), 1),
        (
            dataclasses.replace(
                LARGE,
                disks=tuple(Disk(name=f"d{number}", size_bytes=512) for number in range(15)),
                cluster=None,
            ),
            1,
        ),
    ],
)
def test_too_many(spec: VmSpec, links: int) -> None:
    with pytest.raises(VmError, match="too many"):
        domain_xml(spec, PLACES, ID, [LINK] * links)


def test_no_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(VmError, match="apt-get install qemu-system-x86"):
        domain_xml(SMALL, PLACES, ID)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a.b", "ä", "a" * 33, "a/b", "a\n"])
def test_bad_names(name: str) -> None:
    with pytest.raises(BadName, match="cannot be the name of a VM"):
        VmSpec(name=name, kernel=Path("/k"))


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Disk(name="d"), "needs either a size or a file"),
        (lambda: Disk(name="d", size_bytes=1, path=Path("/f")), "needs either"),
        (lambda: Disk(name="d", size_bytes=1), "multiple of 512"),
        (lambda: Disk(name="d", size_bytes=512, shared=True, cache=Cache.NONE), "only as a raw"),
        (lambda: Disk(name="d", path=Path("/f"), shared=True), "only as a raw file, uncached"),
        (lambda: VmSpec(name="a", kernel=Path("/k"), memory_mib=8), "too few"),
        (lambda: VmSpec(name="a", kernel=Path("/k"), vcpus=0), "at least one"),
        (
            lambda: VmSpec(name="a", kernel=Path("/k"), tmem=True),
            "cannot use tmem without an image",
        ),
        (
            lambda: VmSpec(name="a", kernel=Path("/k"), disks=LARGE.disks, cluster=LARGE.cluster),
            "needs a network and a shared disk",
        ),
        (
            lambda: VmSpec(
                name="a",
                kernel=Path("/k"),
                disks=LARGE.disks[:2],
                networks=("lan",),
                cluster=LARGE.cluster,
            ),
            "needs a network and a shared disk",
        ),
        (lambda: TmemSettings(weight=-1), "between 0 and"),
    ],
)
def test_bad_settings(make: "type[object]", complaint: str) -> None:
    with pytest.raises(BadSetting, match=complaint):
        make()


def test_bad_port_names() -> None:
    with pytest.raises(BadName, match="cannot be the name of a port"):
        VmSpec(name="a", kernel=Path("/k"), ports=("a.b",))
    with pytest.raises(BadName, match="two ports"):
        VmSpec(name="a", kernel=Path("/k"), ports=("b", "b"))


def test_bad_disk_names() -> None:
    for name in ("base", "overlay", "a" * 21):
        with pytest.raises(BadName):
            Disk(name=name, size_bytes=512)
