# SPDX-License-Identifier: GPL-2.0-or-later
"""What a key of the configuration may be: each kind takes a value of TOML and returns it checked,
or raises ValueError with the end of a sentence that begins with the key."""

import os
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any

from tmem_host.native.server import SOCKET_PATH_MAX_BYTES
from tmem_host.units import exact_size, parse_duration_ms, parse_size

Setting = Callable[[Any], Any]


class ConfigError(Exception):
    """The configuration cannot be used; one sentence with file, line and key."""


def setting(kind: Setting, default: Any) -> Any:
    """A dataclass field that is a key of this kind."""
    return field(default=default, metadata={"setting": kind})


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is true or false")
    return value


def text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("is a text")
    return value


def path(value: Any) -> Path:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError('is an absolute path, "/..."')
    return Path(value)


def socket_path(value: Any) -> Path:
    checked = path(value)
    if (found := len(os.fsencode(checked))) > SOCKET_PATH_MAX_BYTES:
        raise ValueError(
            f"is a socket's path of at most {SOCKET_PATH_MAX_BYTES} bytes, not {found}"
        )
    return checked


def size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('is a size, for instance "64MiB"')
    try:
        return parse_size(str(value))
    except ValueError as error:
        raise ValueError(f"is a size: {error}") from None


def size_from(least: int) -> Setting:
    def check(value: Any) -> int:
        if (bytes_ := size(value)) < least:
            raise ValueError(f"is a size of at least {exact_size(least)}")
        return bytes_

    return check


def fraction(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError("is a number above 0 and at most 1")
    return float(value)


def integer(least: int, most: int) -> Setting:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"is a whole number from {least} to {most}")
        return value

    return check


def duration_ms(least: int, most: int) -> Setting:
    def check(value: Any) -> int:
        if not isinstance(value, str):
            raise ValueError('is a duration, for instance "2s"')
        try:
            parsed = parse_duration_ms(value)
        except ValueError as error:
            raise ValueError(f"is a duration: {error}") from None
        if not least <= parsed <= most:
            raise ValueError(f"is a duration from {least}ms to {most}ms")
        return parsed

    return check


def choice(*allowed: str) -> Setting:
    def check(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"is one of {', '.join(allowed)}")
        return str(value)

    return check


def listed(kind: Callable[[str], Any], noun: str) -> Setting:
    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"is a list, each {noun}")
        try:
            return tuple(kind(item) for item in value)
        except (ValueError, AttributeError, TypeError):
            raise ValueError(f"is a list, each {noun}") from None

    return check
