# SPDX-License-Identifier: GPL-2.0-or-later
"""The bytes to and from the host, which may come and go."""

import os
import stat
from collections import deque

_READ_BYTES = 128 << 10


class PortGone(Exception):
    """The port itself is no more: unplugged, or the socket that stands for it was closed."""


class Port:
    """A virtio-serial port, or a socket in its place. Nothing here waits.

    While no host is connected a virtio port reads as ended and takes nothing; it does both again
    once a host is there. An ended socket stays so.
    """

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self._comes_back = stat.S_ISCHR(os.fstat(fd).st_mode)
        self._queue: deque[memoryview] = deque()
        self.queued_bytes = 0

    def read(self) -> bytes | None:
        """What has come; None if there is nothing now, b"" if no host is connected."""
        try:
            data = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            raise PortGone(error.strerror) from error
        if not data and not self._comes_back:
            raise PortGone("closed")
        return data

    def queue(self, data: bytes) -> None:
        """Keeps `data` for flush()."""
        self._queue.append(memoryview(data))
        self.queued_bytes += len(data)

    def flush(self) -> None:
        """Sends as much of what is queued as is taken at once."""
        while self._queue:
            first = self._queue[0]
            try:
                sent = os.write(self.fd, first)
            except BlockingIOError:
                return
            except OSError as error:
                raise PortGone(error.strerror) from error
            self.queued_bytes -= sent
            if sent == len(first):
                self._queue.popleft()
            else:
                self._queue[0] = first[sent:]

    def drop_queue(self) -> None:
        """Forgets what is queued: whom it was for is gone."""
        self._queue.clear()
        self.queued_bytes = 0
