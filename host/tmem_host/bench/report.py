# SPDX-License-Identifier: GPL-2.0-or-later
"""The document as a table for people."""

from typing import Any

_BUSY_SHARE = 0.02
_BUSY = {
    "engine": "That time is not in the figures, but what it did to the caches is.",
    "guest": "That time is in the figures, of tmem and of what it is compared with alike.",
    "service": "That time is in the figures by the wall clock, of every server alike.",
}


def describe(document: dict[str, Any]) -> str:
    """Several lines: what was measured on what, a line for each field, and what to mind."""
    return "\n".join([*_heading(document), "", *_table(document["fields"]), "", *_notes(document)])


def _heading(document: dict[str, Any]) -> list[str]:
    machine = document["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    return [
        f"{machine['processor']}, {machine['processors']} processors, kernel {machine['kernel']},"
        f" tmpfs huge={machine['tmpfs_huge']}",
        versions,
        _guest(document) if "guest" in document else _data_set(document["data_set"]),
    ]


def _data_set(data_set: dict[str, Any]) -> str:
    return f"{data_set['pages']} pages of {data_set['files']} files, list {data_set['sha256'][:16]}"


def _guest(document: dict[str, Any]) -> str:
    guest, settings = document["guest"], document["settings"]
    vcpus, others = (
        ", ".join(map(str, guest["processors"][which])) for which in ("vcpus", "others")
    )
    return (
        f"a guest with {guest['memory_bytes'] >> 20} MiB and {guest['vcpus']} processors under"
        f" {guest['accelerator']}; {settings['pages']} pages at a time, cold"
        f" {settings['cold_bytes'] >> 20} MiB from a disk ({guest['disk']}); its processors on"
        f" {vcpus} of the host, QEMU's other threads and the service on {others},"
        f" {'all awake' if guest['processors']['awake'] else 'which may sleep'}"
    )


def _table(fields: dict[str, Any]) -> list[str]:
    rows = [("field", "value", "target", "", "quartiles", "ours", "baseline", "unit")]
    for name, field in fields.items():
        sign = "<=" if field["better"] == "lower" else ">="
        spread = field["spread"]
        rows.append(
            (
                name,
                _number(field["value"]),
                f"{sign} {field['target']:g}",
                "met" if field["met"] else "MISSED",
                "-"
                if field["rounds"] == 1
                else f"{_number(spread['lower_quartile'])}-{_number(spread['upper_quartile'])}",
                _number(field["ours"]["median"]),
                _number(field["baseline"]["median"]),
                field["unit"],
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    left = (0, 3, 7)
    return [
        "  ".join(
            text.ljust(width) if column in left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _notes(document: dict[str, Any]) -> list[str]:
    fields = document["fields"]
    met = sum(field["met"] for field in fields.values())
    notes = [f"{met} of {len(fields)} targets met."]
    waited = [field["wall"]["waited_share"] for field in fields.values() if field["wall"]]
    if waited and max(waited) > _BUSY_SHARE:
        notes.append(
            f"The machine was busy: for up to {max(waited):.0%} of the time others had the"
            f" processor. {_BUSY[document['benchmark']]}"
        )
    return notes


def _number(value: float) -> str:
    """Three digits that count, without an exponent."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"
