# SPDX-License-Identifier: GPL-2.0-or-later
"""What the methods answer: maps of plain values, made of the engine's and server's records."""

import contextlib
import dataclasses
import enum
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmem_host.native import (
    Client,
    ClientGone,
    Engine,
    NoSession,
    Server,
    SessionInfo,
    SessionState,
    UnknownPool,
)

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


def state_of(session: SessionInfo | None) -> str:
    """How a client is: "none" before its first session, "gone" after its last; else the session's
    state."""
    if session is None or (session.state is SessionState.NONE and session.epoch == 0):
        return "none"
    return "gone" if session.state is SessionState.NONE else session.state.name.lower()


def waited_for(server: Server, shared: uuid.UUID | None) -> list[str]:
    """The members that keep a shared pool from being served."""
    if shared is None:
        return []
    try:
        return server.waited_for(shared)
    except UnknownPool:  # known from the arena, and nobody has come back
        return ["every member"]


def unserved_pools(engine: Engine, server: Server) -> int:
    """How many shared pools wait for a member: after a restart, or because of its lease, of which
    the engine does not know."""
    shared = set()
    for client in engine.clients():
        # a client or a pool that ends meanwhile does not count
        with contextlib.suppress(ClientGone, UnknownPool):
            shared |= {pool.info().uuid for pool in client.pools()}
    return sum(bool(waited_for(server, uuid)) for uuid in shared)


def silent_seconds(server: Server, members: list[str]) -> dict[str, float]:
    """How long each of them, if it ever had a session, has not been heard of."""
    silent = {}
    for name in members:
        if (session := session_of(server, name)) is not None:
            echo_age_ns = session.echo_age_ns
            silent[name] = (_since_ns(session) if echo_age_ns is None else echo_age_ns) / 1e9
    return silent


def _since_ns(session: SessionInfo) -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - session.since_ns


def client_line(server: Server, client: Client) -> dict[str, Any]:
    """A client in a list."""
    info = as_map(client.info())
    info["state"] = state_of(session_of(server, client.name))
    return info


def client_whole(server: Server, client: Client) -> dict[str, Any]:
    """Everything about a client."""
    whole = client_line(server, client)
    session = session_of(server, client.name)
    whole["session"] = None
    if session is not None and whole["state"] != "none":
        since = {"since_seconds": _since_ns(session) / 1e9}
        whole["session"] = as_map(session) | {"state": whole["state"]} | since
    whole["uuids"] = [str(shared) for shared in client.auth_list()]
    whole["counters"] = as_map(client.counters())
    whole["pool_list"] = []
    for pool in client.pools():
        try:
            info = pool.info()
        except UnknownPool:  # destroyed meanwhile
            continue
        line = as_map(info)
        line["waits_for"] = waited_for(server, info.uuid)
        line["silent_seconds"] = silent_seconds(server, line["waits_for"])
        whole["pool_list"].append(line)
    return whole
