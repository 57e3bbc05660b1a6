# SPDX-License-Identifier: GPL-2.0-or-later
"""What the names in a report mean, and on what, with what and how it was measured, as tables."""

from collections.abc import Iterable
from typing import Any

from tmem_host.cli.output import count
from tmem_host.experiment.arms import ARMS
from tmem_host.experiment.records import Header
from tmem_host.provision.vm.spec import IoProfile
from tmem_host.report.analysis import Analysis
from tmem_host.report.merge import flat
from tmem_host.report.points import COLD, IDLE, SECOND, WHOLE
from tmem_host.report.tables import Table
from tmem_host.report.words import mebibytes

# Settings that are sizes in bytes.
_SIZES = {"arena", "data.size", "read.record", "load.base", "load.peak", "load.swap"}
_NAME_HEADS = ("What", "Name", "Meaning")
_NAMES = {"memory": "memory (MiB for each guest)"}


_PHASES = {
    COLD: "the first guest reads the data, for the first time",
    IDLE: "the first guest goes through the data once more and drops it, for the host to have",
    SECOND: "the other guests read the data, each for the first time",
    "warm": "the first guest reads the data again, so that all begin the next phase alike",
    "reread": "all guests read the data again, at the same time",
    "hold": "all guests fill the memory that they need all the time",
    "release": "all guests verify that memory, which was swapped out meanwhile",
    "build": "the guest compiles the project, for the first time",
    "rebuild": "it does so again, after what was compiled has been removed",
    WHOLE: "all phases one after the other",
}


def names(analysis: Analysis) -> Table:
    """What the arms and phases of the result are."""
    arms = dict.fromkeys(arm for arms in analysis.curves.values() for arm in arms)
    phases = list(dict.fromkeys(setting.phase for setting in analysis.curves))
    if COLD in phases and any(flat(each.settings).get("read.settle") for each in analysis.headers):
        phases.insert(phases.index(COLD) + 1, IDLE)
    rows: list[tuple[str, ...]] = [
        ("arm", arm, ARMS[arm].meaning if arm in ARMS else "an arm of its own") for arm in arms
    ]
    for phase in phases:
        before, _, guest = phase.partition("-")
        meaning = f"{guest} fills and verifies more memory" if before == "peak" else phase
        rows.append(("phase", phase, _PHASES.get(phase, meaning)))
    return Table("Names", "The arms and phases of this experiment.", _NAME_HEADS, rows, texts=3)


def summary(analysis: Analysis) -> str:
    """The most important conditions in one sentence."""
    headers = analysis.headers
    hosts = _listed(
        f"{header.host.accelerator} on {header.host.cpu}, {header.host.processors} processors"
        for header in headers
    )
    measured_with = (
        f"Measured with {hosts}; QEMU {_listed(header.versions.qemu for header in headers)}, guest"
        f" kernel {_listed(header.versions.guest_kernel for header in headers)}, kvm-tmem"
        f" {_listed(header.versions.kvm_tmem for header in headers)}; disks with cache mode"
        f" {_listed(header.disks.cache for header in headers)}; seed"
        f" {_listed(str(header.seed) for header in headers)}"
    )
    if not analysis.curves:
        return f"{measured_with}."
    sizes = sorted({size for setting in analysis.curves for size in analysis.sizes_of(setting)})
    return (
        f"{measured_with}; guest RAM {', '.join(map(str, sizes))} MiB; disk"
        f" {_listed(setting.profile for setting in analysis.curves)};"
        f" {count(analysis.rounds, 'round')}."
    )


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def conditions(analysis: Analysis) -> Table:
    """Of all results that were put together; what they have in common once."""
    rows = [row for header in analysis.headers for row in _rows(header)]
    rows.append(("ended", analysis.end.status))
    return Table(
        "Conditions",
        "What the figures hold for: machine, versions, and the settings of the experiment.",
        ("What", "Value"),
        list(dict.fromkeys(rows)),
        texts=2,
    )


def _rows(header: Header) -> list[tuple[str, ...]]:
    host, versions = header.host, header.versions
    return [
        ("command", header.command),
        ("started", header.started),
        ("seed", str(header.seed)),
        ("accelerator", host.accelerator),
        ("host", f"{host.cpu}, {host.processors} processors, {mebibytes(host.memory_bytes)}"),
        ("host kernel", host.kernel),
        *([("guests' disks are on", host.storage)] if host.storage else []),
        ("kvm-tmem", versions.kvm_tmem),
        ("QEMU", versions.qemu),
        ("libvirt", versions.libvirt),
        ("guest kernel", versions.guest_kernel),
        ("guest image", versions.image),
        ("disks of the guests", f"cache mode {header.disks.cache}"),
        *((f"disk profile {name}", _limits(each)) for name, each in header.disks.profiles.items()),
        *(
            (_NAMES.get(name, name), _plain(name, value))
            for name, value in flat(header.settings).items()
            if name not in ("seed", "title")
        ),
    ]


def _limits(profile: IoProfile) -> str:
    if profile == IoProfile():
        return "as fast as the host's"
    return (
        f"{profile.iops} requests and {profile.bytes_per_second / 1e6:g} MB a second for each disk"
    )


def _plain(name: str, value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_plain(name, item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in _SIZES and isinstance(value, int):
        return mebibytes(value)
    return str(value)
