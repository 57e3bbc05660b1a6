# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest in Python, from docs/protocol.md alone: one connection, and what a shim must remember to
resume. It does nothing by itself, so that a test can do everything wrong that a guest can."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgpack

from tests.wire.reference import HEADER_BYTES, Message, decode, message_bytes

PAGE_BYTES = 4096
Oid = tuple[int, int, int]
OID: Oid = (1, 2, 3)

NEW_POOL, DESTROY_POOL, PUT, GET, FLUSH_PAGE, FLUSH_OBJECT = 1, 2, 4, 5, 6, 7
FLUSH_RANGE, FLUSH_POOL = 16, 17
HELLO, START, ECHO, BYE, STAT, POOLS = 32, 33, 34, 35, 36, 37
REPLY, CUMULATIVE, AHEAD, PRESENCE, TOKEN, NEW_MOUNT = 1, 2, 4, 8, 16, 32
PERSISTENT, SHARED, ABI_VERSION = 1, 2, 1 << 24
MISS, DONE, EEMPTY = 0, 1, -1001
EAGAIN, ENODEV, EINVAL, ENOSPC, EPROTO, EILSEQ, EOPNOTSUPP = -11, -19, -22, -28, -71, -84, -95
ECONNRESET, ESHUTDOWN, ETIMEDOUT, ESTALE, EUCLEAN = -104, -108, -110, -116, -117
RESUME, NEW_EPOCH = 1, 2
ALL_POOLS = 2**64 - 1

_RECEIVE_S = 20.0  # a server that is silent for so long is broken, or the machine is


class Ended(Exception):
    """The host has closed the connection."""


class Farewell(Exception):
    """The host has ended the session; `reason` says why."""

    def __init__(self, bye: Message) -> None:
        super().__init__(f"BYE {bye.status} behind tag {bye.tag}")
        self.reason = bye.status
        self.tag = bye.tag


@dataclass
class Memory:
    """What a guest remembers over connections; another boot has another one."""

    boot_id: bytes
    session: int = 0
    key: int = 0
    tag: int = 0  # of the newest request
    chains: dict[int, int] = field(default_factory=lambda: {0: 0})
    token: int = 0  # the newest received
    confirmed: int = 0  # the newest whose echo was answered


class Peer:
    """One connection of a guest that remembers `memory`."""

    def __init__(self, connected: socket.socket, memory: Memory) -> None:
        self.socket = connected
        self.socket.settimeout(_RECEIVE_S)
        self.memory = memory
        self.received = b""
        self.offer: dict[str, Any] = {}

    @classmethod
    def connect(cls, path: str, memory: Memory) -> Peer:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.connect(path)
        except OSError:
            connected.close()
            raise
        return cls(connected, memory)

    def close(self) -> None:
        self.socket.close()

    # ---- messages ------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self, keys: tuple[int, ...] | None = None) -> Message:
        """The next message; what is none is an AssertionError, since a host does not lie."""
        while True:
            if len(self.received) >= HEADER_BYTES:
                size = message_bytes(int.from_bytes(self.received[8:10], "little"))
                if len(self.received) >= size:
                    return self._take(size, keys)
            data = self.socket.recv(1 << 18)
            if not data:
                raise Ended
            self.received += data

    def _take(self, size: int, keys: tuple[int, ...] | None) -> Message:
        whole, self.received = self.received[:size], self.received[size:]
        tried = keys or (self.memory.key, self.offer.get("key", 0), 0)
        message = next((m for key in tried if (m := decode(whole, key)) is not None), None)
        assert message is not None, f"the host sent what is no message: {whole[:64].hex()}"
        assert message.flags & REPLY
        if message.flags & TOKEN:
            self.memory.token = message.oid[2]
        return message

    def request(self, op: int, **fields: Any) -> bytes:
        """The next request of the session, to be sent."""
        memory = self.memory
        memory.tag = memory.tag + 1 & 0xFFFFFFFF
        message = Message(op, tag=memory.tag, session=memory.session, **fields)
        memory.chains[memory.tag] = message.chain(memory.chains[memory.tag - 1 & 0xFFFFFFFF])
        return message.encode(memory.key)

    def replies(self, until_tag: int) -> Iterator[Message]:
        """What comes up to and with the last reply to `until_tag`. Farewell."""
        while True:
            message = self.receive()
            if message.op == BYE:
                raise Farewell(message)
            yield message
            if message.tag == until_tag:
                ahead = message.pool if message.op == GET and not message.flags & AHEAD else 0
                for _ in range(ahead):
                    yield self.receive()
                return

    def call(self, op: int, **fields: Any) -> Message:
        """Sends a request and returns its reply, for a get that of the page asked for. Farewell."""
        self.send(self.request(op, **fields))
        tag = self.memory.tag
        mine = [r for r in self.replies(tag) if r.tag == tag and not r.flags & AHEAD]
        return mine[0]

    # ---- sessions ------------------------------------------------------------------------

    def hello_message(self, *, session: int = 0, tag: int = 99, **fields: Any) -> bytes:
        memory = self.memory
        fields = {
            "version_min": 1,
            "version_max": 1,
            "page_bytes": PAGE_BYTES,
            "boot_id": memory.boot_id,
            "implementation": "python peer",
            "session": session,
            "token": memory.confirmed,
        } | fields
        wanted = {name: value for name, value in fields.items() if value is not None}
        return Message(HELLO, tag=tag, payload=msgpack.packb(wanted)).encode(0)

    def hello(self, *, session: int = 0, **fields: Any) -> dict[str, Any]:
        """What the host offers, or refuses."""
        self.send(self.hello_message(session=session, **fields))
        return self.hello_reply()

    def hello_reply(self, tag: int = 99) -> dict[str, Any]:
        while True:
            reply = self.receive()
            if reply.op == HELLO and reply.tag == tag:
                self.offer = msgpack.unpackb(reply.payload)
                return self.offer

    def start_message(self, *, tag: int | None = None, digest: int | None = None) -> bytes:
        resumes = self.offer["verdict"] == RESUME
        if tag is None:
            tag = self.offer["tag"] if resumes else 0
        if digest is None:
            digest = self.memory.chains.get(tag, 1) if resumes else 0
        message = Message(START, tag=tag, session=self.offer["session"], index=digest)
        return message.encode(self.offer["key"])

    def start(self, **fields: Any) -> int:
        """Takes the offer; the reply's status."""
        self.send(self.start_message(**fields))
        reply = self.receive()
        while reply.op != START:
            reply = self.receive()
        if reply.status == DONE:
            memory, offer = self.memory, self.offer
            if offer["verdict"] == NEW_EPOCH:
                memory.chains = {0: 0}
            memory.session, memory.key, memory.tag = offer["session"], offer["key"], offer["tag"]
        return reply.status

    def begin(self, *, session: int = 0) -> dict[str, Any]:
        """HELLO and START, which must succeed."""
        offer = self.hello(session=session)
        assert offer["verdict"] in {RESUME, NEW_EPOCH}, offer
        assert self.start() == DONE
        return offer

    # ---- operations ----------------------------------------------------------------------

    def new_pool(
        self, *, persistent: bool = False, shared: bytes | None = None, new_mount: bool = False
    ) -> int:
        """The id of a new pool; what was asked for must be granted."""
        reply = self.join(persistent=persistent, shared=shared, new_mount=new_mount)
        assert reply.status == DONE, reply
        assert bool(reply.index & SHARED) == (shared is not None)
        return reply.pool

    def join(
        self, *, persistent: bool = False, shared: bytes | None = None, new_mount: bool = False
    ) -> Message:
        flags = ABI_VERSION | (PERSISTENT if persistent else 0) | (SHARED if shared else 0)
        return self.call(
            NEW_POOL, index=flags, payload=shared or b"", flags=NEW_MOUNT if new_mount else 0
        )

    def put(self, pool: int, index: int, page: bytes, oid: Oid = OID) -> int:
        return self.call(PUT, pool=pool, index=index, oid=oid, payload=page).status

    def get(self, pool: int, index: int, oid: Oid = OID) -> bytes | None:
        """The page, or None for a miss."""
        reply = self.call(GET, pool=pool, index=index, oid=oid)
        assert reply.status in {MISS, DONE, EEMPTY}, reply
        return reply.payload if reply.status == DONE else None

    def get_ahead(
        self, pool: int, index: int, count: int, oid: Oid = OID, flags: int = 0
    ) -> list[Message]:
        """All replies to one get."""
        self.send(self.request(GET, pool=pool, index=index, oid=oid, status=count, flags=flags))
        return [*self.replies(self.memory.tag)]

    def pools(self) -> list[int]:
        """The ids of the client's pools."""
        ids: list[int] = []
        while True:
            reply = self.call(POOLS, index=ids[-1] if ids else ALL_POOLS)
            found = [
                int.from_bytes(reply.payload[at : at + 4], "little")
                for at in range(0, len(reply.payload), 4)
            ]
            if not found:
                return ids
            ids += found

    def stat(self) -> dict[str, Any]:
        reply = self.call(STAT)
        found: dict[str, Any] = msgpack.unpackb(reply.payload)
        return found

    def echo(self) -> int:
        """Brings the newest token back; the status."""
        token = self.memory.token
        status = self.call(ECHO, index=token).status
        if status == DONE and token:
            self.memory.confirmed = token
        return status


def page_of(number: int) -> bytes:
    """A page that names itself: `number` all over it."""
    return number.to_bytes(8, "little") * (PAGE_BYTES // 8)
