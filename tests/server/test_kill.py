# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 of the server's process under load: nothing that was acknowledged is lost or changed,
nothing stale comes back, and every guest goes on by itself."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server import peer as p
from tests.server.conftest import SHARED
from tests.server.peer import Ended, Farewell, Memory, Peer
from tests.wire.reference import Message

GUESTS = 3
PAGES = 24
KILLS = 50
BROKEN = (Ended, Farewell, OSError)


def page_of(version: int, index: int) -> bytes:
    return version.to_bytes(4, "little") + index.to_bytes(4, "little") * 1023


class Process:
    """The server's process, started again after each kill."""

    def __init__(self, arena: Path) -> None:
        self.arena = arena
        self.paths = [str(arena.with_name(f"s{number}")) for number in range(GUESTS)]
        self.start()

    def start(self) -> None:
        script = Path(__file__).with_name("serve.py")
        self.running = subprocess.Popen(
            [sys.executable, script, self.arena, *self.paths], stdout=subprocess.PIPE, text=True
        )
        assert self.running.stdout is not None
        assert self.running.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self.running.kill()
        self.running.wait()
        assert self.running.stdout is not None
        self.running.stdout.close()


class Guest:
    """Puts, gets and flushes pages of a private persistent and of a shared pool; knows of each
    private page which contents it may have, and of each shared one how old it may be: only guest
    i writes page i of the shared pool, and `newest` has the oldest version that may be found
    there after its newest write that was acknowledged."""

    def __init__(self, number: int, path: str, newest: list[int]) -> None:
        self.number = number
        self.path = path
        self.newest = newest
        self.floors: dict[int, int] = {}  # by the tag of a get of a shared page
        self.shared_version = 0  # of the newest put into the shared pool
        self.versions: dict[int, int] = {}  # by tag: the oldest that may be found behind it
        self.shared_hits = 0
        self.random = random.Random(number)
        self.memory = Memory(f"guest {number}".encode().ljust(16, b"\0"))
        self.version = 0
        # of each page: what may be there. None: nothing.
        self.may_hold: list[set[bytes | None]] = [{None} for _ in range(PAGES)]
        self.unanswered: dict[int, Message] = {}
        self.pool = 0
        self.shared = 0
        self.resumed = 0
        self.answered = 0
        self.epochs = 0
        self.failure: BaseException | None = None
        self.stopping = False

    def connect(self) -> Peer:
        while True:
            try:
                return Peer.connect(self.path, self.memory)
            except OSError:
                time.sleep(0.002)

    def come(self, peer: Peer) -> None:
        """Resumes; replays what the host has not applied, in order."""
        offer = peer.hello(session=self.memory.session)
        newest = self.memory.tag
        assert peer.start() == p.DONE
        if offer["verdict"] == p.NEW_EPOCH:
            assert self.pool == 0 or offer["pools_kept"]
            self.epochs += 1
            self.unanswered.clear()
            if self.pool == 0:
                self.pool = peer.new_pool(persistent=True)
            self.shared = peer.new_pool(shared=SHARED.bytes, new_mount=True)
            return
        self.resumed += 1
        self.memory.tag = newest
        replay = [m for tag, m in sorted(self.unanswered.items()) if tag > offer["tag"]]
        # what was applied without an answer is known by its effect only
        self.unanswered = {m.tag: m for m in replay}
        peer.send(b"".join(self.renewed(m).encode(self.memory.key) for m in replay))
        if replay:
            self.take(peer, replay[-1].tag)

    def renewed(self, message: Message) -> Message:
        """As it is sent again: a put into a shared pool as a flush (R-b)."""
        if message.op == p.PUT and message.pool == self.shared:
            message.op, message.payload = p.FLUSH_PAGE, b""
            for tag in sorted(tag for tag in self.unanswered if tag >= message.tag):
                self.memory.chains[tag] = self.unanswered[tag].chain(self.memory.chains[tag - 1])
        return message

    def send(self, peer: Peer, messages: list[Message]) -> None:
        for message in messages:
            self.memory.tag += 1
            if message.pool == self.shared and message.op == p.PUT:
                self.shared_version = int.from_bytes(message.payload[:4], "little")
            # a flush leaves nothing of what was put before it
            flushes = message.op == p.FLUSH_PAGE
            self.versions[self.memory.tag] = self.shared_version + flushes
            if message.pool == self.shared and message.op == p.GET:
                self.floors[self.memory.tag] = self.newest[message.index]
            message.tag, message.session = self.memory.tag, self.memory.session
            self.memory.chains[message.tag] = message.chain(self.memory.chains[message.tag - 1])
            self.unanswered[message.tag] = message
        peer.send(b"".join(message.encode(self.memory.key) for message in messages))
        self.take(peer, self.memory.tag)

    def take(self, peer: Peer, until: int) -> None:
        for reply in peer.replies(until):
            before = [tag for tag in self.unanswered if tag < reply.tag]
            if reply.flags & p.CUMULATIVE:
                for tag in sorted(before):
                    self.apply(self.unanswered.pop(tag), p.DONE, b"")
            if reply.tag in self.unanswered:
                self.apply(self.unanswered.pop(reply.tag), reply.status, reply.payload)

    def apply(self, message: Message, status: int, page: bytes) -> None:
        self.answered += 1
        if message.op == p.ECHO and status == p.DONE:
            self.memory.confirmed = message.index
        if message.pool == self.shared:
            self.apply_shared(message, status, page)
        if message.pool != self.pool:
            return
        if message.op == p.PUT:
            assert status == p.DONE
            self.may_hold[message.index] = {message.payload}
        elif message.op == p.FLUSH_PAGE:
            assert status == p.DONE
            self.may_hold[message.index] = {None}
        elif message.op == p.GET:
            found = page if status == p.DONE else None
            assert found in self.may_hold[message.index], (message.index, status)
            self.may_hold[message.index] = {found}

    def apply_shared(self, message: Message, status: int, page: bytes) -> None:
        if message.op == p.GET and status == p.DONE:
            self.shared_hits += 1
            assert int.from_bytes(page[:4], "little") >= self.floors[message.tag]
        elif message.op != p.GET:
            assert status in {p.DONE, p.EAGAIN, p.ENOSPC}
            self.newest[self.number] = self.versions[message.tag]

    def shared_operation(self) -> Message:
        choice = self.random.random()
        fields: dict[str, Any] = {"pool": self.shared, "oid": p.OID}
        if choice < 0.6:
            return Message(p.GET, index=self.random.randrange(GUESTS), **fields)
        if choice < 0.7:
            return Message(p.FLUSH_PAGE, index=self.number, **fields)
        self.version += 1
        payload = page_of(self.version, self.number)
        return Message(p.PUT, index=self.number, payload=payload, **fields)

    def operation(self) -> Message:
        index = self.random.randrange(PAGES)
        choice = self.random.random()
        if choice < 0.1:
            return Message(p.ECHO, index=self.memory.token)
        if choice < 0.6:
            self.version += 1
            payload = page_of(self.version, index)
            self.may_hold[index].add(payload)  # until it is answered, both may be there
            return Message(p.PUT, pool=self.pool, index=index, oid=p.OID, payload=payload)
        if choice < 0.7:
            self.may_hold[index].add(None)
            return Message(p.FLUSH_PAGE, pool=self.pool, index=index, oid=p.OID)
        return Message(p.GET, pool=self.pool, index=index, oid=p.OID)

    def batch(self) -> list[Message]:
        """Operations of different pages, so that what a get may find does not change under it."""
        seen: dict[int, Message] = {-1: self.shared_operation()}
        for _ in range(self.random.randrange(1, 20)):
            message = self.operation()
            if message.op == p.ECHO or message.index not in seen:
                seen[-2 if message.op == p.ECHO else message.index] = message
        return [*seen.values()]

    def live(self) -> None:
        try:
            while not self.stopping:
                with contextlib.closing(self.connect()) as peer, contextlib.suppress(*BROKEN):
                    self.come(peer)
                    while not self.stopping:
                        self.send(peer, self.batch())
        except BaseException as failure:
            self.failure = failure


@pytest.fixture
def process(arena_path: Path) -> Iterator[Process]:
    process = Process(arena_path)
    yield process
    process.kill()


def wait_for(condition: Callable[[], bool], guests: list[Guest]) -> None:
    give_up = time.monotonic() + 120
    while not condition():
        for guest in guests:
            if guest.failure is not None:
                raise guest.failure
        assert time.monotonic() < give_up, "the guests do not go on"
        time.sleep(0.002)


@pytest.mark.slow
def test_nothing_acknowledged_is_lost(process: Process) -> None:
    newest = [0] * GUESTS
    guests = [Guest(number, path, newest) for number, path in enumerate(process.paths)]
    threads = [threading.Thread(target=guest.live) for guest in guests]
    chance = random.Random(5)
    for thread in threads:
        thread.start()
    try:
        for _ in range(KILLS):
            before = [guest.answered for guest in guests]
            wait_for(
                lambda before=before: all(  # type: ignore[misc]
                    guest.answered > old + 50 for guest, old in zip(guests, before, strict=True)
                ),
                guests,
            )
            time.sleep(chance.random() * 0.02)
            process.kill()
            process.start()
        before = [guest.answered for guest in guests]
        wait_for(
            lambda: all(g.answered > old for g, old in zip(guests, before, strict=True)), guests
        )
    finally:
        for guest in guests:
            guest.stopping = True
        for thread in threads:
            thread.join()
    for guest in guests:
        assert guest.failure is None
        assert guest.resumed >= KILLS
        assert guest.epochs == 1
        assert guest.shared_hits
        with contextlib.closing(guest.connect()) as peer:
            guest.come(peer)
            for index in range(PAGES):
                assert peer.get(guest.pool, index) in guest.may_hold[index]
