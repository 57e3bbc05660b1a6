# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions and requests: who is answered, and by which job."""

import os
import select
import time
from collections.abc import Callable
from typing import Any

from tmem_guest.agent.counters import counters
from tmem_guest.agent.files import ReadFile, WriteFile
from tmem_guest.agent.job import Arguments, Channel, Job, RequestError
from tmem_guest.agent.loop import Loop
from tmem_guest.agent.port import Port
from tmem_guest.agent.process import Exec
from tmem_shim import agent_protocol as protocol
from tmem_shim.agent_protocol import FrameReader, Malformed, Message, TooLong

# While more than this waits to be sent, jobs produce no more.
_QUEUE_BYTES = 2 * protocol.CHUNK_BYTES


class Server:
    """Answers the host on one port.

    `poweroff` is called once the answer to a request for it is on its way.
    """

    def __init__(self, fd: int, poweroff: Callable[[], None]) -> None:
        self._port = Port(fd)
        self._loop = Loop()
        self._frames = FrameReader()
        self._poweroff = poweroff
        self._poweroff_wanted = False
        self._session: int | None = None
        self._id = 0
        self._job: Job | None = None
        self._channel = Channel(self._send, self._has_room)
        # Jobs that nobody waits for and that are not over yet.
        self._leftovers: list[Job] = []
        self._boot_id = _boot_id()
        self._readable = True

    def run(self) -> None:
        """Serves until the port is gone: PortGone."""
        try:
            self._port.queue(protocol.FILLER)
            self._queue(protocol.NO_SESSION, {"type": protocol.STARTED, **self._version()})
            events = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
            self._loop.watch(self._port.fd, events, self._port_changed)
            while True:
                self._step()
        finally:
            self._end_session()
            # the last step may have ended some: for those nothing would come to be waited for
            self._sweep()
            while self._leftovers:
                self._loop.step(wait=True)
                self._sweep()
            self._loop.close()

    def _step(self) -> None:
        if self._readable:
            self._read()
        wants_more = self._pump()
        self._port.flush()
        if self._poweroff_wanted and not self._port.queued_bytes:
            self._poweroff_wanted = False
            self._poweroff()
        self._sweep()
        self._loop.step(wait=not (self._readable or wants_more))

    def _sweep(self) -> None:
        self._leftovers = [job for job in self._leftovers if not job.done]

    # ---- the port

    def _port_changed(self, events: int) -> None:
        self._readable = True
        if events & select.EPOLLHUP:
            # Nobody will read it, and a new host begins a new session.
            self._port.drop_queue()
            self._end_session()

    def _read(self) -> None:
        data = self._port.read()
        # A virtio port without a host: _port_changed is called when there is one.
        self._readable = bool(data)
        for session, payload in self._frames.feed(data or b""):
            try:
                message = protocol.decode(payload)
            except Malformed:
                # Its check was right, so the host speaks another protocol; it will not understand.
                continue
            self._take(session, message)

    def _queue(self, session: int, message: Message) -> None:
        self._port.queue(protocol.encode(session, message))

    def _send(self, message: Message) -> None:
        """Sends a message of the request that runs."""
        if self._session is not None:
            self._queue(self._session, {**message, "id": self._id})
        self._loop.call_in(self, protocol.ALIVE_EVERY_S, self._still_alive)

    def _still_alive(self) -> None:
        if self._job is not None and not self._job.done:
            self._channel.alive()

    def _has_room(self) -> bool:
        return self._port.queued_bytes < _QUEUE_BYTES

    # ---- sessions

    def _version(self) -> Message:
        return {"version": protocol.VERSION, "boot_id": self._boot_id}

    def _end_session(self) -> None:
        self._session = None
        self._end_job()

    def _end_job(self) -> None:
        self._channel.muted = True
        if self._job is not None and not self._job.done:
            self._job.abort()
            self._leftovers.append(self._job)
        self._job = None

    def _take(self, session: int, message: Message) -> None:
        kind = message["type"]
        if kind == protocol.HELLO:
            self._end_session()
            self._session = session
            self._queue(session, {"type": protocol.HELLO, **self._version()})
        elif session != self._session:
            # From before this agent was started, or before the host went away.
            if kind == protocol.REQUEST:
                self._queue(session, {"type": protocol.UNKNOWN, "id": message.get("id")})
        elif kind == protocol.REQUEST:
            self._request(message)
        elif message.get("id") == self._id:
            self._stream(kind, message.get("data"))

    # ---- requests

    def _request(self, message: Message) -> None:
        self._end_job()
        self._id = message.get("id", 0)
        self._channel = Channel(self._send, self._has_room)
        try:
            self._start(message.get("method"), Arguments(message.get("arguments")))
        except RequestError as error:
            self._channel.error(error)
        except TooLong as error:
            self._channel.error(RequestError("os", f"the answer is too long: {error}", "EMSGSIZE"))
        self._loop.call_in(self, protocol.ALIVE_EVERY_S, self._still_alive)

    def _start(self, method: object, arguments: Arguments) -> None:
        match method:
            case "exec":
                self._job = Exec(self._loop, self._channel, arguments)
            case "read_file":
                self._job = ReadFile(self._channel, arguments)
            case "write_file":
                self._job = WriteFile(self._channel, arguments)
            case "ping" | "counters" | "poweroff":
                arguments.finish()
                self._channel.result(self._answer(method))
            case _:
                raise RequestError("bad-request", f"unknown method {method!r}")

    def _answer(self, method: str) -> dict[str, Any]:
        if method == "counters":
            return counters()
        self._poweroff_wanted = method == "poweroff"
        uptime_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        return {"uptime_s": uptime_s, "kernel": os.uname().release, "boot_id": self._boot_id}

    def _stream(self, kind: str, data: object) -> None:
        job = self._job
        if job is None or job.done:
            return
        try:
            if kind == protocol.DATA and isinstance(data, bytes):
                job.data(data)
            elif kind == protocol.END:
                job.end()
        except RequestError as error:
            self._fail(job, error)

    def _pump(self) -> bool:
        job = self._job
        if job is None or job.done:
            return False
        try:
            return job.pump()
        except RequestError as error:
            self._fail(job, error)
            return False

    def _fail(self, job: Job, error: RequestError) -> None:
        self._channel.muted = False
        self._channel.error(error)
        self._job = job
        self._end_job()


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
