# SPDX-License-Identifier: GPL-2.0-or-later
"""read_file and write_file: a file in chunks, never the whole of it in memory."""

import contextlib
import os
import stat

from tmem_guest.agent.job import Arguments, Channel, Job, RequestError
from tmem_shim.agent_protocol import CHUNK_BYTES


class ReadFile(Job):
    """Sends a regular file, also one of /proc or /sys, up to its end at the time of reading."""

    def __init__(self, channel: Channel, arguments: Arguments) -> None:
        path = arguments.text("path")
        arguments.finish()
        self._channel = channel
        self._path = path
        self._bytes = 0
        try:
            # Opening a FIFO would wait for a writer.
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise RequestError.of(f"read {path!r}", error) from error
        self._mode = os.fstat(self._fd).st_mode
        if not stat.S_ISREG(self._mode):
            os.close(self._fd)
            raise RequestError("os", f"cannot read {path!r}: not a regular file", "EINVAL")

    def data(self, data: bytes) -> None:
        self._channel.taken(len(data))

    def end(self) -> None:
        pass

    def pump(self) -> bool:
        if not self._channel.room():
            return False
        try:
            data = os.read(self._fd, CHUNK_BYTES)
        except OSError as error:
            self.abort()
            raise RequestError.of(f"read {self._path!r}", error) from error
        if data:
            self._bytes += len(data)
            self._channel.data("file", data)
            return True
        self.abort()
        self._channel.result({"bytes": self._bytes, "mode": stat.S_IMODE(self._mode)})
        return False

    def abort(self) -> None:
        if not self.done:
            self.done = True
            os.close(self._fd)


class WriteFile(Job):
    """Takes a file.

    The file appears, or is replaced, whole or not at all; a link is followed, not replaced. A new
    file gets `mode` (0644 if none is given), an existing one keeps its own unless one is given.
    With `in_place` an existing file is written as it is, without cutting it first: for attributes
    under /proc and /sys and for devices; each chunk is then one write.
    """

    def __init__(self, channel: Channel, arguments: Arguments) -> None:
        path = arguments.text("path")
        mode = arguments.whole("mode")
        self._in_place = arguments.flag("in_place")
        arguments.finish()
        if mode is not None and mode > 0o7777:
            raise RequestError("bad-request", "the argument mode must be at most 07777")
        self._channel = channel
        self._said_path = path
        self._path = os.path.realpath(path)
        self._bytes = 0
        try:
            if self._in_place:
                self._open_path = self._path
                self._fd = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                os.set_blocking(self._fd, True)
                if mode is not None:
                    os.fchmod(self._fd, mode)
            else:
                self._create(mode)
        except OSError as error:
            raise self._error(error) from error

    def _create(self, mode: int | None) -> None:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            mode = 0o644 if mode is None else mode
            owner = None
        else:
            if not stat.S_ISREG(found.st_mode):
                reason = f"cannot write {self._said_path!r}: not a regular file"
                raise RequestError("os", reason, "EISDIR" if stat.S_ISDIR(found.st_mode) else "")
            mode = stat.S_IMODE(found.st_mode) if mode is None else mode
            owner = (found.st_uid, found.st_gid)
        folder, _ = os.path.split(self._path)
        self._open_path = os.path.join(folder, f".tmem-agent.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            # Left by an agent that was killed.
            os.unlink(self._open_path)
        self._fd = os.open(
            self._open_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
        )
        try:
            if owner is not None:
                os.fchown(self._fd, *owner)
            os.fchmod(self._fd, mode)
        except OSError:
            self.abort()
            raise

    def data(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError as error:
            self.abort()
            raise self._error(error) from error
        self._bytes += len(data)
        self._channel.taken(len(data))

    def end(self) -> None:
        try:
            if not self._in_place:
                os.rename(self._open_path, self._path)
        except OSError as error:
            self.abort()
            raise self._error(error) from error
        self.done = True
        os.close(self._fd)
        self._channel.result({"bytes": self._bytes})

    def abort(self) -> None:
        if not self.done:
            self.done = True
            os.close(self._fd)
            if not self._in_place:
                os.unlink(self._open_path)

    def _error(self, error: OSError) -> RequestError:
        return RequestError.of(f"write {self._said_path!r}", error)
