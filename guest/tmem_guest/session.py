# SPDX-License-Identifier: GPL-2.0-or-later
"""One session over one port for many processes, one after the other.

A file keeps what the next process needs: in $XDG_RUNTIME_DIR/tmem-guest, or /run/tmem-guest where
that is not set; readable by its owner alone, named after the port and the kernel's boot id. While a
process uses the session the file says that there is none to be resumed, so that after a crash the
next one begins a new epoch, which keeps the persistent pages, instead of passing for a guest that
was put back to an earlier moment.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Self

from tmem_guest.cli.errors import CommandError
from tmem_shim.abi import Event, PoolFlags
from tmem_shim.errors import SessionBusy, TmemError
from tmem_shim.pool import Pool
from tmem_shim.records import Config
from tmem_shim.session import BadSavedSession, SavedPool, SavedSession
from tmem_shim.shim import Shim

_VERSION = 1
_LOCK_POLL_S = 0.02
_SAVE_TIMEOUT_S = 10.0


class Session:
    """A context manager: the session at `path` from the state of the last process to that of the
    next. CommandError says in one sentence why there is none."""

    def __init__(self, path: str, timeout_s: float, config: Config | None = None) -> None:
        self.path = path
        self._timeout_s = timeout_s
        self._config = config
        self._file = _state_file(path)
        self._lock = -1
        self._shim: Shim | None = None
        self.resumed = False  # whether what earlier processes left in ephemeral pools may be there

    @property
    def shim(self) -> Shim:
        """The shim, while the session is entered."""
        if self._shim is None:
            raise AssertionError("the session is not entered")
        return self._shim

    def __enter__(self) -> Self:
        self._take_lock()
        try:
            self._begin(self._load())
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._end()
        finally:
            os.close(self._lock)

    def restart(self, config: Config | None) -> None:
        """Goes on in a shim of another configuration, as another process would."""
        saved = self.shim.save(_SAVE_TIMEOUT_S)
        self._config = config
        self._begin(saved)

    def pool(self, *, persistent: bool) -> Pool:
        """The session's pool of that kind, made when it is not there yet."""
        for pool in self.shim.pools():
            if (PoolFlags.PERSISTENT in pool.info().flags) == persistent:
                pool.wait_ready(self._timeout_s)
                return pool
        pool = self.shim.new_pool(persistent=persistent)
        info = pool.wait_ready(self._timeout_s)
        if persistent and info.host_id is not None:
            # Should this process not come to its end, the next one knows of the pool.
            saved = SavedPool(host_id=info.host_id, flags=info.flags)
            self._store(SavedSession(boot_id=self.shim.boot_id, session=None, pools=(saved,)))
        return pool

    # ---- the shim ------------------------------------------------------------------------

    def _begin(self, saved: SavedSession) -> None:
        self._store(_unfinished(saved))
        self._shim = Shim(self.path, config=self._config, session=saved)
        try:
            self.shim.wait(self._timeout_s)
        except TmemError:
            # Nothing was changed: the next process may still resume.
            self.shim.close(orderly=False)
            self._store(saved)
            raise
        self.resumed = any(event is Event.RESUMED for event in self._events())

    def _events(self) -> list[Event]:
        found: list[Event] = []
        while (record := self.shim.next_event()) is not None:
            found.append(record.event)
        return found

    def _end(self) -> None:
        try:
            self._store(self.shim.save(_SAVE_TIMEOUT_S))
        except SessionBusy as error:
            self.shim.close(orderly=False)
            raise CommandError(
                f"{self.path}: the host stopped answering; what was not confirmed is not stored,"
                " and the next command begins a new epoch"
            ) from error
        finally:
            self.shim.close(orderly=False)

    # ---- the file ------------------------------------------------------------------------

    def _take_lock(self) -> None:
        folder = self._file.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(
                self._file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise CommandError(
                f"cannot keep the session in {folder}: {error.strerror};"
                " set XDG_RUNTIME_DIR to a folder of your own"
            ) from error
        end = time.monotonic() + self._timeout_s
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if error.errno != errno.EWOULDBLOCK:
                    raise
            if time.monotonic() >= end:
                os.close(self._lock)
                raise CommandError(f"{self.path}: another tmem-guest is using it; try again later")
            time.sleep(_LOCK_POLL_S)

    def _load(self) -> SavedSession:
        try:
            text = self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return SavedSession(boot_id=os.urandom(16), session=None)
        try:
            values = json.loads(text)
            if not isinstance(values, dict) or values.get("version") != _VERSION:
                raise BadSavedSession(f"not of version {_VERSION}")
            return SavedSession.from_map(values)
        except (ValueError, BadSavedSession) as error:
            raise CommandError(
                f"{self._file} is no saved session ({error}); remove it to begin a new one"
            ) from error

    def _store(self, saved: SavedSession) -> None:
        new = self._file.with_suffix(".new")
        document = {"version": _VERSION, "path": self.path, **saved.to_map()}
        try:
            with contextlib.suppress(FileNotFoundError):
                new.unlink()
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(fd, "w", encoding="utf-8") as file:
                json.dump(document, file)
            new.replace(self._file)
        except OSError as error:
            raise CommandError(f"cannot write {self._file}: {error.strerror}") from error


def _unfinished(saved: SavedSession) -> SavedSession:
    """What is left of the session should this process not come to its end."""
    kept = tuple(pool for pool in saved.pools if PoolFlags.PERSISTENT in pool.flags)
    return SavedSession(boot_id=saved.boot_id, session=None, pools=kept)


def _state_file(path: str) -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime or "/run") / "tmem-guest"
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    key = f"{os.path.realpath(path)}\0{boot_id}".encode("utf-8", "surrogateescape")
    return folder / f"{hashlib.sha256(key).hexdigest()[:24]}.json"
