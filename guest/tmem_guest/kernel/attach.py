# SPDX-License-Identifier: GPL-2.0-or-later
"""Attaching the kernel to the host, and detaching it (DESIGN 4.3, F1, V1)."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tmem_guest.cli.errors import CommandError
from tmem_guest.kernel import devices, modules
from tmem_guest.kernel.debugfs import frontswap_pages, swap_files
from tmem_guest.kernel.modules import HOOKS, TRANSPORT

# What attaching and detaching themselves give.
_OURS: Final = frozenset({"device", "attached"})
_UNLOADING: Final = {
    HOOKS: "it stays until the next boot",
    TRANSPORT: "tmem-guest kernel detach unloads it",
}


def attach(root: Path, parameters: Mapping[str, str] | None = None) -> str:
    """Has the kernel use tmem, and returns the virtio device over which it does.

    `parameters` go to the module that has them: when it is loaded or, if it is already, by
    changing those that can be changed. Nothing else changes if the kernel uses tmem already.
    Whatever goes wrong, the device is virtio_console's again. CommandError.
    """
    _check_root("attach")
    given = _by_module(parameters or {})
    _change_loaded(root, given)
    if (attached := modules.parameter(root, TRANSPORT, "attached")) is not None:
        device = modules.parameter(root, TRANSPORT, "device") or ""
        if attached != "Y":
            _set_attached(root, "Y")
        return device
    device = devices.find_device(root)
    devices.check_unused(root)
    if not modules.is_loaded(root, HOOKS):
        modules.load(HOOKS, *_words(given[HOOKS]))
    devices.unbind(root, device)
    try:
        modules.load(TRANSPORT, f"device={device}", *_words(given[TRANSPORT]))
    except BaseException:
        if devices.driver_of(root, device) is None:
            devices.bind(root, device)
        raise
    return device


def detach(root: Path) -> bool:
    """Has the kernel use tmem no more, unloads the transport and gives its device back.

    Mounts and swap areas stay in use; what the host held for them is given up. False if the
    kernel does not use it. CommandError, with the number of pages, while swap is with the host.
    """
    _check_root("detach")
    device = modules.parameter(root, TRANSPORT, "device")
    if device is None:
        return False
    if modules.parameter(root, TRANSPORT, "attached") == "Y":
        try:
            _set_attached(root, "N")
        except PagesAreWithTheHost as error:
            raise _refusal(root) from error
    modules.unload(TRANSPORT)
    if devices.driver_of(root, device) is None:
        devices.bind(root, device)
    return True


def _by_module(parameters: Mapping[str, str]) -> dict[str, dict[str, str]]:
    given: dict[str, dict[str, str]] = {HOOKS: {}, TRANSPORT: {}}
    if not parameters:
        return given
    names = {module: sorted({*modules.parameter_names(module)} - _OURS) for module in given}
    for name, value in parameters.items():
        for module, known in names.items():
            if name in known:
                given[module][name] = value
                break
        else:
            known_names = "; ".join(f"{key} has {', '.join(known)}" for key, known in names.items())
            raise CommandError(f"there is no parameter {name} to be given: {known_names}")
    return given


def _change_loaded(root: Path, given: Mapping[str, Mapping[str, str]]) -> None:
    wanted = [
        (module, name, value)
        for module, values in given.items()
        for name, value in values.items()
        if modules.parameter(root, module, name) not in {None, value}
    ]
    for module, name, _ in wanted:
        if not modules.can_be_set(root, module, name):
            now = modules.parameter(root, module, name)
            raise CommandError(
                f"the parameter {name} is taken only when the module {module} is loaded, and it is"
                f" already, with {name}={now}; {_UNLOADING[module]}"
            )
    for module, name, value in wanted:
        try:
            modules.set_parameter(root, module, name, value)
        except OSError as error:
            raise CommandError(
                f"the module {module} refuses {name}={value}: {error.strerror}"
            ) from error


def _words(parameters: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in parameters.items()]


class PagesAreWithTheHost(CommandError):
    """Frontswap holds pages."""


def _set_attached(root: Path, value: str) -> None:
    try:
        modules.set_parameter(root, TRANSPORT, "attached", value)
    except OSError as error:
        if error.errno == errno.EBUSY and value == "N":
            raise PagesAreWithTheHost("pages of swap are with the host") from error
        verb = "attach" if value == "Y" else "detach"
        raise CommandError(
            f"the module {TRANSPORT} does not {verb}: {error.strerror}; the kernel's log may say"
            " more (dmesg)"
        ) from error


def _refusal(root: Path) -> CommandError:
    pages = frontswap_pages(root)
    return CommandError(
        f"{pages} pages of swap are with the host and nowhere else; bring them home first:"
        f" swapoff {shlex.join(swap_files(root))}"
    )


def _check_root(what: str) -> None:
    if os.geteuid() != 0:
        raise CommandError(f"only root may {what} the kernel")
