# SPDX-License-Identifier: GPL-2.0-or-later
"""On what, with what and how an experiment was measured, as a table."""

from typing import Any

from tmem_host.experiment.records import Header
from tmem_host.report.analysis import Analysis
from tmem_host.report.merge import flat
from tmem_host.report.tables import Table
from tmem_host.report.words import mebibytes

# Settings that are sizes in bytes.
_SIZES = {"arena", "data.size", "read.record", "load.base", "load.peak", "load.swap"}
_NAMES = {"memory": "memory (MiB for each guest)"}


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
        ("kvm-tmem", versions.kvm_tmem),
        ("QEMU", versions.qemu),
        ("libvirt", versions.libvirt),
        ("guest kernel", versions.guest_kernel),
        ("guest image", versions.image),
        *(
            (_NAMES.get(name, name), _plain(name, value))
            for name, value in flat(header.settings).items()
            if name not in ("seed", "title")
        ),
    ]


def _plain(name: str, value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_plain(name, item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in _SIZES and isinstance(value, int):
        return mebibytes(value)
    return str(value)
