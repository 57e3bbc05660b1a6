# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem vm and tmem doctor: one sentence for what is wrong; arguments mean what they say."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.provision.vm.skips import needs_qemu
from tmem_host.cli import main, parser
from tmem_host.cli.vm_arguments import disk, settings, specs
from tmem_host.provision import doctor
from tmem_host.provision.doctor import Finding, Health
from tmem_host.provision.progress import Silent
from tmem_host.provision.vm.errors import BadName, BadSetting
from tmem_host.provision.vm.places import places_at
from tmem_host.provision.vm.settings import Compression, TmemSettings
from tmem_host.provision.vm.spec import Cache, DiskFormat, IoProfile

# Any file: what these commands are about fails before QEMU looks at it.
GUEST = ("--kernel", "/etc/hostname", "--initrd", "/etc/hostname", "--tcg")
# Verbs that need libvirt run against its test driver, which any process may open at any time.
TEST = ("-c", "test:///default")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("create", "Bad_Name", *GUEST), "'Bad_Name' cannot be the name of a VM"),
        (("create", "a", "a", *GUEST), "the same name twice"),
        (("create", "test", *TEST, *GUEST), "there is a VM test already; run: tmem vm destroy"),
        (("create", "a", *TEST, *GUEST, "--disk", "d:size=1024TiB"), "no space: "),
        (("create", "a", *TEST, *GUEST, "--disk", "d:file=/none"), "cannot open the disk /none"),
        (("create", "a", *TEST, *GUEST, "--network", "_"), "'_' cannot be the name of a network"),
        (("create", "a", *TEST, *GUEST, "--compression", "lzo"), "'lzo' is none of"),
        (("create", "a", *TEST, *GUEST, "--share", "x"), "'x' is not a uuid"),
        (("create", "a", *TEST, *GUEST, "--memory", "1MiB"), "1 MiB are too few"),
        (("create", "a", *TEST, *GUEST, "--memory", "64001KiB"), "whole number of MiB"),
        (("info", "nobody", *TEST), "there is no VM nobody; see: tmem vm list"),
        (("start", "nobody", *TEST), "there is no VM nobody"),
        (("start", "test", *TEST), "the VM test is running already"),
        (("stop", *TEST), "say which VMs"),
        (("stop", "--all", "a", *TEST), "say which VMs"),
        (("destroy", "nobody", *TEST), "there is no VM nobody"),
        (("save", "test", "/none/x", *TEST), "nobody can tell whether swap pages of it"),
        (("managedsave", "test", *TEST), "nobody can tell"),
        (("snapshot", "test", "s", *TEST), "cannot snapshot test: nobody can tell"),
        (("migrate", "test", "qemu+ssh://b/system", *TEST), "cannot migrate test: nobody can tell"),
        (("restore", "/none/x", *TEST), "cannot restore /none/x: "),
        (("exec", "nobody", "true"), "there is no VM nobody"),
        (("console", "nobody"), "there is no VM nobody"),
        (("exec", "../x", "true"), "'../x' cannot be the name"),
        (("cp", "a", "b"), "one of the two must be in a guest"),
        (("cp", "a:/x", "b:/x"), "one of the two must be in a guest"),
        (("cp", "a:x", "b"), "the path of a guest begins with /"),
        (("cp", "nobody:/x", "b"), "there is no VM nobody"),
        (("list", "-c", "qemu:///nonsense"), "cannot connect to qemu:///nonsense"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    words: tuple[str, ...], complaint: str, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["vm", *words]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tmem: ")
    assert err.count("\n") == 1
    assert complaint in err
    assert not list(state.glob("vms/*"))


def test_a_vm_that_does_not_run(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = places_at(state).vm("a").files
    files.mkdir(parents=True)
    for words in (("exec", "a", "true"), ("console", "a"), ("cp", "a:/x", str(state / "x"))):
        assert main(["vm", *words]) == 1
        assert "the VM a is not running; run: tmem vm start a" in capsys.readouterr().err
    # a panic is told, without the escape sequences that a guest may put beside it
    (files / "serial.log").write_bytes(b"Linux version 5.10\n\x1b[2JKernel panic - \x07why\r\n")
    assert main(["vm", "exec", "a", "true"]) == 1
    assert "its guest panicked (Kernel panic -  why)" in capsys.readouterr().err


def test_disks() -> None:
    plain = disk("data:size=1GiB")
    assert (plain.name, plain.size_bytes, plain.format) == ("data", 1 << 30, DiskFormat.RAW)
    assert disk("d:size=1MiB,profile=contended").io == IoProfile(
        iops=200, bytes_per_second=30_000_000
    )
    assert disk("d:size=1MiB,iops=5,bps=1MiB").io == IoProfile(iops=5, bytes_per_second=1 << 20)
    shared = disk("d:file=/f,shared")
    assert (shared.path, shared.shared, shared.cache) == (Path("/f"), True, Cache.NONE)
    assert disk("d:size=1MiB,format=qcow2").format is DiskFormat.QCOW2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("d", "needs either a size or a file"),
        ("d:size=1XB", "'1XB' is not a size"),
        ("d:size=1MiB,colour=red", "unknown property 'colour'"),
        ("d:size", "'size' that is not KEY=VALUE"),
        ("d:file=/f,shared=yes", "'shared=yes' that is not KEY=VALUE"),
        ("d:size=1MiB,format=vmdk", "'vmdk' is none of raw, qcow2"),
        ("d:size=1MiB,profile=slow", "'slow' is none of native, contended"),
        ("d:file=/f,shared,cache=writeback", "only as a raw file, uncached"),
    ],
)
def test_bad_disks(text: str, complaint: str) -> None:
    with pytest.raises(BadSetting, match=complaint):
        disk(text)


def test_bad_disk_name() -> None:
    with pytest.raises(BadName):
        disk(":size=1MiB")


@pytest.mark.parametrize(
    ("words", "uses_tmem"),
    [
        (("--image", "/i"), True),
        (("--image", "/i", "--no-tmem"), False),
        # without the image nobody attaches its kernel
        (("--initrd", "/i"), False),
    ],
)
def test_whose_kernel_uses_tmem(words: tuple[str, ...], *, uses_tmem: bool) -> None:
    options = parser().parse_args(["vm", "create", "a", "--kernel", "/k", "--tcg", *words])
    [spec] = specs(options, [], Silent())
    assert spec.tmem == uses_tmem


def _options(*words: str) -> argparse.Namespace:
    return parser().parse_args(["vm", "set", "a", *words])


def test_settings_change_only_what_is_given() -> None:
    shared = UUID("6d1e7b0a-4f0c-4d0e-9d57-3c2b1a0f9e8d")
    present = TmemSettings(weight=1, cap_bytes=2, shared=frozenset({shared}))
    changed = settings(_options("--cap", "0", "--compression", "zstd"), present)
    assert changed == TmemSettings(
        weight=1, cap_bytes=0, compression=Compression.ZSTD, shared=frozenset({shared})
    )
    assert settings(_options(), present) == present


# ---- doctor ----------------------------------------------------------------------------------


def test_doctor_prints_the_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def examine() -> Iterator[Finding]:
        yield Finding("space", Health.GOOD, "much")
        yield Finding("kvm", Health.WARNING, "slow", "buy a machine")

    monkeypatch.setattr("tmem_host.cli.doctor.examine", examine)
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out == (
        "ok       space: much\nwarning  kvm: slow\n         -> buy a machine\n"
    )
    assert main(["doctor", "--json"]) == 0
    findings = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert findings[1] == {
        "subject": "kvm",
        "health": "warning",
        "text": "slow",
        "fix": "buy a machine",
    }


def test_doctor_fails_for_what_is_bad(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: Path
) -> None:
    needs_qemu()
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", "qemu:///nonsense")
    monkeypatch.setattr(doctor, "_STATE_FREE_BYTES", 1 << 60)
    monkeypatch.setattr(doctor, "remembered", lambda: None)
    monkeypatch.setattr(doctor, "find", lambda: None)
    (state / "failed").mkdir()
    (state / "failed/a-1.log").touch()
    assert main(["doctor", "--json"]) == 1
    lines = capsys.readouterr().out.splitlines()
    found = {(finding := json.loads(line))["subject"]: finding for line in lines}
    assert found["libvirt"]["health"] == "bad"
    assert "qemu:///nonsense" in found["libvirt"]["text"]
    assert found["space"]["health"] == "bad"
    assert "TMEM_VM_STATE" in found["space"]["text"]
    assert found["kvm"]["fix"] == found["kernel"]["fix"] == "tmem kernel build"
    assert str(state / "failed") in found["guests"]["text"]
    for finding in found.values():
        assert (finding["fix"] is None) == (finding["health"] == "good")


def test_doctor_names_missing_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/debian-packages.txt").write_text("# all\nbase-files # here\nno-such-one\n")
    monkeypatch.setattr(doctor, "source_root", lambda: tmp_path)
    finding = doctor._packages()
    assert finding.health is not Health.GOOD
    assert "no-such-one" in str(finding.fix)
