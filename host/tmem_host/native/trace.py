# SPDX-License-Identifier: GPL-2.0-or-later
"""A file of operations that a server has served (docs/trace.md)."""

from __future__ import annotations

import enum
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tmem_host.native import errors
from tmem_host.native._engine import ffi, lib
from tmem_host.native.abi import PAGE_BYTES, Encoding
from tmem_host.native.arena import encoded_path
from tmem_host.native.records import ReplayReport, record, text
from tmem_shim.handle import Handle

if TYPE_CHECKING:
    from tmem_host.native._engine import tmem_trace, tmem_trace_client
    from tmem_host.native.engine import Engine

# struct tmem_trace_operation
_OPERATION = struct.Struct("<QQQQQIIHhhBBQ")
_SLICE = 4096


class TraceOp(enum.IntEnum):
    """What was done; all but POOL are operations of docs/protocol.md."""

    NEW_POOL = lib.TMEM_OP_NEW_POOL
    DESTROY_POOL = lib.TMEM_OP_DESTROY_POOL
    PUT = lib.TMEM_OP_PUT_PAGE
    GET = lib.TMEM_OP_GET_PAGE
    FLUSH_PAGE = lib.TMEM_OP_FLUSH_PAGE
    FLUSH_OBJECT = lib.TMEM_OP_FLUSH_OBJECT
    FLUSH_RANGE = lib.TMEM_OP_FLUSH_RANGE
    FLUSH_POOL = lib.TMEM_OP_FLUSH_POOL
    START = lib.TMEM_OP_START
    ECHO = lib.TMEM_OP_ECHO
    BYE = lib.TMEM_OP_BYE
    STAT = lib.TMEM_OP_STAT
    POOLS = lib.TMEM_OP_POOLS
    POOL = lib.TMEM_TRACE_OP_POOL  # the client had this pool when it was first seen


class Operation(NamedTuple):
    """One record: the fields of struct tmem_trace_record, and which page it has (0: none).

    Its index is `page_index`, its count `pages`: a tuple has others of these names."""

    time_ns: int
    page_index: int
    oid0: int
    oid1: int
    oid2: int
    pool: int
    ahead: int
    client: int
    pages: int
    result: int
    op: int
    flags: int
    page: int


@dataclass(frozen=True, slots=True)
class TraceClient:
    """A client as it was when its first operation was recorded."""

    number: int
    name: str
    weight: int
    cap_bytes: int
    persistent_quota_bytes: int
    encoding: int
    dedup: bool


class Trace:
    """What could be read of the file at `path`, in memory until it is closed.

    A damaged or cut file is no error: problems() says what is not sound. TraceError when there is
    nothing to be read. A context manager; every method raises ClosedError once it is closed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        loaded = ffi.new("struct tmem_trace **")
        error = ffi.new("struct tmem_error *")
        code = lib.tmem_trace_load(encoded_path(path), loaded, error)
        if code:
            raise errors.TraceError(text(error.message), errno=-code)
        trace = loaded[0]
        self.path = os.fspath(path)
        self._handle: Handle[tmem_trace] = Handle("the trace", trace, lib.tmem_trace_free)
        self.operation_count = trace.operation_count
        self.has_contents = bool(trace.flags & lib.TMEM_TRACE_CONTENTS)
        self.started_ns = trace.started_ns
        self.duration_ns = trace.duration_ns
        self.file_bytes = trace.file_bytes
        self.dropped = trace.dropped
        clients: Any = trace.clients  # an array of them
        self.clients = [_client(clients[number]) for number in range(trace.client_count)]
        self._problems = list(_problems(trace))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the memory back. May be called again."""
        self._handle.close()

    def problems(self) -> list[str]:
        """What is not sound about the file, a sentence each; empty for a whole one."""
        return list(self._problems)

    def operations(self) -> Iterator[Operation]:
        """All records, by time; those of one client in the order in which they were served."""
        for first in range(0, self.operation_count, _SLICE):
            count = min(_SLICE, self.operation_count - first)
            with self._handle as trace:
                array: Any = trace.operations
                part = bytes(ffi.buffer(array + first, count * _OPERATION.size))
            for fields in _OPERATION.iter_unpack(part):
                yield Operation(*fields)

    def contents(self, operation: Operation) -> bytes | None:
        """The page of a put, if it was recorded."""
        if not operation.page:
            return None
        with self._handle as trace:
            contents: Any = trace.contents
            return bytes(ffi.buffer(contents + (operation.page - 1) * PAGE_BYTES, PAGE_BYTES))

    def replay(
        self,
        engine: Engine,
        *,
        encoding: Encoding | None = None,
        incompressible_bytes: int = PAGE_BYTES // 2,
    ) -> ReplayReport:
        """Runs the operations against `engine`, in which none of the clients may exist.

        `encoding` is that of all clients (None: as recorded). Of a page whose contents were not
        recorded, `incompressible_bytes` are random and the rest zeros, the same for a handle each
        time. TraceError.
        """
        options = ffi.new(
            "struct tmem_replay_options *",
            {
                "encoding": -1 if encoding is None else encoding,
                "incompressible_bytes": incompressible_bytes,
            },
        )
        report = ffi.new("struct tmem_replay_report *")
        error = ffi.new("struct tmem_error *")
        with self._handle as trace:
            code = engine.use(
                lambda pointer: lib.tmem_trace_replay(pointer, trace, options, report, error)
            )
        if code:
            raise errors.TraceError(text(error.message), errno=-code)
        return record(ReplayReport, report)


def _client(client: tmem_trace_client) -> TraceClient:
    return TraceClient(
        client.number,
        text(client.name),
        client.weight,
        client.cap_bytes,
        client.persistent_quota_bytes,
        client.encoding,
        bool(client.dedup),
    )


def _problems(trace: tmem_trace) -> Iterator[str]:
    for number, sentence in (
        (trace.damaged_bytes, "{} bytes belong to no whole block: damaged, or cut off"),
        (trace.damaged_blocks, "{} blocks are damaged and were passed over"),
        (trace.lost_records, "{} operations were in damaged blocks"),
        (trace.missing_blocks, "{} blocks are missing"),
        (trace.bad_records, "{} records are of no possible operation and were passed over"),
        (trace.nameless_clients, "the names and settings of {} clients are missing"),
        (trace.dropped, "{} operations were never written: the disk was too slow or full"),
    ):
        if number:
            yield sentence.format(number)
    if trace.end_code:
        yield f"writing ended early: {os.strerror(-trace.end_code)}"
    if not trace.ended:
        yield "the end is missing: the recording was not ended in order, or the file was cut"
