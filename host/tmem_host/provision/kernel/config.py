# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's configuration: what we ask for, and whether we got it."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from tmem_host.provision.errors import ProvisionError

_SET = re.compile(r"(CONFIG_\w+)=(.+)")
_UNSET = re.compile(r"# (CONFIG_\w+) is not set")


def read_fragment(path: Path) -> dict[str, str]:
    """The options that a fragment names, in its order; "n" is what is not set.

    ProvisionError for a line that is none of option, comment and blank, and for an option that
    stands there twice.
    """
    options: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or (line.startswith("#") and not line.startswith("# CONFIG_")):
            continue
        name, value = _option(line)
        if not name:
            raise ProvisionError(f"{path}:{number}: {line!r} is no kernel option")
        if name in options:
            raise ProvisionError(f"{path}:{number}: {name} stands there twice")
        options[name] = value
    return options


def _option(line: str) -> tuple[str, str]:
    if found := _SET.fullmatch(line):
        return found[1], found[2]
    if found := _UNSET.fullmatch(line):
        return found[1], "n"
    return "", ""


def merged(fragments: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """All options; a later fragment overrules an earlier one."""
    options: dict[str, str] = {}
    for fragment in fragments:
        options.update(fragment)
    return options


def write(options: Mapping[str, str], path: Path) -> None:
    """Writes `options` as the kernel's own build reads them (KCONFIG_ALLCONFIG)."""
    lines = (
        f"# {name} is not set" if value == "n" else f"{name}={value}"
        for name, value in options.items()
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def verify(options: Mapping[str, str], dotconfig: Path) -> None:
    """ProvisionError naming each option that the kernel's .config does not have as we want it."""
    got = dict(filter(None, map(_parsed, dotconfig.read_text(encoding="utf-8").splitlines())))
    lost = [
        f"{name} (wanted {value}, is {got.get(name, 'unknown or has unmet dependencies')})"
        for name, value in options.items()
        if got.get(name, "n") != value
    ]
    if lost:
        raise ProvisionError("the kernel's configuration does not keep " + ", ".join(lost))


def _parsed(line: str) -> tuple[str, str] | None:
    name, value = _option(line)
    return (name, value) if name else None
