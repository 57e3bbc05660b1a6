# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether KVM runs guests here, found out by booting one.

/dev/kvm may exist, open, and be listed among libvirt's capabilities, and still never run an
ordinary guest: on a nested host whose own host lacks the means. So a kernel is booted as far as its
first process, which says a word and resets the machine. The answer is remembered for as long as the
host runs and QEMU stays the same.
"""

import fcntl
import gzip
import json
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tmem_host.provision.paths import cache_directory
from tmem_host.provision.vm.domain_xml import EVERY_GUEST, emulator
from tmem_host.provision.vm.errors import VmError
from tmem_host.provision.vm.spec import Accelerator

_KVM = Path("/dev/kvm")
# A guest is up in under a second where KVM works.
LIMIT_S = 20.0
_WORD = b"kvm-tmem: a guest runs"


@dataclass(frozen=True)
class Verdict:
    """How guests are to run, and why, as part of a sentence."""

    accelerator: Accelerator
    reason: str

    @property
    def notice(self) -> str | None:
        """What an operator should see; None if KVM works."""
        if self.accelerator is Accelerator.KVM:
            return None
        return f"notice: guests are emulated (TCG) and slow: {self.reason}"


def probe(kernel: Path, *, again: bool = False, device: Path = _KVM) -> Verdict:
    """The verdict for this host, from memory or by booting `kernel`.

    `again` boots even if the answer is remembered. VmError if QEMU is missing or does not start.
    """
    if obstacle := _obstacle(device):
        return Verdict(Accelerator.TCG, obstacle)
    with _memory() as memory:
        remembered = None if again else memory.read()
        if remembered is not None:
            return remembered
        verdict = _boot(kernel)
        memory.write(verdict)
        return verdict


def remembered() -> Verdict | None:
    """What probe() would say without booting; None if it would have to."""
    if obstacle := _obstacle(_KVM):
        return Verdict(Accelerator.TCG, obstacle)
    with _memory() as memory:
        return memory.read()


def _obstacle(device: Path) -> str | None:
    if not device.exists():
        return f"there is no {device}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"this user may not open {device}; run: adduser USER kvm"
    return None


def _boot(kernel: Path) -> Verdict:
    output, failure = boot_once(kernel, "kvm", LIMIT_S)
    if _WORD in output:
        return Verdict(Accelerator.KVM, "a guest booted")
    if failure is None:
        failure = "a guest reset itself before its first process"
    return Verdict(Accelerator.TCG, f"{_KVM} is there, but {failure}")


def boot_once(kernel: Path, accelerator: str, limit_s: float) -> tuple[bytes, str | None]:
    """Boots `kernel` to its first process, which prints and resets; QEMU ends at the reset.

    Returns what came over the serial console, and what went wrong, if anything did.
    """
    with tempfile.TemporaryDirectory(prefix="tmem-probe-") as directory:
        initrd = Path(directory, "initrd")
        initrd.write_bytes(gzip.compress(_initramfs()))
        serial = Path(directory, "serial")
        command = [
            *(emulator(), "-accel", accelerator, "-machine", "pc", "-m", "128"),
            *("-cpu", "host" if accelerator == "kvm" else "qemu64"),
            *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
            *("-kernel", str(kernel), "-initrd", str(initrd), "-serial", f"file:{serial}"),
            *("-append", f"{EVERY_GUEST} quiet panic=-1"),
        ]
        failure: str | None
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            failure = f"a guest did not boot within {limit_s:.0f} s"
        else:
            failure = _failure(done)
        return serial.read_bytes() if serial.exists() else b"", failure


def _failure(done: "subprocess.CompletedProcess[bytes]") -> str | None:
    if done.returncode == 0:
        return None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return f"QEMU failed: {lines[-1] if lines else done.returncode}"


class _Memory:
    """The remembered verdict, good for one boot of the host and one version of QEMU."""

    def __init__(self, path: Path) -> None:
        self._path = path
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._key = f"{boot} {_qemu_version()}"

    def read(self) -> Verdict | None:
        """None if there is none, or not for this boot and QEMU."""
        try:
            known = json.loads(self._path.read_text())
            if known["key"] != self._key:
                return None
            return Verdict(Accelerator(known["accelerator"]), str(known["reason"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, verdict: Verdict) -> None:
        """Remembers it."""
        known = {
            "key": self._key,
            "accelerator": verdict.accelerator.value,
            "reason": verdict.reason,
        }
        self._path.write_text(json.dumps(known) + "\n")


@contextmanager
def _memory() -> Iterator[_Memory]:
    """Locked, so that two commands that start together probe once."""
    directory = cache_directory()
    with (directory / "kvm-probe.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield _Memory(directory / "kvm-probe.json")


def _qemu_version() -> str:
    done = subprocess.run([emulator(), "--version"], capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout:
        raise VmError(f"{emulator()} does not run: {done.stderr.strip()}")
    return done.stdout.splitlines()[0]


def _initramfs() -> bytes:
    """An archive with a console and an /init of a hundred bytes."""
    return b"".join(
        (
            _entry("dev", 0o040755),
            _entry("dev/console", 0o020600, device=(5, 1)),
            _entry("init", 0o100755, _program()),
            _entry("TRAILER!!!", 0),
        )
    )


def _entry(name: str, mode: int, data: bytes = b"", *, device: tuple[int, int] = (0, 0)) -> bytes:
    # "newc": 13 numbers of eight hexadecimal digits; name and data padded to multiples of four
    path = name.encode() + b"\0"
    numbers = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + path
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _program() -> bytes:
    """A static x86-64 program: writes the word to its standard output and resets the machine."""
    load_address, header_bytes = 0x400000, 64 + 56
    word = _WORD + b"\n"
    code_bytes = 46
    code = b"".join(
        (
            b"\xb8" + struct.pack("<I", 1),  # mov eax, write
            b"\xbf" + struct.pack("<I", 1),  # mov edi, stdout
            b"\xbe" + struct.pack("<I", load_address + header_bytes + code_bytes),  # mov esi, word
            b"\xba" + struct.pack("<I", len(word)),  # mov edx, length
            b"\x0f\x05",  # syscall
            b"\xb8" + struct.pack("<I", 169),  # mov eax, reboot
            b"\xbf" + struct.pack("<I", 0xFEE1DEAD),  # mov edi, magic
            b"\xbe" + struct.pack("<I", 672274793),  # mov esi, second magic
            b"\xba" + struct.pack("<I", 0x01234567),  # mov edx, restart
            b"\x0f\x05",  # syscall
            b"\xeb\xfe",  # jmp to itself
        )
    )
    size = header_bytes + len(code) + len(word)
    header = struct.pack(
        "<4s5B7xHHIQQQIHHHHHH",
        *(b"\x7fELF", 2, 1, 1, 0, 0),
        *(2, 62, 1, load_address + header_bytes, 64, 0, 0, 64, 56, 1, 0, 0, 0),
    )
    # one segment: the whole file, readable and executable
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, load_address, load_address, size, size, 0x1000)
    return header + segment + code + word
