# SPDX-License-Identifier: GPL-2.0-or-later
"""Typed Python values as the plain ones that messages carry, and back, by their annotations.

Known are dataclasses, enumerations, paths, uuids, tuples, lists, frozensets, dicts with text keys,
optional values, and what msgpack knows itself.
"""

import dataclasses
import enum
import types
import typing
from pathlib import Path
from typing import Any
from uuid import UUID


class BadValue(Exception):
    """A plain value is not of the type that it is to become; one sentence."""


def encode(value: Any) -> Any:
    """`value` as plain values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: encode(getattr(value, item.name)) for item in dataclasses.fields(value)}
    match value:
        case enum.Enum():
            return value.name
        case Path() | UUID():
            return str(value)
        case dict():
            return {key: encode(item) for key, item in value.items()}
        case list() | tuple() | frozenset():
            return [encode(item) for item in value]
    return value


def decode(value: Any, hint: Any) -> Any:
    """The value of type `hint` that encode() made `value` of. BadValue."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    try:
        if origin is types.UnionType:
            (kind,) = (each for each in inner if each is not types.NoneType)
            return None if value is None else decode(value, kind)
        if origin in (list, tuple, frozenset):
            if not isinstance(value, list):
                raise BadValue(f"{value!r} is not a list")
            return origin(decode(item, inner[0]) for item in value)
        if origin is dict:
            return {str(key): decode(item, inner[1]) for key, item in value.items()}
        if dataclasses.is_dataclass(hint):
            return _dataclass(value, hint)
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            return hint[value]
        if hint in (Path, UUID):
            return hint(value)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise BadValue(f"{value!r} is not a {getattr(hint, '__name__', hint)}") from error
    return _plain(value, hint)


def _dataclass(value: Any, kind: Any) -> Any:
    hints = typing.get_type_hints(kind)
    unknown = value.keys() - hints.keys()
    if unknown:
        raise BadValue(f"{kind.__name__} has no {min(unknown)}")
    needed = {
        item.name
        for item in dataclasses.fields(kind)
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    }
    missing = needed - value.keys()
    if missing:
        raise BadValue(f"{kind.__name__} lacks {min(missing)}")
    return kind(**{name: decode(item, hints[name]) for name, item in value.items()})


def _plain(value: Any, hint: Any) -> Any:
    if hint is float and isinstance(value, int):
        return float(value)
    if hint is types.NoneType:
        hint = type(None)
    if hint is not Any and (type(value) is not hint):
        raise BadValue(f"{value!r} is not a {hint.__name__}")
    return value
