# SPDX-License-Identifier: GPL-2.0-or-later
"""From the tables of a TOML file to dataclasses whose fields are Settings.

An unknown key and a wrong value are errors that name file, line and key; nothing is guessed.
"""

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from tmem_host.service.settings import ConfigError, Setting


def read_table(kind: type, table: Any, place: "Place", section: tuple[str, ...]) -> Any:
    """The dataclass `kind` that a table of the file is; ConfigError."""
    if not isinstance(table, dict):
        raise place.error(section, "", f"is a table: write [{'.'.join(section)}]")
    known = {item.name: item for item in fields(kind)}
    return kind(**read_values(known, table, place, section))


def read_values(
    known: dict[str, Any], table: dict[str, Any], place: "Place", section: tuple[str, ...]
) -> dict[str, Any]:
    """The values of a table's keys, each checked by its Setting; ConfigError."""
    values = {}
    for key, value in table.items():
        if key not in known:
            raise place.error(section, key, f"is not a key; there are {', '.join(sorted(known))}")
        checked: Setting = known[key].metadata["setting"]
        try:
            values[key] = checked(value)
        except ValueError as error:
            raise place.error(section, key, str(error)) from None
    return values


class Place:
    """Where things are in a file: the lines of sections and keys, which tomllib does not tell."""

    def __init__(self, file: Path, source: str) -> None:
        self._file = file
        self._lines: dict[tuple[str, ...], int] = {}
        section: tuple[str, ...] = ()
        for number, line in enumerate(source.splitlines(), start=1):
            if header := re.match(r"\s*\[+([^]]+)\]", line):
                section = _names(f"[{header[1]}]")
                self._lines.setdefault(section, number)
            elif key := re.match(r"([^=#]+)=", line):
                self._lines.setdefault(section + _names(f"{key[1]} = 0"), number)

    def error(self, section: tuple[str, ...], key: str, message: str) -> ConfigError:
        """What is wrong with a key, or with a whole section where `key` is empty."""
        where = (*section, key) if key else section
        line = self._lines.get(where, self._lines.get(section, 1))
        return ConfigError(f"{self._file}:{line}: {'.'.join(where)} {message}")


def _names(line: str) -> tuple[str, ...]:
    """The names that a header or a key consists of, quoted or not; none when it is neither."""
    try:
        table: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    names = []
    while isinstance(table, dict) and table:
        name, table = next(iter(table.items()))
        names.append(name)
    return tuple(names)
