# SPDX-License-Identifier: GPL-2.0-or-later
"""An experiment's file: every key, what it may be, and what it is when it is not given.

The file is TOML, as that of the service: an unknown key, a wrong type and an impossible value are
errors that name file, line and key. docs/experiments.md lists the keys; a test compares both.
"""

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tmem_host.experiment.arms import ARMS
from tmem_host.experiment.errors import ExperimentError
from tmem_host.provision.paths import source_root
from tmem_host.provision.vm.cluster import NODES_MAX
from tmem_host.provision.vm.spec import IO_PROFILES
from tmem_host.service.settings import (
    Setting,
    boolean,
    choice,
    fraction,
    integer,
    setting,
    size,
    text,
)
from tmem_host.service.tables import read_document, read_sections, read_source

_MIB = 1 << 20
_PAGE = 4096
_GUEST_MIN_MIB = 80
_SEED_MAX = 2**32 - 1


def _mib(value: Any) -> int:
    bytes_ = size(value)
    if bytes_ % _MIB or bytes_ < _GUEST_MIN_MIB * _MIB:
        raise ValueError(f"is a whole number of MiB, {_GUEST_MIN_MIB}MiB at least")
    return bytes_ // _MIB


def _pages(value: Any) -> int:
    bytes_ = size(value)
    if bytes_ % _PAGE or bytes_ == 0:
        raise ValueError('is a whole number of pages of 4 KiB, for instance "96MiB"')
    return bytes_


def _share(value: Any) -> float:
    return 0.0 if value in (0, 0.0) and not isinstance(value, bool) else fraction(value)


def _each(kind: Setting, noun: str) -> Setting:
    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError(f"is a list of at least one {noun}")
        found = tuple(kind(item) for item in value)
        if len(set(found)) < len(found):
            raise ValueError("names something twice")
        return found

    return check


def _package(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", value):
        raise ValueError("is the name of a Debian source package")
    return value


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """[data]: the files that guests read, made from the seed."""

    file_system: str = setting(choice("ocfs2", "ext4"), "ocfs2")
    size: int = setting(_pages, 96 << 20)
    files: int = setting(integer(1, 10_000), 1)
    compressible: float = setting(_share, 0.5)
    duplicates: float = setting(_share, 0.0)


@dataclass(frozen=True, kw_only=True)
class ReadSettings:
    """[read]: how guests read them."""

    pattern: str = setting(choice("sequential", "random"), "random")
    record: int = setting(_pages, 64 << 10)
    passes: int = setting(integer(1, 100), 1)
    settle: bool = setting(boolean, True)


@dataclass(frozen=True, kw_only=True)
class MemorySettings:
    """[load]: what guests hold, and what each of them needs more for a while."""

    base: int = setting(_pages, 32 << 20)
    peak: int = setting(_pages, 96 << 20)
    passes: int = setting(integer(1, 100), 3)
    compressible: float = setting(_share, 0.5)
    swap: int = setting(_pages, 512 << 20)


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """[build]: which Debian source package the guest builds, and how, each in its folder."""

    package: str = setting(_package, "bzip2")
    command: str = setting(text, "make -s bzip2 bzip2recover libbz2.a")
    clean: str = setting(text, "make -s clean")
    check: str = setting(text, "make -s test")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The whole file. `source` is where it was read, `name` what the experiment is called."""

    name: str
    source: Path
    title: str = setting(text, "")
    workload: str = setting(choice("read", "memory", "build"), "read")
    guests: int = setting(integer(1, NODES_MAX), 2)
    memory: tuple[int, ...] = setting(_each(_mib, "size"), (128,))
    vcpus: int = setting(integer(1, 8), 1)
    arms: tuple[str, ...] = setting(_each(choice(*ARMS), "arm"), ("none", "shared"))
    profiles: tuple[str, ...] = setting(_each(choice(*IO_PROFILES), "profile"), ("native",))
    rounds: int = setting(integer(1, 1000), 1)
    seed: int = setting(integer(0, _SEED_MAX), 1)
    arena: int = setting(size, 512 << 20)
    data: DataSettings = field(default_factory=DataSettings)
    read: ReadSettings = field(default_factory=ReadSettings)
    load: MemorySettings = field(default_factory=MemorySettings)
    build: BuildSettings = field(default_factory=BuildSettings)

    @property
    def shares_files(self) -> bool:
        """Whether all guests mount one file system."""
        return self.workload == "read" and self.data.file_system == "ocfs2"

    def as_map(self) -> dict[str, Any]:
        """The keys of the file with all defaults filled in; those of other workloads left out."""
        own = {
            "read": {"data", "read"},
            "memory": {"load"},
            "build": {"build"},
        }[self.workload]
        return {
            item.name: (
                dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value  # type: ignore[arg-type]
            )
            for item in fields(self)
            if "setting" in item.metadata or item.name in own
            for value in [getattr(self, item.name)]
        }


SECTIONS: dict[str, type] = {
    "data": DataSettings,
    "read": ReadSettings,
    "load": MemorySettings,
    "build": BuildSettings,
}


def folder() -> Path:
    """Where the project's own experiments are."""
    return source_root() / "vm-configs" / "experiments"


def names() -> list[str]:
    """The project's own experiments."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def find(name_or_file: str) -> Path:
    """The file of an experiment that is named, or is a file; ExperimentError."""
    if name_or_file.endswith(".toml") or "/" in name_or_file:
        return Path(name_or_file)
    path = folder() / f"{name_or_file}.toml"
    if not path.exists():
        raise ExperimentError(
            f"there is no experiment {name_or_file!r}; there are {', '.join(names())}, or name a"
            " file that ends with .toml"
        )
    return path


def load(file: Path) -> Settings:
    """The experiment in `file`. ConfigError, one sentence with file, line and key."""
    return parse(read_source(file), file)


def parse(source: str, file: Path) -> Settings:
    """The experiment that `source` is the text of; `file` is for messages and its name."""
    document, place = read_document(source, file)
    values: dict[str, Any] = {"name": file.stem, "source": file}
    values |= read_sections(Settings, SECTIONS, document, place)
    return check(Settings(**values), place.error)


def change(settings: Settings, values: dict[str, Any]) -> Settings:
    """`settings` with other values for some keys outside of tables; ExperimentError."""
    known = {item.name: item.metadata["setting"] for item in fields(Settings) if item.metadata}
    checked = {}
    for key, value in values.items():
        try:
            checked[key] = known[key](value)
        except ValueError as error:
            raise ExperimentError(f"{key} {error}") from None
    changed = dataclasses.replace(settings, **checked)
    return check(changed, lambda _, key, message: ExperimentError(f"{key} {message}"))


def check(settings: Settings, error: Callable[[tuple[str, ...], str, str], Exception]) -> Settings:
    """`settings`, unless no key alone is wrong but all together are; what `error` makes of it."""
    data, read = settings.data, settings.read
    if data.files * _PAGE > data.size:
        raise error(("data",), "files", "are more than the size has pages")
    if settings.workload == "read" and read.record > data.size // data.files:
        raise error(("read",), "record", "is larger than a file")
    if settings.workload == "read" and settings.guests > 1 and not settings.shares_files:
        raise error((), "guests", "is 1 where they share no file system (data.file_system)")
    if settings.workload == "build" and settings.guests > 1:
        raise error((), "guests", "is 1 for a build")
    if settings.workload == "memory" and "control" in settings.arms:
        raise error((), "arms", "has control, which is for what guests read")
    if settings.workload == "memory" and settings.load.swap < settings.load.peak:
        raise error(("load",), "swap", "is smaller than peak")
    shared = [name for name in settings.arms if ARMS[name].shares]
    if shared and not settings.shares_files:
        raise error((), "arms", f"has {shared[0]}, and there is nothing to share")
    return settings
