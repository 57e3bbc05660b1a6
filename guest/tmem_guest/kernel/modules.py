# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading and unloading the project's modules, and their parameters."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from typing import Final

from tmem_guest.cli.errors import CommandError

HOOKS: Final = "tmem_hooks"
TRANSPORT: Final = "tmem_transport"
BENCH: Final = "tmem_bench"


def is_loaded(root: Path, module: str) -> bool:
    """Whether a module is loaded."""
    return (root / "sys/module" / module).is_dir()


def parameter(root: Path, module: str, name: str) -> str | None:
    """What a parameter of a module is now; None if the module is not loaded."""
    try:
        return _parameter(root, module, name).read_text().strip()
    except FileNotFoundError:
        return None


def set_parameter(root: Path, module: str, name: str, value: str) -> None:
    """Changes a parameter of a loaded module. OSError is the module's refusal."""
    # unbuffered: the refusal comes from the write
    with open(_parameter(root, module, name), "wb", buffering=0) as file:
        file.write(value.encode())


def can_be_set(root: Path, module: str, name: str) -> bool:
    """Whether a parameter of a loaded module may be changed."""
    return bool(_parameter(root, module, name).stat().st_mode & stat.S_IWUSR)


def parameter_names(module: str) -> list[str]:
    """The parameters of a module, loaded or not; CommandError if there is no such module."""
    done = _run("modinfo", "--parameters", module)
    if done.returncode != 0:
        raise _no_module(module)
    return [line.partition(":")[0] for line in done.stdout.splitlines()]


def load(module: str, *parameters: str) -> None:
    """Loads a module, and what it depends on; CommandError says why it cannot be."""
    done = _run("modprobe", module, *parameters)
    if done.returncode == 0:
        return
    said = done.stderr.strip()
    if "not found in directory" in said:
        raise _no_module(module)
    raise CommandError(
        f"cannot load the module {module}: {_reason(said)}; the kernel's log may say more (dmesg)"
    )


def unload(module: str) -> None:
    """Unloads a module; CommandError says why it stays."""
    done = _run("rmmod", module)
    if done.returncode != 0:
        raise CommandError(f"cannot unload the module {module}: {_reason(done.stderr.strip())}")


def _no_module(module: str) -> CommandError:
    return CommandError(
        f"there is no module {module} for the kernel {os.uname().release}; the guest's image"
        " has it for the kernels that it was built for"
    )


def _parameter(root: Path, module: str, name: str) -> Path:
    return root / "sys/module" / module / "parameters" / name


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        raise CommandError(f"{command[0]} is missing; it is in Debian's package kmod") from None


def _reason(said: str) -> str:
    """The system's words for an error, which modprobe and rmmod put behind the last colon."""
    return said.splitlines()[-1].rpartition(": ")[2] if said else "it does not say why"
