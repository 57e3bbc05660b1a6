# SPDX-License-Identifier: GPL-2.0-or-later
"""What the model and the state machine need of a system under test.

The engine behind its Python face is one such system (`engine_system.py`); a guest shim in front of
it, or a service at the end of a socket, can be others: whatever offers these calls is held to the
same specification. Clients go by name, pools by the id their client was given.
"""

from __future__ import annotations

import dataclasses
import enum
import uuid
from collections.abc import Mapping
from typing import Protocol

Oid = tuple[int, int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Handle:
    """A page as a client names it."""

    client: str
    pool: int
    oid: Oid
    index: int

    @property
    def words(self) -> tuple[str, int, Oid, int]:
        """The arguments that name it in the calls of a system."""
        return (self.client, self.pool, self.oid, self.index)


class PutAnswer(enum.Enum):
    """How a put ended. The names are those of `tmem_host.native.Put`."""

    STORED = enum.auto()
    NO_ROOM = enum.auto()  # a page that was not there: the host has no room
    OVER_LIMIT = enum.auto()  # a page that was not there: over a cap or quota
    FROZEN = enum.auto()  # a page that was not there: the client is frozen
    UNSERVED = enum.auto()  # a page that was not there: the shared pool is not served
    DROPPED = enum.auto()  # a page that was there, whatever the reason: it is gone


class RejectedError(Exception):
    """The system answered a call with an error."""

    def __init__(self, errno: int) -> None:
        super().__init__(f"errno {errno}")
        self.errno = errno


@dataclasses.dataclass(frozen=True, slots=True)
class NewPool:
    """Answer to a request for a pool."""

    id: int
    shared: bool  # as granted


@dataclasses.dataclass(frozen=True, slots=True)
class PoolView:
    """What a client can learn of a pool of its own."""

    persistent: bool
    shared: bool
    uuid: uuid.UUID | None
    members: int  # joins, of all clients
    owner: str
    served: bool
    pages: int
    bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """A client's settings; `encoding` is the name of a `tmem_host.native.Encoding`."""

    weight: int = 0
    trust_group: int = 0
    cap_bytes: int = 0
    persistent_quota_bytes: int = 0
    encoding: str = "LZ4"
    dedup: bool = False
    frozen: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ClientView:
    """What the operator can learn of a client."""

    pools: frozenset[int]
    auth: frozenset[uuid.UUID]
    settings: Settings
    ephemeral_pages: int
    persistent_pages: int
    ephemeral_bytes: int
    persistent_bytes: int
    resumed: bool


@dataclasses.dataclass(frozen=True, slots=True)
class HostView:
    """What the operator can learn of the host."""

    budget_bytes: int
    extent_bytes: int
    resident_bytes: int
    idle_bytes: int
    freeable_bytes: int
    file_bytes: int  # allocated to the arena according to the host's kernel
    ephemeral_pages: int
    persistent_pages: int
    objects: int
    clients: int
    pools: int
    shared_pools: int
    unserved_pools: int
    damaged: int  # records, rows, extents and pages found damaged, in all


@dataclasses.dataclass(frozen=True, slots=True)
class Shrunk:
    """What came of asking for memory back."""

    asked_bytes: int
    returned_bytes: int
    evicted_pages: int
    moved_pages: int
    held_persistent_bytes: int
    held_busy_bytes: int


class System(Protocol):
    """The system under test. Calls raise `RejectedError` where the contract names an error."""

    # Steps that only some systems know: "crash" (lose the process, keep the memory), "reconnect"
    # (lose the channel, keep both ends), "squeeze" (take and give back the host's memory),
    # "absence" (who has not resumed operates all the same: nothing lies between it and the host).
    offers: frozenset[str]

    def create_client(self, client: str) -> None: ...
    def destroy_client(self, client: str) -> None: ...
    def resume(self, client: str) -> None: ...
    def set(self, client: str, changes: Mapping[str, object]) -> None: ...
    def auth_add(self, client: str, uuid: uuid.UUID) -> None: ...
    def auth_remove(self, client: str, uuid: uuid.UUID) -> None: ...
    def auth_all(self, allow: bool) -> None: ...
    def reclaim(self, client: str, bytes_: int) -> int: ...

    def new_pool(
        self, client: str, *, persistent: bool = False, shared: uuid.UUID | None = None
    ) -> NewPool: ...
    def destroy_pool(self, client: str, pool: int) -> None: ...
    def flush_pool(self, client: str, pool: int) -> None: ...
    def serve_empty(self, client: str, pool: int) -> None: ...

    def put(self, client: str, pool: int, oid: Oid, index: int, page: bytes) -> PutAnswer: ...
    def get(self, client: str, pool: int, oid: Oid, index: int) -> bytes | None: ...
    def flush_page(self, client: str, pool: int, oid: Oid, index: int) -> None: ...
    def flush_object(self, client: str, pool: int, oid: Oid) -> None: ...
    def flush_range(self, client: str, pool: int, oid: Oid, first: int, count: int) -> None: ...

    def set_budget(self, bytes_: int) -> Shrunk: ...
    def shrink(self, bytes_: int) -> Shrunk: ...
    def scrub(self, max_pages: int) -> int: ...
    def set_admission(self, name: str) -> None: ...

    def counters(self, client: str | None = None) -> dict[str, int]: ...
    def client_view(self, client: str) -> ClientView: ...
    def pool_view(self, client: str, pool: int) -> PoolView: ...
    def host_view(self) -> HostView: ...

    def reopen(self) -> None: ...
    def crash(self) -> None: ...
    def reconnect(self, client: str) -> None: ...
    def squeeze(self, taken: bool) -> None: ...
    def close(self) -> None: ...
