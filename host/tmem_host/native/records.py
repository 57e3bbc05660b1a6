# SPDX-License-Identifier: GPL-2.0-or-later
"""What engine and server report, as dataclasses.

Each class has the fields of one C struct, under the same names; what a field means is said at the
struct, in c/engine/engine.h, c/server/server.h or c/server/trace_read.h. STRUCTS pairs them, and
a test compares the two.
"""

import functools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from tmem_host.native._engine import ffi, lib
from tmem_host.native.abi import Encoding, EventKind, PoolFlags, SessionState

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the host holds, and could have back (bytes, pages, counts)."""

    budget_bytes: int
    max_bytes: int
    extent_bytes: int
    resident_bytes: int
    idle_bytes: int
    record_bytes: int
    payload_bytes: int
    slot_bytes: int
    heap_bytes: int
    ephemeral_pages: int
    persistent_pages: int
    objects: int
    freeable_bytes: int
    clients: int
    pools: int
    shared_pools: int
    unserved_pools: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShrinkReport:
    """What a shrink gave back, and why not more."""

    asked_bytes: int
    returned_bytes: int
    evicted_pages: int
    moved_pages: int
    held_persistent_bytes: int
    held_busy_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What opening the arena found, and what scrubbing has found since."""

    pages: int
    stale_records: int
    damaged_records: int
    damaged_rows: int
    damaged_extents: int
    scrubbed_pages: int
    scrub_damaged_pages: int
    scrub_done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Sums since the engine was opened; COUNTER_MEANINGS explains each."""

    puts_stored: int
    puts_replaced: int
    refused_frozen: int
    refused_cap: int
    refused_quota: int
    refused_full: int
    refused_host: int
    refused_unserved: int
    refused_admission: int
    gets_hit: int
    gets_missed: int
    gets_unserved: int
    gets_damaged: int
    gets_empty: int
    hits_other: int
    dup_puts_flushed: int
    page_flushes: int
    page_flushes_found: int
    object_flushes: int
    object_flushes_found: int
    range_flushes: int
    range_flushes_found: int
    pool_flushes: int
    pool_flushes_found: int
    evicted: int
    damaged: int
    encoded_same: int
    encoded_raw: int
    encoded_lz4: int
    encoded_zstd: int
    deduplicated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """What an operator can set for a client."""

    weight: int
    trust_group: int
    cap_bytes: int
    persistent_quota_bytes: int
    encoding: Encoding
    zstd_level: int
    dedup: bool
    frozen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientInfo:
    """A client, its settings, and what is charged to it."""

    name: str
    uid: int
    pools: int
    settings: ClientSettings
    ephemeral_pages: int
    persistent_pages: int
    ephemeral_bytes: int
    persistent_bytes: int
    share_bytes: int
    resumed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolInfo:
    """A pool as one client sees it. `uuid` is None for a private pool."""

    id: int
    flags: PoolFlags
    uuid: uuid.UUID | None
    members: int
    owner: int
    served: bool
    pages: int
    objects: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArenaReport:
    """What is in an arena's file, and what of it is damaged."""

    format_version: int
    features_incompat: int
    features_compat: int
    file_bytes: int
    resident_bytes: int
    extent_bytes: int
    max_bytes: int
    extents: int
    clients: int
    pools: int
    shared_pools: int
    ephemeral_pages: int
    persistent_pages: int
    payload_bytes: int
    stale_records: int
    damaged_records: int
    damaged_rows: int
    damaged_extents: int
    damaged_contents: int
    header_damaged: bool
    in_use: bool

    @property
    def sound(self) -> bool:
        """Whether nothing was found damaged. A stale record is no damage: it was superseded."""
        return not (
            self.damaged_records
            or self.damaged_rows
            or self.damaged_extents
            or self.damaged_contents
            or self.header_damaged
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """The session of a client, and what its connections have cost."""

    client: str
    state: SessionState
    session: int
    epoch: int
    boot_id: bytes
    implementation: str
    tag: int
    shared_pools: int
    since_ns: int
    echo_age_ns: int | None
    bytes_in: int
    bytes_out: int
    requests: int
    turns: int
    most_turn_requests: int
    most_waited_requests: int
    reply_writes: int
    damaged_streams: int
    refused_messages: int
    stalled_ns: int
    unserved_gets: int
    presence_bitmaps: int
    ahead_pages: int
    buffered_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to the server. `client` is empty where it was about none."""

    time_ns: int
    kind: EventKind
    code: int
    client: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceStatus:
    """How far the recording of a trace is."""

    recording: bool
    flags: int
    clients: int
    code: int
    duration_ns: int
    records: int
    dropped: int
    file_bytes: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """What came of the operations of a trace in an engine."""

    gets: int
    gets_hit: int
    gets_hit_recorded: int
    ahead_pages: int
    puts: int
    puts_done: int
    puts_done_recorded: int
    flushes: int
    pool_operations: int
    passed_over: int
    made_up_pages: int
    get_ns: int
    put_ns: int
    flush_ns: int


STRUCTS: dict[type, str] = {
    Usage: "struct tmem_usage",
    ShrinkReport: "struct tmem_shrink_report",
    Recovery: "struct tmem_recovery",
    Counters: "struct tmem_counters",
    ClientSettings: "struct tmem_client_settings",
    ClientInfo: "struct tmem_client_info",
    PoolInfo: "struct tmem_pool_info",
    ArenaReport: "struct tmem_arena_report",
    SessionInfo: "struct tmem_session_info",
    Event: "struct tmem_event",
    TraceStatus: "struct tmem_trace_status",
    ReplayReport: "struct tmem_replay_report",
}


def text(array: Any) -> str:
    """A C string; bytes that are not UTF-8 survive the way there and back."""
    return ffi.string(array).decode("utf-8", "surrogateescape")


def _shared_uuid(array: Any) -> uuid.UUID | None:
    value = bytes(ffi.buffer(array))
    return uuid.UUID(bytes=value) if any(value) else None


_NEVER = 2**64 - 1

_CONVERTERS: dict[Any, Callable[[Any], Any]] = {
    int: int,
    int | None: lambda number: None if number == _NEVER else int(number),
    bool: bool,
    bytes: lambda array: bytes(ffi.buffer(array)),
    str: text,
    Encoding: Encoding,
    EventKind: EventKind,
    SessionState: SessionState,
    PoolFlags: PoolFlags,
    uuid.UUID | None: _shared_uuid,
    ClientSettings: lambda struct: record(ClientSettings, struct),
}

Record = TypeVar("Record", bound="DataclassInstance")


def record(kind: type[Record], struct: Any) -> Record:
    """The dataclass `kind` with the values of `struct`, the C struct that STRUCTS gives for it."""
    return kind(**{name: convert(getattr(struct, name)) for name, convert in _fields_of(kind)})


@functools.cache
def _fields_of(kind: "type[DataclassInstance]") -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    return tuple((field.name, _CONVERTERS[field.type]) for field in fields(kind))


# What each counter means, by name, in the order in which they are shown.
COUNTER_MEANINGS: dict[str, str] = {
    text(entry.name): text(entry.meaning)
    for entry in (lib.tmem_counter_texts[i] for i in range(lib.tmem_counter_count))
}
