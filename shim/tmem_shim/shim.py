# SPDX-License-Identifier: GPL-2.0-or-later
"""The shim (c/shim) in a process: a guest's pools at the end of a socket or a virtio-serial port.

    with Shim("/dev/virtio-ports/org.kvmtmem.0") as shim:
        pool = shim.new_pool(persistent=True)
        pool.wait_ready()
        pool.put((1, 0, 0), 0, bytes(PAGE_BYTES))

A miss and a refused put are results, everything else is an exception of `errors`. Calls run
without the interpreter's lock and may come from any thread; pages are not copied on the way.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import os
import threading
from typing import TYPE_CHECKING, Any, Self

import msgpack

from tmem_shim import errors
from tmem_shim._shim import ffi, lib
from tmem_shim.abi import PAGE_BYTES, PoolFlags, PoolState
from tmem_shim.handle import Handle
from tmem_shim.pool import Pool
from tmem_shim.records import (
    COUNTER_MEANINGS,
    Config,
    EventRecord,
    Info,
    TransportInfo,
    record,
)
from tmem_shim.session import SavedPool, SavedSession

if TYPE_CHECKING:
    import uuid

    from tmem_shim._shim import Array, tmem_shim, tmem_transport

_NEW_POOL_ERRORS = {
    lib.TMEM_EPERM: "a shared pool cannot be persistent",
    lib.TMEM_EMFILE: "the shim has as many pools as it is configured for",
    lib.TMEM_EINVAL: "the flags of the pool are not possible",
}


class Shim:
    """A guest's shim over the stream at `path`, or over the connected socket or open port `fd`.

    The stream is opened, and opened again whenever it is lost, by a thread of its own; so making a
    shim never waits and never fails for want of a host. With `session` it goes on where that one
    stopped; else it is a guest that was just booted, with a random boot id.

    A context manager; leaving it ends the session in order. Any thread may call any method.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        fd: int | None = None,
        config: Config | None = None,
        session: SavedSession | None = None,
    ) -> None:
        self.path = None if path is None else os.fspath(path)
        self.boot_id = session.boot_id if session else os.urandom(16)
        self._pools: list[Pool] = []  # in the order in which they were made, gone ones too
        # Memory of swap areas by their number, the shim's until it gives it back.
        self.lent: dict[int, Array[int]] = {}
        # What hooks call, once they were attached, and how many are; it outlives the shim.
        self.backend: Any = None
        self._holding = threading.Lock()
        self._holders = 0
        self._close_when_released = False
        options = ffi.new(
            "struct tmem_transport_options *",
            {
                "path": _encoded(self.path),
                "fd": -1 if fd is None else fd,
                "config": {
                    **dataclasses.asdict(config or Config()),
                    "boot_id": list(self.boot_id),
                    "implementation": b"tmem_shim",
                },
            },
        )
        made = ffi.new("struct tmem_transport **")
        code = lib.tmem_transport_new(options, made)
        if code == -errno.EINVAL:
            raise errors.BadConfig(f"a shim of {config} is not possible", errno=-code)
        if code:
            raise errors.ShimError(f"no shim: {os.strerror(-code)}", errno=-code)
        self._transport: tmem_transport = made[0]
        release = functools.partial(_free, self._transport)
        shim = lib.tmem_transport_shim(self._transport)
        # What pools use: as long as a call holds it, the shim is there.
        self.handle: Handle[tmem_shim] = Handle("the shim", shim, release)
        if session is not None:
            self._restore(session)
        code = lib.tmem_transport_start(self._transport)
        if code:
            self.handle.close()
            raise errors.ShimError(f"no thread for the shim: {os.strerror(-code)}", errno=-code)

    def _restore(self, session: SavedSession) -> None:
        with self.handle as shim:
            if session.session is not None:
                names = ("session", "tag", "epoch", "digest", "confirmed")
                values = dict(zip(names, session.session, strict=True))
                lib.tmem_shim_restore(shim, ffi.new("struct tmem_shim_saved *", values))
            for pool in session.pools:
                self._adopt(shim, pool)

    def _adopt(self, shim: tmem_shim, pool: SavedPool) -> None:
        info = ffi.new("struct tmem_shim_pool_info *")
        info.host_id = pool.host_id
        info.flags = int(pool.flags)
        info.state = int(PoolState.READY)
        if pool.uuid is not None:
            ffi.buffer(info.uuid)[:] = pool.uuid.bytes  # type: ignore[index]
        pool_id = lib.tmem_shim_adopt_pool(shim, info)
        if pool_id < 0:
            raise errors.BadPool(_NEW_POOL_ERRORS.get(pool_id, "no pool"), errno=-pool_id)
        self.pool(pool_id)

    def __repr__(self) -> str:
        return f"<Shim over {self.path!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "handle"):  # else it could not be made
            self.close(orderly=False)

    # ---- the session ---------------------------------------------------------------------

    def wait(self, timeout_s: float = 10.0) -> Info:
        """Waits until there is a session. NoSession, which says why there is none."""
        with self.handle:
            code = lib.tmem_transport_wait(self._transport, int(timeout_s * 1000))
        if code:
            raise self.no_session("there is no session")
        return self.info()

    def save(self, timeout_s: float = 10.0) -> SavedSession:
        """Waits until everything was answered and closes the shim; whoever makes one with what
        this returns goes on with the session. SessionBusy after `timeout_s`, NoSession; then
        nothing has happened."""
        saved = ffi.new("struct tmem_shim_saved *")
        with self.handle:
            code = lib.tmem_transport_save(self._transport, int(timeout_s * 1000), saved)
            if code == lib.TMEM_EBUSY:
                message = f"operations of the session were not answered within {timeout_s} s"
                raise errors.SessionBusy(message, errno=-code)
            if code:
                raise self.no_session("there is no session to be saved")
            pools = [
                SavedPool(host_id=info.host_id, flags=info.flags, uuid=info.uuid)
                for info in (pool.info() for pool in self.pools())
                if info.state is PoolState.READY and info.host_id is not None
            ]
        self.close(orderly=False)
        return SavedSession(
            boot_id=self.boot_id,
            session=(saved.session, saved.tag, saved.epoch, saved.digest, saved.confirmed),
            pools=tuple(pools),
        )

    def close(self, *, orderly: bool = True, patience_s: float = 2.0) -> None:
        """Ends the session, which gives up its ephemeral pages, once everything queued was sent,
        for which the host has `patience_s`; or, unless `orderly`, falls silent as a guest that was
        killed. Ends every call that waits. May be called again."""
        try:
            with self.handle:
                lib.tmem_transport_stop(self._transport, orderly, int(patience_s * 1000))
        except errors.ClosedError:
            return
        with self._holding:
            self._close_when_released = True
            if self._holders:
                return
        self.handle.close()

    def hold_backend(self) -> Any:
        """What hooks call; until release_backend the shim's memory is there, though it may be
        closed. For Hooks."""
        with self._holding, self.handle as shim:
            if self._close_when_released:
                raise errors.ClosedError("the shim")
            if self.backend is None:
                self.backend = ffi.gc(lib.tmem_shim_backend_new(shim), lib.tmem_shim_backend_free)
            self._holders += 1
        return self.backend

    def release_backend(self) -> None:
        """Nobody calls it any more. For Hooks."""
        with self._holding:
            self._holders -= 1
            closes = self._close_when_released and not self._holders
        if closes:
            self.handle.close()

    def no_session(self, what: str) -> errors.NoSession:
        """The error that says `what`, and the reason as far as it is known."""
        info, transport = self.info(), self.transport()
        where = self.path or "the socket"
        if not transport.connected:
            reason = _STREAM_ERRORS.get(-transport.error, os.strerror(-transport.error))
            code = -transport.error or errno.ENOTCONN
        elif info.last_code:
            reason = f"the host refused it with {info.last_code}"
            code = -info.last_code
        else:
            reason = "the host does not answer"
            code = errno.ETIMEDOUT
        return errors.NoSession(f"{where}: {what}: {reason}", errno=code)

    # ---- pools ---------------------------------------------------------------------------

    def new_pool(self, *, persistent: bool = False, shared: uuid.UUID | None = None) -> Pool:
        """Names a new pool; the host is asked for it as soon as there is a session, so it may be
        used at once, and `wait_ready` tells what became of it. BadPool."""
        flags = PoolFlags.PERSISTENT if persistent else PoolFlags(0)
        if shared is not None:
            flags |= PoolFlags.SHARED
        uuid_bytes = ffi.NULL if shared is None else shared.bytes
        with self.handle as shim:
            code = lib.tmem_shim_new_pool(shim, int(flags), uuid_bytes)
        if code < 0:
            raise errors.BadPool(_NEW_POOL_ERRORS.get(code, f"no pool: {code}"), errno=-code)
        return self.pool(code)

    def pool(self, pool_id: int) -> Pool:
        """Takes note of a pool that was made, so that `pools` and `save` know of it."""
        self._pools.append(Pool(self, pool_id))
        return self._pools[-1]

    def pools(self) -> list[Pool]:
        """The pools there are, in the order in which they were made; first those of the session
        that this shim went on with."""
        return [pool for pool in self._pools if pool.exists()]

    # ---- looking at it -------------------------------------------------------------------

    def stat(self) -> dict[str, int]:
        """What the host holds for this guest, by the names of docs/protocol.md. NoSession."""
        page = bytearray(PAGE_BYTES)
        with ffi.from_buffer("uint8_t[]", page, True) as memory, self.handle as shim:
            size = lib.tmem_shim_stat(shim, memory)
        if size <= 0:
            raise self.no_session("the host does not say what it holds")
        untrusted_map: Any = msgpack.unpackb(bytes(page[:size]))
        if not isinstance(untrusted_map, dict):
            raise errors.ShimError("the host's answer to STAT is no map", errno=errno.EPROTO)
        return {str(key): value for key, value in untrusted_map.items() if isinstance(value, int)}

    def info(self) -> Info:
        """The shim as it is now."""
        info = ffi.new("struct tmem_shim_info *")
        with self.handle as shim:
            lib.tmem_shim_info(shim, info)
        return record(Info, info)

    def transport(self) -> TransportInfo:
        """The stream as it is now."""
        info = ffi.new("struct tmem_transport_info *")
        with self.handle:
            lib.tmem_transport_info(self._transport, info)
        return record(TransportInfo, info)

    def counters(self) -> dict[str, int]:
        """The sums since the shim was made, in the order of COUNTER_MEANINGS."""
        counters = ffi.new("struct tmem_shim_counters *")
        with self.handle as shim:
            lib.tmem_shim_counters(shim, counters)
        return {name: getattr(counters, name) for name in COUNTER_MEANINGS}

    def next_event(self, timeout_s: float = 0.0) -> EventRecord | None:
        """Waits for the oldest event that nobody has taken; None after `timeout_s`."""
        event = ffi.new("struct tmem_transport_event *")
        with self.handle:
            found = lib.tmem_transport_next_event(self._transport, int(timeout_s * 1000), event)
        return record(EventRecord, event) if found else None

    # ---- what happens to guests ----------------------------------------------------------

    def break_channel(self) -> None:
        """Loses the stream, as a channel does; the shim goes on by itself."""
        with self.handle:
            lib.tmem_transport_break(self._transport)

    def pause(self, paused: bool = True) -> None:
        """With `paused`, nothing is sent or received, as in a guest that does not run."""
        with self.handle:
            lib.tmem_transport_pause(self._transport, paused)


_STREAM_ERRORS = {
    0: "it was not tried yet",
    errno.ENOENT: "there is no such port or socket",
    errno.ECONNREFUSED: "nobody listens at the socket",
    errno.EMFILE: "another process has the port open",
    errno.ENOTCONN: "the host has not opened its end of the port",
    errno.ENOTSUP: "it is neither a unix socket nor a character device",
}


def _encoded(path: str | None) -> bytes:
    encoded = b"" if path is None else os.fsencode(path)
    if len(encoded) > lib.TMEM_TRANSPORT_PATH_MAX:
        message = f"{path!r}: a path has at most {lib.TMEM_TRANSPORT_PATH_MAX} bytes here"
        raise errors.BadConfig(message, errno=errno.ENAMETOOLONG)
    return encoded


def _free(transport: tmem_transport, _shim: tmem_shim) -> None:
    lib.tmem_transport_free(transport)
