# SPDX-License-Identifier: GPL-2.0-or-later
"""The systemd unit: systemd finds nothing wrong with it, and each hardening option says why."""

import configparser
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

PACKAGING = Path(__file__).parents[2] / "packaging"
UNIT = PACKAGING / "tmem.service"


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    unit = tmp_path / "tmem.service"
    text = UNIT.read_text(encoding="utf-8")
    assert "ExecStart=/usr/bin/tmem serve\n" in text
    # the command need not be installed here, but systemd looks
    unit.write_text(text.replace("/usr/bin/tmem", sys.executable), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_hardening_option_is_explained() -> None:
    """By the line above it; options that belong together share one."""
    together = {"AmbientCapabilities", "IPAddressAllow", "SystemCallErrorNumber"}
    lines = UNIT.read_text(encoding="utf-8").split("# -- hardening")[1].splitlines()[1:]
    options = lines[: lines.index("[Install]") - 1]
    for before, line in pairwise(options):
        if not line.startswith("#") and line.split("=")[0] not in together:
            assert before.startswith("# "), line
    assert sum("=" in line for line in options) > 20


def test_the_unit_runs_as_its_own_user() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read(UNIT)
    service = unit["Service"]
    assert (service["User"], service["Type"], service["Restart"]) == ("tmem", "notify", "always")
    users = (PACKAGING / "tmem.sysusers").read_text(encoding="utf-8")
    assert "u tmem " in users
