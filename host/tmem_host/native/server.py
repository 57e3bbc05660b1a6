# SPDX-License-Identifier: GPL-2.0-or-later
"""The data plane over one engine."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Self

from tmem_host.native import errors
from tmem_host.native._engine import ffi, lib
from tmem_host.native.abi import CLIENT_NAME_MAX_BYTES, EndReason
from tmem_host.native.arena import encoded_path
from tmem_host.native.records import Event, SessionInfo, TraceStatus, record, text

if TYPE_CHECKING:
    from tmem_host.native._engine import (
        tmem_channel_options,
        tmem_engine,
        tmem_error,
        tmem_server,
    )
    from tmem_host.native.engine import Engine
    from tmem_shim.handle import Handle

SOCKET_PATH_MAX_BYTES: Final = lib.TMEM_SERVER_PATH_MAX
TURN_REQUESTS: Final = lib.TMEM_SERVER_TURN_REQUESTS
TURN_BYTES: Final = lib.TMEM_SERVER_TURN_BYTES

_CLIENT_BYTES = CLIENT_NAME_MAX_BYTES + 1
# How long a wait for an event may keep the server from being closed.
_SLICE_MS = 200

_Make = Callable[["tmem_server", "tmem_channel_options", "tmem_error"], int]


class Server:
    """Serves clients of `engine` over channels; what sessions need is kept at `state_path`.

    `workers` threads (0: one for each two processors); `lease_ms`, `expel_ms` and `giveup_ms` are
    T_lease, T_expel and T_giveup (0: the defaults of c/server/server.h). When it is closed, it
    answers what it has accepted and tells the guests that they can resume later; one that does not
    read that within `patience_ms` is left.

    A context manager; every method raises ClosedError once it is closed, which happens with the
    engine at the latest. Any thread may call any method at any time. Calls about channels raise
    ServerError with a sentence.
    """

    def __init__(
        self,
        engine: Engine,
        state_path: str | os.PathLike[str],
        *,
        workers: int = 0,
        lease_ms: int = 0,
        expel_ms: int = 0,
        giveup_ms: int = 0,
        patience_ms: int = 2000,
    ) -> None:
        options = ffi.new(
            "struct tmem_server_options *",
            {
                "workers": workers,
                "lease_ms": lease_ms,
                "expel_ms": expel_ms,
                "giveup_ms": giveup_ms,
            },
        )

        def start(pointer: tmem_engine) -> tmem_server:
            started = ffi.new("struct tmem_server **")
            error = ffi.new("struct tmem_error *")
            path = encoded_path(state_path)
            code = lib.tmem_server_start(pointer, path, options, started, error)
            if code:
                raise errors.ServerError(text(error.message), errno=-code)
            return started[0]

        def stop(pointer: tmem_server) -> None:
            lib.tmem_server_stop(pointer, patience_ms)

        self.state_path = os.fspath(state_path)
        self._engine = engine
        self._handle: Handle[tmem_server] = engine.serve(start, stop)

    def __repr__(self) -> str:
        return f"<Server over {self._engine.path!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_handle"):  # else it could not be started
            self.close()

    def close(self) -> None:
        """Stops serving. Sessions stay resumable by the next server over the same arena and state
        file. May be called again."""
        self._engine.end_serving(self._handle)

    # ---- channels ------------------------------------------------------------------------

    def listen(
        self,
        path: str | os.PathLike[str],
        *,
        client: str,
        mode: int = 0o600,
        peer_pid: int | None = None,
        peer_uid: int | None = None,
    ) -> int:
        """Listens at `path` for connections of `client`, which is made when there is none of this
        name. A stale socket is replaced. Peers of another process or user than those given are
        refused. Returns the channel's number."""
        options = self._options(client, path, peer_pid, peer_uid, mode=mode)
        return self._make(lib.tmem_server_listen, options)

    def connect(
        self,
        path: str | os.PathLike[str],
        *,
        client: str,
        peer_pid: int | None = None,
        peer_uid: int | None = None,
    ) -> int:
        """Connects to `path`, and again whenever the connection is lost or nothing has come over it
        for ten seconds, until the channel is removed. That nobody listens there yet is no error.
        Returns the channel's number."""
        options = self._options(client, path, peer_pid, peer_uid)
        return self._make(lib.tmem_server_connect, options)

    def adopt(self, connected: socket.socket, *, client: str) -> int:
        """Serves a connected stream socket, which is taken over: it is closed here in any case.
        Returns the channel's number."""
        options = self._options(client, "", None, None)
        descriptor = connected.detach()

        def make(server: tmem_server, options: tmem_channel_options, error: tmem_error) -> int:
            return lib.tmem_server_adopt(server, descriptor, options, error)

        try:
            return self._make(make, options)
        except errors.ClosedError:
            os.close(descriptor)
            raise

    def remove_channel(self, channel: int) -> None:
        """Closes the channel and its connections; sessions stay resumable. UnknownChannel."""
        with self._handle as server:
            code = lib.tmem_server_remove_channel(server, channel)
        if code:
            raise errors.UnknownChannel(f"there is no channel {channel}", errno=-code)

    # ---- sessions ------------------------------------------------------------------------

    def session(self, client: str) -> SessionInfo:
        """The session of `client`, or that it has none. NoSession when no channel was ever for a
        client of this name."""
        info = ffi.new("struct tmem_session_info *")
        with self._handle as server:
            code = lib.tmem_server_session(server, _client_bytes(client), info)
        if code:
            raise errors.NoSession(
                f"the server knows no client {client!r}", errno=-code, client=client
            )
        return record(SessionInfo, info)

    def end_session(self, client: str, reason: EndReason) -> None:
        """Ends the session of `client`: the shared pools it was in are left, and so emptied, before
        this returns. NoSession."""
        with self._handle as server:
            code = lib.tmem_server_end_session(server, _client_bytes(client), reason)
        if code:
            raise errors.NoSession(
                f"client {client!r} has no session to be ended", errno=-code, client=client
            )

    def waited_for(self, shared: uuid.UUID) -> list[str]:
        """The clients that the shared pool waits for; empty while it is served. UnknownPool."""
        room = 0
        with self._handle as server:
            while True:
                names = ffi.new("char[]", max(room, 1) * _CLIENT_BYTES)
                count = lib.tmem_server_waited_for(server, shared.bytes, names, room)
                if count <= room:
                    break
                room = count
        if count < 0:
            raise errors.UnknownPool(f"nobody shares {shared}", errno=-count)
        data = bytes(ffi.buffer(names))
        cut = [data[i * _CLIENT_BYTES : (i + 1) * _CLIENT_BYTES] for i in range(count)]
        return [name.partition(b"\0")[0].decode("utf-8", "surrogateescape") for name in cut]

    # ---- events --------------------------------------------------------------------------

    def next_event(self, timeout_s: float = 0) -> Event | None:
        """The oldest event that nobody has taken, waited for up to `timeout_s` seconds; or None."""
        until = time.monotonic() + timeout_s
        event = ffi.new("struct tmem_event *")
        while True:
            left_ms = max(0, int((until - time.monotonic()) * 1000))
            with self._handle as server:
                if lib.tmem_server_next_event(server, min(left_ms, _SLICE_MS), event):
                    return record(Event, event)
            if not left_ms:
                return None

    def events(self) -> Iterator[Event]:
        """Events as they happen, until the server is closed."""
        with contextlib.suppress(errors.ClosedError):
            while True:
                event = self.next_event(3600)
                if event is not None:
                    yield event

    # ---- the trace of operations ---------------------------------------------------------

    def start_trace(
        self, path: str | os.PathLike[str], *, contents: bool = False, max_bytes: int = 0
    ) -> None:
        """Records what is served from now on in a new file of at most `max_bytes` (0: any number),
        with the pages that are put if `contents`. TraceError: the path is taken, there is a
        recording already, or the system refuses."""
        flags = lib.TMEM_TRACE_CONTENTS if contents else 0
        error = ffi.new("struct tmem_error *")
        with self._handle as server:
            code = lib.tmem_server_trace_start(server, encoded_path(path), flags, max_bytes, error)
        if code:
            raise errors.TraceError(text(error.message), errno=-code)

    def stop_trace(self) -> TraceStatus:
        """Ends the recording once all of it is written. TraceError: there is none."""
        status = ffi.new("struct tmem_trace_status *")
        with self._handle as server:
            code = lib.tmem_server_trace_stop(server, status)
        if code:
            raise errors.TraceError("no trace is being recorded", errno=-code)
        return record(TraceStatus, status)

    def trace_status(self) -> TraceStatus:
        """How far the recording is; `recording` is false when there is none."""
        status = ffi.new("struct tmem_trace_status *")
        with self._handle as server:
            lib.tmem_server_trace_status(server, status)
        return record(TraceStatus, status)

    # --------------------------------------------------------------------------------------

    def _options(
        self,
        client: str,
        path: str | os.PathLike[str],
        peer_pid: int | None,
        peer_uid: int | None,
        *,
        mode: int = 0,
    ) -> tmem_channel_options:
        path_bytes = encoded_path(path)
        if len(path_bytes) > SOCKET_PATH_MAX_BYTES:
            raise ValueError(
                f"a socket's path has at most {SOCKET_PATH_MAX_BYTES} bytes,"
                f" this one {len(path_bytes)}: {os.fspath(path)}"
            )
        return ffi.new(
            "struct tmem_channel_options *",
            {
                "client": _client_bytes(client),
                "path": path_bytes,
                "mode": mode,
                "peer_pid": peer_pid or 0,
                "peer_uid": -1 if peer_uid is None else peer_uid,
            },
        )

    def _make(self, make: _Make, options: tmem_channel_options) -> int:
        error = ffi.new("struct tmem_error *")
        with self._handle as server:
            number = make(server, options, error)
        if number < 0:
            raise errors.ServerError(
                text(error.message), errno=-number, client=text(options.client)
            )
        return number


def _client_bytes(name: str) -> bytes:
    encoded = name.encode("utf-8", "surrogateescape")
    if b"\0" in encoded or len(encoded) > CLIENT_NAME_MAX_BYTES:
        raise ValueError(
            f"a client name has at most {CLIENT_NAME_MAX_BYTES} bytes and no zero byte: {name!r}"
        )
    return encoded
