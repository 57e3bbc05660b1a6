# SPDX-License-Identifier: GPL-2.0-or-later
"""What the methods answer: maps of plain values, made of the engine's and server's records."""

import dataclasses
import enum
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmem_host.native import Client, NoSession, Server, SessionInfo, UnknownPool

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def plain(value: Any) -> Any:
    """`value` with only what msgpack and JSON know: enumerations by name, uuids as text."""
    match value:
        case enum.Flag():
            return [flag.name.lower() for flag in value if flag.name]
        case enum.Enum():
            return value.name.lower()
        case uuid.UUID() | Path():
            return str(value)
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case bytes():
            return value.hex()
    return value


def as_map(record: "DataclassInstance") -> dict[str, Any]:
    """A dataclass as such a map."""
    return {
        item.name: (
            as_map(value) if dataclasses.is_dataclass(value) else plain(value)  # type: ignore[arg-type]
        )
        for item in dataclasses.fields(record)
        for value in [getattr(record, item.name)]
    }


def session_of(server: Server, name: str) -> SessionInfo | None:
    """The client's session, if it ever had one."""
    try:
        return server.session(name)
    except NoSession:
        return None


def waited_for(server: Server, shared: uuid.UUID | None) -> list[str]:
    """The members that keep a shared pool from being served."""
    if shared is None:
        return []
    try:
        return server.waited_for(shared)
    except UnknownPool:  # known from the arena, and nobody has come back
        return ["every member"]


def client_line(server: Server, client: Client) -> dict[str, Any]:
    """A client in a list."""
    info = as_map(client.info())
    session = session_of(server, client.name)
    info["state"] = plain(session.state) if session else "none"
    return info


def client_whole(server: Server, client: Client) -> dict[str, Any]:
    """Everything about a client."""
    whole = client_line(server, client)
    session = session_of(server, client.name)
    whole["session"] = None
    if session is not None:
        since_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - session.since_ns
        whole["session"] = as_map(session) | {"since_seconds": since_ns / 1e9}
    whole["uuids"] = [str(shared) for shared in client.auth_list()]
    whole["counters"] = as_map(client.counters())
    whole["pool_list"] = []
    for pool in client.pools():
        info = pool.info()
        line = as_map(info)
        line["waits_for"] = waited_for(server, info.uuid)
        whole["pool_list"].append(line)
    return whole
