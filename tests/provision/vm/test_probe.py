# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether KVM runs guests: the verdict and its memory. That a guest boots is tested in tests/vm."""

import json
import os
from pathlib import Path

import pytest

from tests.provision.vm.skips import needs_qemu
from tmem_host.provision.paths import cache_directory
from tmem_host.provision.vm import probe as module
from tmem_host.provision.vm.probe import Verdict, boot_once, probe
from tmem_host.provision.vm.spec import Accelerator

KERNEL = Path("/kernel")


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    needs_qemu()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """Something that can be opened."""
    path = tmp_path / "kvm"
    path.touch()
    return path


class Boots:
    """Stands in for QEMU: each boot takes the next result."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *results: tuple[bytes, str | None]) -> None:
        self._results = list(results)
        self.count = 0
        monkeypatch.setattr(module, "boot_once", self._boot)

    def _boot(self, *_: object) -> tuple[bytes, str | None]:
        self.count += 1
        return self._results.pop(0)


def test_a_guest_that_runs(monkeypatch: pytest.MonkeyPatch, device: Path) -> None:
    boots = Boots(monkeypatch, (b"...\nkvm-tmem: a guest runs\r\n", None))
    verdict = probe(KERNEL, device=device)
    assert (verdict.accelerator, verdict.notice) == (Accelerator.KVM, None)
    # remembered
    assert probe(KERNEL, device=device) == verdict
    assert boots.count == 1


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ((b"", "a guest did not boot within 20 s"), "did not boot within 20 s"),
        # a triple fault ends QEMU as a reset does
        ((b"Linux version", None), "reset itself before its first process"),
    ],
)
def test_a_guest_that_does_not(
    monkeypatch: pytest.MonkeyPatch, device: Path, result: tuple[bytes, str | None], reason: str
) -> None:
    boots = Boots(monkeypatch, result)
    verdict = probe(KERNEL, device=device)
    assert verdict.accelerator is Accelerator.TCG
    assert verdict.notice is not None
    assert reason in verdict.notice
    assert probe(KERNEL, device=device) == verdict
    assert boots.count == 1


def test_memory_ends_with_the_hosts_boot(monkeypatch: pytest.MonkeyPatch, device: Path) -> None:
    works = (b"kvm-tmem: a guest runs", None)
    boots = Boots(monkeypatch, works, works, works)
    probe(KERNEL, device=device)
    path = cache_directory() / "kvm-probe.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"key": "before"}))
    probe(KERNEL, device=device)
    path.write_text("damaged")
    probe(KERNEL, device=device)
    assert boots.count == 3


def test_again(monkeypatch: pytest.MonkeyPatch, device: Path) -> None:
    boots = Boots(monkeypatch, (b"", "QEMU failed"), (b"kvm-tmem: a guest runs", None))
    probe(KERNEL, device=device)
    assert probe(KERNEL, device=device, again=True).accelerator is Accelerator.KVM
    assert probe(KERNEL, device=device).accelerator is Accelerator.KVM
    assert boots.count == 2


def test_no_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    boots = Boots(monkeypatch)
    verdict = probe(KERNEL, device=tmp_path / "none")
    assert verdict == Verdict(Accelerator.TCG, f"there is no {tmp_path}/none")
    assert boots.count == 0


def test_a_device_of_others(monkeypatch: pytest.MonkeyPatch, device: Path) -> None:
    Boots(monkeypatch)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "adduser USER kvm" in probe(KERNEL, device=device).reason


def test_what_is_no_kernel(tmp_path: Path) -> None:
    (tmp_path / "nonsense").write_bytes(b"nonsense")
    output, failure = boot_once(tmp_path / "nonsense", "tcg", 30.0)
    assert output == b""
    assert failure is not None
    assert failure.startswith("QEMU failed: ")
