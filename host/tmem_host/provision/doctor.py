# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether this machine has what guests need, and for whatever it lacks, what to do."""

import enum
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tmem_host.control import Connection, NoService, default_socket
from tmem_host.provision.errors import ProvisionError
from tmem_host.provision.kernel import find
from tmem_host.provision.paths import cache_directory, source_root
from tmem_host.provision.vm.errors import Busy
from tmem_host.provision.vm.networks import check_multicast
from tmem_host.provision.vm.places import default_state, places_at
from tmem_host.provision.vm.probe import probe, remembered

# A kernel's sources and objects; an image is smaller.
_CACHE_FREE_BYTES = 4 << 30
# A VM's overlay may grow to this.
_STATE_FREE_BYTES = 2 << 30


class Health(enum.Enum):
    """What a finding means."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """What was found of one thing. `fix` says what to do unless it is good."""

    subject: str
    health: Health
    text: str
    fix: str | None = None


def examine() -> Iterator[Finding]:
    """All findings, each as soon as it is there. May boot a small guest for some seconds."""
    yield from (check() for check in _CHECKS)


def _packages() -> Finding:
    try:
        text = (source_root() / "scripts/debian-packages.txt").read_text()
    except (ProvisionError, OSError) as error:
        return Finding("packages", Health.BAD, str(error), "run make setup in a checkout")
    wanted = [words[0] for line in text.splitlines() if (words := line.partition("#")[0].split())]
    if shutil.which("dpkg-query") is None:
        return Finding(
            "packages",
            Health.WARNING,
            "not a Debian system: whether all is there cannot be told",
            "install what stands for: " + " ".join(wanted),
        )
    known = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    installed = {line.split()[0] for line in known.stdout.splitlines() if " installed" in line}
    missing = [package for package in wanted if package not in installed]
    if missing:
        return Finding(
            "packages",
            Health.BAD,
            f"missing: {' '.join(missing)}",
            f"apt-get install {' '.join(missing)}",
        )
    return Finding("packages", Health.GOOD, f"all {len(wanted)} are installed")


def _libvirt() -> Finding:
    try:
        # here, since it fails where libvirt is missing
        from tmem_host.provision.vm.connection import (  # noqa: PLC0415
            choose_places,
            choose_uri,
            connected,
        )

        uri = choose_uri(None)
        with connected(uri, choose_places(uri)) as connection:
            version = connection.getLibVersion()
    except Busy as error:
        return Finding("libvirt", Health.GOOD, f"in use: {error}")
    except ProvisionError as error:
        return _bad("libvirt", error)
    number = f"{version // 1000000}.{version // 1000 % 1000}.{version % 1000}"
    return Finding("libvirt", Health.GOOD, f"version {number} connects to {uri}")


def _kvm() -> Finding:
    try:
        verdict = remembered()
        if verdict is None and (kernel := find()) is not None:
            verdict = probe(kernel.image)
    except ProvisionError as error:
        return _bad("kvm", error)
    if verdict is None:
        return Finding(
            "kvm",
            Health.WARNING,
            "/dev/kvm is there; whether it runs guests is not known without a guest kernel",
            "tmem kernel build",
        )
    if verdict.notice is None:
        return Finding("kvm", Health.GOOD, "works: a guest booted")
    reason, _, fix = verdict.reason.partition("; run: ")
    return Finding(
        "kvm",
        Health.WARNING,
        f"{reason}; guests are emulated",
        fix
        or "use a host with hardware virtualization, enabled in its firmware or by its own host",
    )


def _network() -> Finding:
    try:
        check_multicast()
    except ProvisionError as error:
        return _bad("network", error)
    return Finding("network", Health.GOOD, "multicast works on the loopback interface")


def _space() -> Finding:
    lacking = []
    fine = []
    try:
        places = (
            (cache_directory(), _CACHE_FREE_BYTES, "XDG_CACHE_HOME"),
            (places_at(default_state()).state, _STATE_FREE_BYTES, "TMEM_VM_STATE"),
        )
    except ProvisionError as error:
        return _bad("space", error)
    for path, wanted, variable in places:
        free = shutil.disk_usage(_existing(path)).free
        words = f"{free / (1 << 30):.1f} GiB free at {path}"
        if free < wanted:
            lacking.append(f"{words}, {wanted >> 30} GiB wanted (or set {variable})")
        else:
            fine.append(words)
    if lacking:
        return Finding("space", Health.BAD, "; ".join(lacking), "free some, or use another place")
    return Finding("space", Health.GOOD, "; ".join(fine))


def _kernel() -> Finding:
    try:
        kernel = find()
    except ProvisionError as error:
        return _bad("kernel", error)
    if kernel is None:
        return Finding("kernel", Health.WARNING, "none is built yet", "tmem kernel build")
    return Finding("kernel", Health.GOOD, f"{kernel.version} is built")


def _service() -> Finding:
    path = default_socket()
    try:
        with Connection(path):
            return Finding("service", Health.GOOD, f"runs, at {path}")
    except NoService as error:
        return Finding("service", Health.WARNING, str(error), "tmem serve")


def _logs() -> Finding:
    directory = places_at(default_state()).failed
    logs = list(directory.glob("*.log")) if directory.is_dir() else []
    if not logs:
        return Finding("guests", Health.GOOD, "none failed to come up")
    return Finding(
        "guests",
        Health.WARNING,
        f"{len(logs)} did not come up; their serial logs are in {directory}",
        f"read them, then: rm {directory}/*.log",
    )


def _bad(subject: str, error: Exception) -> Finding:
    sentence, _, fix = str(error).rpartition("; ")
    if not sentence:
        sentence, fix = fix, "see the message"
    return Finding(subject, Health.BAD, sentence, fix.removeprefix("run: "))


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


_CHECKS: tuple[Callable[[], Finding], ...] = (
    _packages,
    _libvirt,
    _kvm,
    _network,
    _space,
    _kernel,
    _service,
    _logs,
)
