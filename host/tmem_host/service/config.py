# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration file: every key, what it may be, and what it is when it is not given.

The file is TOML. An unknown key, a wrong type and an impossible value are errors that name file,
line and key; nothing is guessed. docs/configuration.md lists the keys; a test compares both.
"""

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tmem_host.native import CLIENT_NAME_MAX_BYTES, Encoding
from tmem_host.service.settings import (
    boolean,
    choice,
    duration_ms,
    fraction,
    integer,
    listed,
    path,
    setting,
    size,
    size_from,
    socket_path,
    text,
)
from tmem_host.service.tables import (
    Place,
    read_document,
    read_sections,
    read_source,
    read_table,
)


def _encoding(value: Any) -> Encoding:
    return Encoding[choice("raw", "lz4", "zstd")(value).upper()]


@dataclass(frozen=True, kw_only=True)
class ArenaConfig:
    """[arena]: where pages are, and how many."""

    path: Path = setting(path, Path("/dev/shm/tmem/arena"))
    budget: int = setting(size_from(1 << 20), 256 << 20)
    max: int = setting(size, 0)
    extent: int = setting(size, 0)
    eviction: str = setting(choice("lru"), "lru")
    admission: str = setting(choice("always", "second-chance"), "always")
    shared_auth_all: bool = setting(boolean, False)
    scrub: bool = setting(boolean, True)


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """[server]: the data plane."""

    workers: int = setting(integer(0, 64), 0)
    lease: int = setting(duration_ms(100, 1000), 1000)
    expel: int = setting(duration_ms(100, 48_000), 2000)
    giveup: int = setting(duration_ms(0, 600_000), 0)
    patience: int = setting(duration_ms(0, 60_000), 2000)


@dataclass(frozen=True, kw_only=True)
class ControlConfig:
    """[control]: the operator's socket."""

    socket: Path | None = setting(socket_path, None)
    group: str | None = setting(text, None)


@dataclass(frozen=True, kw_only=True)
class PressureConfig:
    """[pressure]: giving memory back to a host that needs it."""

    enabled: bool = setting(boolean, True)
    psi_share: float = setting(fraction, 0.05)
    psi_window: int = setting(duration_ms(500, 10_000), 2000)
    step: float = setting(fraction, 0.1)
    floor: int = setting(size, 16 << 20)
    available_min: int = setting(size, 0)
    calm: int = setting(duration_ms(1000, 3_600_000), 30_000)


@dataclass(frozen=True, kw_only=True)
class MetricsConfig:
    """[metrics]: Prometheus, off unless one of both is given."""

    socket: Path | None = setting(socket_path, None)
    port: int | None = setting(integer(1, 65535), None)


@dataclass(frozen=True, kw_only=True)
class LibvirtConfig:
    """[libvirt]: whose domains are served, off unless a connection is given."""

    uri: str | None = setting(text, None)


@dataclass(frozen=True, kw_only=True)
class ClientConfig:
    """[clients.NAME]: a client, its channel and its settings."""

    listen: Path | None = setting(socket_path, None)
    connect: Path | None = setting(socket_path, None)
    mode: int = setting(integer(0, 0o777), 0o600)
    peer_uid: int | None = setting(integer(0, 2**32 - 2), None)
    weight: int | None = setting(integer(0, 2**32 - 1), None)
    cap: int | None = setting(size, None)
    persistent_quota: int | None = setting(size, None)
    encoding: Encoding | None = setting(_encoding, None)
    zstd_level: int | None = setting(integer(-22, 22), None)
    dedup: bool | None = setting(boolean, None)
    trust_group: int | None = setting(integer(0, 2**32 - 1), None)
    uuids: tuple[uuid.UUID, ...] = setting(listed(uuid.UUID, "a uuid"), ())


@dataclass(frozen=True, kw_only=True)
class Config:
    """The whole file. `source` is where it was read, None for the built-in values."""

    source: Path | None = None
    log_level: str = setting(choice("debug", "info", "warning", "error"), "info")
    state: Path | None = setting(path, None)
    arena: ArenaConfig = field(default_factory=ArenaConfig)
    server: ServerConfig = field(default_factory=ServerConfig)
    control: ControlConfig = field(default_factory=ControlConfig)
    pressure: PressureConfig = field(default_factory=PressureConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    libvirt: LibvirtConfig = field(default_factory=LibvirtConfig)
    clients: dict[str, ClientConfig] = field(default_factory=dict)

    @property
    def state_directory(self) -> Path:
        """Where what must outlive the process is kept, other than pages."""
        return self.state or self.arena.path.parent


SECTIONS: dict[str, type] = {
    "arena": ArenaConfig,
    "server": ServerConfig,
    "control": ControlConfig,
    "pressure": PressureConfig,
    "metrics": MetricsConfig,
    "libvirt": LibvirtConfig,
}


def load(file: Path) -> Config:
    """The configuration in `file`. ConfigError, one sentence with file, line and key."""
    return parse(read_source(file), file)


def parse(source: str, file: Path) -> Config:
    """The configuration that `source` is the text of; `file` is for messages."""
    document, place = read_document(source, file)
    clients = document.pop("clients", {})
    values: dict[str, Any] = {"source": file}
    values |= read_sections(Config, SECTIONS, document, place)
    if not isinstance(clients, dict):
        raise place.error(("clients",), "", "is a table of clients, [clients.NAME]")
    values["clients"] = {name: _client(name, table, place) for name, table in clients.items()}
    config = Config(**values)
    _check(config, place)
    return config


def _client(name: str, table: Any, place: Place) -> ClientConfig:
    section = ("clients", name)
    if not 0 < len(name.encode()) <= CLIENT_NAME_MAX_BYTES or "\0" in name:
        raise place.error(
            section, "", f"has a name of 1 to {CLIENT_NAME_MAX_BYTES} bytes, not this"
        )
    client: ClientConfig = read_table(ClientConfig, table, place, section)
    if (client.listen is None) == (client.connect is None):
        raise place.error(section, "", "one of listen and connect is needed")
    return client


def _check(config: Config, place: Place) -> None:
    """What no key alone can tell."""
    arena, server, metrics = config.arena, config.server, config.metrics
    if arena.max and arena.budget > arena.max:
        raise place.error(("arena",), "budget", "is larger than max")
    if server.expel < server.lease:
        raise place.error(("server",), "expel", "is shorter than lease")
    if server.expel > 48 * server.lease:
        raise place.error(("server",), "expel", "is longer than 48 times lease")
    if server.giveup and server.giveup < 4 * server.lease:
        raise place.error(("server",), "giveup", "is shorter than four times lease (rule R)")
    if metrics.socket and metrics.port:
        raise place.error(("metrics",), "port", "and socket exclude each other")
