# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is at the other end of a unix socket, as the kernel says."""

import array
import os
import socket
import struct
from dataclasses import dataclass

_CREDENTIALS = struct.Struct("3i")
# <asm-generic/socket.h>; Python does not name it, and takes answers of up to so many bytes.
_SO_PEERGROUPS = 59
_ANSWER_BYTES_MAX = 1024


@dataclass(frozen=True, slots=True)
class Peer:
    """A process, when it connected or called listen()."""

    pid: int
    uid: int
    gid: int

    def __str__(self) -> str:
        return f"process {self.pid} of user {self.uid}"


def peer_of(connection: socket.socket) -> Peer:
    """Who connected, or who called listen() on the socket that `connection` is connected to.

    libvirt makes a channel's socket and hands it to QEMU, which calls listen() again; that counts.
    """
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return Peer(*_CREDENTIALS.unpack(raw))


def is_meant_for(connection: socket.socket, gid: int) -> bool:
    """Whether a socket with rights for its owner, us, and its group `gid` is meant for the peer:
    root, our own user, or a member of the group. The rights of the socket's file say the same, but
    a chmod is easily mistaken."""
    peer = peer_of(connection)
    return peer.uid in (0, os.geteuid()) or gid in (peer.gid, *_other_groups(connection))


def _other_groups(connection: socket.socket) -> list[int]:
    try:
        answer = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _ANSWER_BYTES_MAX)
    except OSError:  # they do not fit; the peer's own group still counts
        return []
    return array.array("I", answer).tolist()
