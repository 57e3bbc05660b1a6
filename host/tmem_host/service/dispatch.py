# SPDX-License-Identifier: GPL-2.0-or-later
"""From a call's name and arguments to the function that does it, with every argument checked
against the function's signature. docs/control.md has the functions' docstrings."""

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from tmem_host.control.errors import CallRefused

Function = TypeVar("Function", bound=Callable[..., Any])
_INTEGER_MAX = 2**64 - 1


def method(name: str) -> Callable[[Function], Function]:
    """Makes a function of a class a method of the control protocol."""

    def mark(function: Function) -> Function:
        function.control_name = name  # type: ignore[attr-defined]
        return function

    return mark


class Dispatcher:
    """The methods of `target`, by name."""

    def __init__(self, target: object) -> None:
        self.methods: dict[str, Callable[..., Any]] = {}
        for _, member in inspect.getmembers(target, callable):
            if name := getattr(member, "control_name", None):
                self.methods[name] = member

    def call(self, name: str, arguments: dict[str, Any]) -> Any:
        """Calls `name`; CallRefused("usage") when there is none or the arguments do not fit."""
        function = self.methods.get(name)
        if function is None:
            raise CallRefused(f"there is no method {name!r}", "usage")
        hints = typing.get_type_hints(function)
        parameters = inspect.signature(function).parameters
        for key, value in arguments.items():
            if key not in parameters:
                raise CallRefused(f"{name} has no argument {key!r}", "usage")
            _check(name, key, value, hints[key])
        for key, parameter in parameters.items():
            if parameter.default is parameter.empty and key not in arguments:
                raise CallRefused(f"{name} needs the argument {key!r}", "usage")
        return function(**arguments)


def _check(name: str, key: str, value: object, hint: Any) -> None:
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and types.NoneType in allowed:
        return
    if any(typing.get_origin(kind) is dict for kind in allowed):
        if not isinstance(value, dict):
            raise CallRefused(f"{name}: {key} is a map", "usage")
        return
    # bool is an int for Python, not for us
    if type(value) not in allowed or (type(value) is int and not 0 <= value <= _INTEGER_MAX):
        kinds = {str: "text", int: "whole number, not negative", bool: "true or false"}
        expected = " or ".join(kinds[kind] for kind in allowed if kind in kinds)
        raise CallRefused(f"{name}: {key} is a {expected}", "usage")
