# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem doctor: whether this machine has what guests need, and how to get what it lacks."""

import argparse
import dataclasses
import json

from tmem_host.provision.doctor import Finding, Health, examine

_MARKS = {Health.GOOD: "ok", Health.WARNING: "warning", Health.BAD: "BAD"}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `tmem doctor`."""
    doctor = commands.add_parser(
        "doctor",
        help="check what guests need of this machine",
        description="Checks what guests need of this machine, and says how to get what it lacks.",
        epilog="Exit status: 1 if guests cannot be made here, else 0, also with warnings.",
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON object a finding")
    doctor.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints each finding as it comes."""
    bad = False
    for finding in examine():
        bad = bad or finding.health is Health.BAD
        print(_json(finding) if options.json else _line(finding), flush=True)
    return 1 if bad else 0


def _json(finding: Finding) -> str:
    return json.dumps(dataclasses.asdict(finding) | {"health": finding.health.value})


def _line(finding: Finding) -> str:
    line = f"{_MARKS[finding.health]:<7}  {finding.subject}: {finding.text}"
    return line if finding.fix is None else f"{line}\n{'':<7}  -> {finding.fix}"
