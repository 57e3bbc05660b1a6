# SPDX-License-Identifier: GPL-2.0-or-later
"""What the host sends to a guest, from wherever it comes."""

import io
import os
import stat
from typing import BinaryIO

from tmem_shim.agent_protocol import CHUNK_BYTES


class Source:
    """Bytes, a file, or something like a pipe or a terminal, which is never waited for.

    Of the last kind, what a buffered reader has already taken from it is not seen.
    """

    def __init__(self, source: bytes | BinaryIO) -> None:
        self._file = io.BytesIO(source) if isinstance(source, bytes) else source
        self.fd = _pollable(self._file)
        """to be polled before take(); None if that never waits"""
        self._start = self._file.tell() if self.fd is None and self._file.seekable() else None
        self._taken = False

    def rewind(self) -> bool:
        """Goes back to the beginning; False if that is not possible once something was taken."""
        if self._start is None:
            return not self._taken
        self._file.seek(self._start)
        return True

    def take(self) -> bytes:
        """The next bytes, b"" at the end."""
        self._taken = True
        if self.fd is not None:
            return os.read(self.fd, CHUNK_BYTES)
        return self._file.read(CHUNK_BYTES)


def _pollable(file: BinaryIO) -> int | None:
    try:
        fd = file.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return None
    return None if stat.S_ISREG(os.fstat(fd).st_mode) else fd
