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


def read_source(file: Path) -> str:
    """The text of a file; ConfigError."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not UTF-8 text") from None


def read_document(source: str, file: Path) -> tuple[dict[str, Any], "Place"]:
    """What `source` says, unchecked, and where; ConfigError."""
    try:
        return tomllib.loads(source), Place(file, source)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: {error}") from None


def read_sections(
    kind: type, sections: dict[str, type], document: dict[str, Any], place: "Place"
) -> dict[str, Any]:
    """The values of the dataclass `kind`: each of `sections` that is there, and the keys outside of
    them; ConfigError."""
    tables = {name: document.pop(name) for name in sections if name in document}
    values = {
        name: read_table(sections[name], table, place, (name,)) for name, table in tables.items()
    }
    top = {item.name: item for item in fields(kind) if "setting" in item.metadata}
    return values | read_values(top, document, place, ())


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
