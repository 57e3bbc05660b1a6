# SPDX-License-Identifier: GPL-2.0-or-later
"""The shim's reports as dataclasses.

Each class has the fields of one C struct, under the same names; what a field means is said at the
struct, in c/shim. STRUCTS pairs them, and a test compares the two.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tmem_shim._shim import ffi, lib
from tmem_shim.abi import Event, PoolFlags, PoolState, State

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_NO_HOST_ID = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The bounds of a shim; 0 takes the default, `abi.OFF` switches off what may be."""

    queue_entries: int = 0
    staged_pages: int = 0
    pools: int = 0
    owed_objects: int = 0
    landing_pages: int = 0
    ahead_pages: int = 0
    runs: int = 0
    summary_windows: int = 0
    summary_filter_bits: int = 0
    hello_ms: int = 0
    get_ms: int = 0
    silent_ms: int = 0
    idle_ms: int = 0
    giveup_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """The shim as it is now."""

    state: State
    session: int
    epoch: int
    tag: int
    last_code: int
    giveup_ms: int
    lease_ms: int
    queued: int
    staged: int
    waiting: int
    waiting_loads: int
    landed: int
    shared_pools: int
    owed: int
    token: int
    confirmed: int
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolInfo:
    """A pool as the shim has it. `host_id` is None until the host has given one."""

    id: int
    host_id: int | None
    flags: PoolFlags
    state: PoolState
    uuid: uuid.UUID | None
    refused: int
    owed_objects: int
    owed_pool: bool
    owed_pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportInfo:
    """The stream under the shim, and what went over it."""

    connected: bool
    error: int
    opened: int
    reads: int
    writes: int
    bytes_received: int
    bytes_sent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """Something that happened; `lost` events before it were not taken in time."""

    event: Event
    lost: int
    code: int


STRUCTS: dict[type, str] = {
    Info: "struct tmem_shim_info",
    PoolInfo: "struct tmem_shim_pool_info",
    TransportInfo: "struct tmem_transport_info",
    EventRecord: "struct tmem_transport_event",
}


def _uuid(array: Any) -> uuid.UUID | None:
    value = uuid.UUID(bytes=bytes(ffi.buffer(array)))
    return value if value.int else None


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "int": int,
    "bool": bool,
    "int | None": lambda value: None if value == _NO_HOST_ID else int(value),
    "uuid.UUID | None": _uuid,
    "Event": Event,
    "PoolFlags": PoolFlags,
    "PoolState": PoolState,
    "State": State,
}

Record = TypeVar("Record", bound="DataclassInstance")


def record(kind: type[Record], struct: Any) -> Record:
    """The dataclass `kind` with the values of `struct`, the C struct that STRUCTS gives for it."""
    return kind(
        **{
            field.name: _CONVERTERS[str(field.type)](getattr(struct, field.name))
            for field in dataclasses.fields(kind)
        }
    )


def _text(pointer: Any) -> str:
    return ffi.string(pointer).decode()


# What each counter means, by name, in the order in which they are shown.
COUNTER_MEANINGS: dict[str, str] = {
    _text(entry.name): _text(entry.meaning)
    for entry in (lib.tmem_shim_counter_texts[i] for i in range(lib.tmem_shim_counter_count))
}
