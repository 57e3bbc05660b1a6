# SPDX-License-Identifier: GPL-2.0-or-later
"""A reference to one client of the engine."""

from __future__ import annotations

import contextlib
import errno
import uuid
from typing import TYPE_CHECKING, Self

from tmem_host.native import errors
from tmem_host.native._engine import ffi, lib
from tmem_host.native.abi import Encoding, Oid, PoolFlags
from tmem_host.native.pool import Pool
from tmem_host.native.records import ClientInfo, ClientSettings, Counters, record
from tmem_shim.handle import Handle

if TYPE_CHECKING:
    from tmem_host.native._engine import tmem_client
    from tmem_host.native.engine import Engine

_BAD_FLAGS = {
    lib.TMEM_EPROTO: "the flags name another version of the ABI",
    lib.TMEM_EOPNOTSUPP: "the flags ask for a page size or a precompression that is not served",
    lib.TMEM_EINVAL: "the flags have a reserved bit set",
    lib.TMEM_EPERM: "a shared pool cannot be persistent",
}


class Client:
    """One client, held by a reference until close(); Engine makes these.

    `name` and `uid` stay what they were when the reference was taken. Every method raises
    ClosedError once the reference or the engine is closed and, unless it says otherwise,
    ClientGone once the client was destroyed.
    """

    def __init__(self, engine: Engine, pointer: tmem_client) -> None:
        self._engine = engine
        self.handle: Handle[tmem_client] = engine.hold(pointer)
        info = self.info()
        self.name = info.name
        self.uid = info.uid

    def __repr__(self) -> str:
        return f"<Client {self.name!r}, uid {self.uid}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "handle"):  # else the engine was closed before the reference was held
            self.close()

    def close(self) -> None:
        """Gives the reference back; the client itself stays. May be called again."""
        self._engine.let_go(self.handle)

    # ---- the client ----------------------------------------------------------------------

    def destroy(self) -> None:
        """Destroys the client with its private pools; it leaves its shared ones (rule 26)."""
        with self.handle as client:
            code = lib.tmem_client_destroy(client)
        self._succeeded(code, "destroy")

    def resume(self) -> None:
        """Tells that the client's guest is there again after the arena was reopened (rule R)."""
        with self.handle as client:
            code = lib.tmem_client_resume(client)
        self._succeeded(code, "resume")

    def info(self) -> ClientInfo:
        """The client as it is now. Answers for a destroyed one too, as of its end."""
        info = ffi.new("struct tmem_client_info *")
        with self.handle as client:
            lib.tmem_client_info(client, info)
        return record(ClientInfo, info)

    def counters(self) -> Counters:
        """The sums over all pools the client has or had. Answers for a destroyed one too."""
        counters = ffi.new("struct tmem_counters *")
        with self.handle as client:
            lib.tmem_client_counters(client, counters)
        return record(Counters, counters)

    def settings(self) -> ClientSettings:
        """What is set for the client. Answers for a destroyed one too."""
        return self.info().settings

    def set(
        self,
        *,
        weight: int | None = None,
        trust_group: int | None = None,
        cap_bytes: int | None = None,
        persistent_quota_bytes: int | None = None,
        encoding: Encoding | None = None,
        zstd_level: int | None = None,
        dedup: bool | None = None,
        frozen: bool | None = None,
    ) -> ClientSettings:
        """Changes what is given, leaves the rest, and returns all settings.

        0 for `cap_bytes` and `persistent_quota_bytes` means none. ClientError with errno EINVAL
        for a value that the engine refuses, EBUSY for another trust group while there are pools;
        then nothing has changed. OverflowError for a number that does not fit its C field.
        """
        changes = {
            "weight": weight,
            "trust_group": trust_group,
            "cap_bytes": cap_bytes,
            "persistent_quota_bytes": persistent_quota_bytes,
            "encoding": encoding,
            "zstd_level": zstd_level,
            "dedup": dedup,
            "frozen": frozen,
        }
        # Read, change, write: two threads that set different things must not undo each other.
        with self._engine.settings_lock, self.handle as client:
            info = ffi.new("struct tmem_client_info *")
            lib.tmem_client_info(client, info)
            for name, value in changes.items():
                if value is not None:
                    setattr(info.settings, name, value)
            settings = ffi.new("struct tmem_client_settings *", info.settings)
            code = lib.tmem_client_set(client, settings)
        self._succeeded(code, "set")
        return record(ClientSettings, settings)

    def freeze(self) -> None:
        """Refuses new pages and new pools from now on (rule 48)."""
        self.set(frozen=True)

    def thaw(self) -> None:
        """Ends what freeze() began."""
        self.set(frozen=False)

    def reclaim(self, bytes_: int) -> int:
        """Evicts ephemeral pages charged to the client until `bytes_` are free or none is left.

        Returns the bytes freed, which stay in the arena. Frees nothing for a destroyed client.
        """
        with self.handle as client:
            return lib.tmem_client_reclaim(client, bytes_)

    # ---- what it may share ---------------------------------------------------------------

    def auth_add(self, shared: uuid.UUID) -> bool:
        """Lets the client join the shared pool `shared` (rule 30); False if it could already."""
        with self.handle as client:
            code = lib.tmem_client_auth_add(client, shared.bytes)
        if code == lib.TMEM_EEXIST:
            return False
        self._succeeded(code, "auth add")
        return True

    def auth_remove(self, shared: uuid.UUID) -> bool:
        """Takes that right back; False if there was none. Pools it joined stay (rule 32)."""
        with self.handle as client:
            code = lib.tmem_client_auth_remove(client, shared.bytes)
        if code == lib.TMEM_ENOENT:
            return False
        self._succeeded(code, "auth remove")
        return True

    def auth_list(self) -> list[uuid.UUID]:
        """The uuids the client may share. Answers for a destroyed client too."""
        size = lib.TMEM_UUID_BYTES
        room = 0
        with self.handle as client:
            while True:
                uuids = ffi.new("uint8_t[]", room * size)
                count = lib.tmem_client_auth_list(client, uuids, room)
                if count <= room:
                    break
                room = count  # more than there was room for, or some were just added
        data = bytes(ffi.buffer(uuids))
        return [uuid.UUID(bytes=data[i * size : (i + 1) * size]) for i in range(count)]

    # ---- pools ---------------------------------------------------------------------------

    def new_pool(
        self,
        *,
        persistent: bool = False,
        shared: uuid.UUID | None = None,
        flags: int | None = None,
    ) -> Pool:
        """Makes a pool, or joins the shared pool of that uuid (guarantee I: see granted_shared).

        `flags` is the whole flag word instead, as a guest would send it, unchecked.

        BadPoolFlags, FrozenError, TooManyPools; PoolError with errno ENOMEM. Nothing was made then.
        """
        if flags is None:
            flags = lib.TMEM_ABI_VERSION << lib.TMEM_POOL_VERSION_SHIFT
            flags |= PoolFlags.PERSISTENT if persistent else 0
            flags |= PoolFlags.SHARED if shared is not None else 0
        elif persistent:
            raise ValueError("either the flag word or what it consists of")
        pool_id = ffi.new("uint32_t *")
        granted = ffi.new("uint32_t *")
        shared_bytes = ffi.NULL if shared is None else shared.bytes
        with self.handle as client:
            code = lib.tmem_pool_new(client, shared_bytes, flags, pool_id, granted)
        if code:
            raise self._no_new_pool(code)
        return Pool(self, pool_id[0], granted_shared=bool(granted[0] & PoolFlags.SHARED))

    def pool(self, pool_id: int) -> Pool:
        """The client's pool of that id; UnknownPool."""
        found = Pool(self, pool_id, granted_shared=False)
        found.granted_shared = PoolFlags.SHARED in found.info().flags
        return found

    def pools(self) -> list[Pool]:
        """The client's pools by id. One that another thread destroys meanwhile may be left out."""
        found = []
        with self.handle as client:
            pool_id = lib.tmem_pool_next(client, -1)
            while pool_id >= 0:
                with contextlib.suppress(errors.UnknownPool):
                    found.append(self.pool(pool_id))
                pool_id = lib.tmem_pool_next(client, pool_id)
        if pool_id == lib.TMEM_ENODEV:
            raise self._gone()
        return found

    # ---- errors --------------------------------------------------------------------------

    def no_such_pool(
        self, pool_id: int, oid: Oid | None = None, index: int | None = None
    ) -> errors.TmemError:
        """The error for -ENODEV of a call on a pool: it says whether pool or client is missing."""
        if self._engine.names(self.name, self.handle):
            return errors.UnknownPool(
                f"client {self.name!r} has no pool {pool_id}",
                errno=errno.ENODEV,
                client=self.name,
                pool=pool_id,
                oid=oid,
                index=index,
            )
        return self._gone()

    def _gone(self) -> errors.ClientGone:
        return errors.ClientGone(
            f"client {self.name!r} was destroyed", errno=errno.ENODEV, client=self.name
        )

    def _succeeded(self, code: int, operation: str) -> None:
        if code == lib.TMEM_ENODEV:
            raise self._gone()
        if code:
            reason = "not while it holds pools" if code == lib.TMEM_EBUSY else f"error {code}"
            raise errors.ClientError(
                f"{operation} of client {self.name!r} was refused: {reason}",
                errno=-code,
                client=self.name,
            )

    def _no_new_pool(self, code: int) -> errors.TmemError:
        if code == lib.TMEM_ENODEV:
            return self._gone()
        if code in _BAD_FLAGS:
            return errors.BadPoolFlags(_BAD_FLAGS[code], errno=-code, client=self.name)
        if code == lib.TMEM_EFROZEN:
            message = f"client {self.name!r} is frozen"
            return errors.FrozenError(message, errno=-code, client=self.name)
        if code == lib.TMEM_EMFILE:
            message = f"client {self.name!r} holds {lib.TMEM_POOLS_PER_CLIENT_MAX} pools already"
            return errors.TooManyPools(message, errno=-code, client=self.name)
        message = f"no new pool for client {self.name!r}: error {code}"
        return errors.PoolError(message, errno=-code, client=self.name)
