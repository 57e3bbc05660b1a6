# SPDX-License-Identifier: GPL-2.0-or-later
"""One session with a guest's agent: opened by HELLO, over when the socket is."""

import itertools
import secrets
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tmem_host.provision.agent import results
from tmem_host.provision.agent.errors import (
    AgentError,
    AgentLost,
    AgentMisbehaved,
    AgentUnreachable,
    GuestRefused,
)
from tmem_host.provision.agent.request import OnData, Request
from tmem_host.provision.agent.stream import Source
from tmem_shim import agent_protocol as protocol
from tmem_shim.agent_protocol import FrameReader, Malformed, Message

_READ_BYTES = 256 << 10
# How often `watch` is called while the guest says nothing.
_WATCH_EVERY_S = 1.0
_HELLO: Message = {"type": protocol.HELLO, "version": protocol.VERSION}


class Stale(Exception):
    """The agent was started again, or the guest was, since the last request; this was not begun."""


class Connection:
    """A socket on which the agent of `guest` answered HELLO before `deadline`.

    AgentUnreachable if it did not; AgentLost if the guest went away meanwhile. After any exception
    but GuestRefused from call(), the connection is of no use any more. `watch` is called every
    second or so while the guest is waited for, and may raise.
    """

    def __init__(
        self, path: Path, guest: str, deadline: float, watch: Callable[[], None] | None = None
    ) -> None:
        self._watch = watch or _watch_nothing
        self._guest = guest
        self._session = secrets.randbits(64) or 1
        self._ids = itertools.count(1)
        self._frames = FrameReader(lambda session: session in (self._session, protocol.NO_SESSION))
        self._messages: deque[Message] = deque()
        self._queue: deque[memoryview] = deque()
        self._started_again = False
        self._socket = _connect(path, guest)
        try:
            self.boot_id = self._hello(deadline)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the session: what it left running in the guest is ended there."""
        self._socket.close()

    # ---- requests

    def call(
        self,
        method: str,
        arguments: dict[str, Any],
        *,
        doing: str,
        silence_limit_s: float,
        limit_s: float | None = None,
        source: Source | None = None,
        on_data: OnData | None = None,
    ) -> object:
        """The untrusted result of one request.

        `doing` completes "the guest went away while it ...". `source` is sent, as the guest takes
        it; `on_data` is called with what the guest sends, and may raise. AgentLost when nothing is
        heard for `silence_limit_s` or there is no result after `limit_s`. Stale if the same request
        can be made on a new connection.
        """
        self._refuse_stale()
        request = Request(next(self._ids), source, on_data)
        deadline = time.monotonic() + limit_s if limit_s is not None else None
        message = {"type": protocol.REQUEST, "method": method, "arguments": arguments}
        try:
            self._send({**message, "id": request.id})
            return self._exchange(request, deadline, silence_limit_s)
        except protocol.TooLong as error:
            raise GuestRefused(
                f"the request is too long: {error}", kind="bad-request", errno_name="E2BIG"
            ) from error
        except _Silent:
            reason = f"has said nothing for {silence_limit_s:.0f} s"
        except _Late:
            reason = f"has not finished after {limit_s:.0f} s"
        except _Ended:
            reason = "went away"
        except _StartedAgain as again:
            reason = "rebooted" if again.boot_id != self.boot_id else "had its agent start again"
        raise AgentLost(f"{self._guest} {reason} while it {doing}")

    def _refuse_stale(self) -> None:
        """Stale if the connection turns out to be of no use before anything is sent on it."""
        try:
            while self._wait(time.monotonic(), read_only=True):
                self._receive()
        except _Ended as error:
            raise Stale from error
        if any(message["type"] == protocol.STARTED for message in self._messages):
            raise Stale
        self._messages.clear()

    def _exchange(self, request: Request, deadline: float | None, silence_limit_s: float) -> object:
        heard = time.monotonic()
        again: _StartedAgain | None = None
        while True:
            while self._messages:
                heard = time.monotonic()
                untrusted = self._messages.popleft()
                if untrusted["type"] == protocol.STARTED:
                    again = _StartedAgain(untrusted.get("boot_id"))
                    # It answers after what it finds in the port, which may be the request.
                    self._send(_HELLO)
                elif untrusted["type"] == protocol.HELLO and again is not None:
                    raise again
                elif untrusted.get("id") != request.id:
                    continue
                elif untrusted["type"] == protocol.UNKNOWN:
                    raise Stale if request.rewind() else _StartedAgain(self.boot_id)
                elif untrusted["type"] == protocol.RESULT:
                    return untrusted.get("result")
                elif untrusted["type"] == protocol.ERROR:
                    raise _refused(untrusted)
                else:
                    request.take(untrusted)
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                raise _Late
            if now >= heard + silence_limit_s:
                raise _Silent
            self._watch()
            until = min(heard + silence_limit_s, now + _WATCH_EVERY_S)
            self._move(request, until if deadline is None else min(deadline, until))

    def _move(self, request: Request, until: float) -> None:
        """Sends and receives what can be, or waits until something can or it is `until`."""
        sends = request.has_room() and not self._queue
        source = request.source_fd() if sends else None
        at_once = sends and source is None
        readable = self._wait(0 if at_once else until, also=source)
        if at_once or source in readable:
            self._send(request.next_message())
        if self._socket.fileno() in readable:
            self._receive()

    # ---- HELLO

    def _hello(self, deadline: float) -> str:
        self._queue.append(memoryview(protocol.FILLER))
        self._send(_HELLO)
        while (now := time.monotonic()) < deadline:
            self._watch()
            try:
                if self._socket.fileno() in self._wait(min(deadline, now + _WATCH_EVERY_S)):
                    self._receive()
            except _Ended:
                raise AgentLost(
                    f"{self._guest} went away before its agent answered; its serial log says why"
                ) from None
            while self._messages:
                untrusted = self._messages.popleft()
                if untrusted["type"] == protocol.HELLO:
                    return self._check_hello(untrusted)
                if untrusted["type"] == protocol.STARTED:
                    # The HELLO before may have gone to an agent that is no more.
                    self._send(_HELLO)
        raise AgentUnreachable(
            f"the agent of {self._guest} does not answer; the guest may still boot or hang,"
            " or another program is connected to its agent"
        )

    def _check_hello(self, untrusted: Message) -> str:
        version = untrusted.get("version")
        if version != protocol.VERSION:
            raise AgentMisbehaved(
                f"the agent of {self._guest} speaks version {results.text(str(version))} of the"
                f" protocol, the host {protocol.VERSION}; build the image again"
            )
        return results.text(untrusted.get("boot_id"))

    # ---- bytes

    def _send(self, message: Message) -> None:
        self._queue.append(memoryview(protocol.encode(self._session, message)))
        self._flush()

    def _flush(self) -> None:
        while self._queue:
            first = self._queue[0]
            try:
                sent = self._socket.send(first)
            except BlockingIOError:
                return
            except OSError as error:
                raise _Ended from error
            if sent == len(first):
                self._queue.popleft()
            else:
                self._queue[0] = first[sent:]

    def _wait(self, until: float, *, also: int | None = None, read_only: bool = False) -> set[int]:
        """Which of the socket and `also` can be read, at `until` at the latest; sends meanwhile."""
        poll = select.poll()
        writes = bool(self._queue) and not read_only
        poll.register(self._socket, select.POLLIN | (select.POLLOUT if writes else 0))
        if also is not None:
            poll.register(also, select.POLLIN)
        found = dict(poll.poll(max(0.0, until - time.monotonic()) * 1000))
        if found.get(self._socket.fileno(), 0) & select.POLLOUT:
            self._flush()
        return {fd for fd, events in found.items() if events & ~select.POLLOUT}

    def _receive(self) -> None:
        try:
            untrusted = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise _Ended from error
        if not untrusted:
            raise _Ended
        for frame in self._frames.feed(untrusted):
            try:
                self._messages.append(protocol.decode(frame.payload))
            except Malformed as error:
                raise AgentMisbehaved(f"{self._guest} sent a bad message: {error}") from error


def _watch_nothing() -> None:
    pass


class _Ended(Exception):
    """The socket is at its end."""


class _Silent(Exception):
    """Nothing was heard for too long."""


class _Late(Exception):
    """The request takes too long."""


class _StartedAgain(Exception):
    """The agent that had the request is no more."""

    def __init__(self, untrusted_boot_id: object) -> None:
        super().__init__()
        self.boot_id = untrusted_boot_id


def _refused(untrusted: Message) -> AgentError:
    return GuestRefused(
        results.text(untrusted.get("message")),
        kind=results.text(untrusted.get("kind")),
        errno_name=results.text(untrusted.get("name", "")),
    )


def _connect(path: Path, guest: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        connection.connect(str(path))
    except BlockingIOError:
        connection.close()
        raise AgentUnreachable(f"too many programs want to talk to the agent of {guest}") from None
    except OSError as error:
        connection.close()
        # For a path that is too long there is no errno.
        reason = error.strerror or str(error)
        raise AgentUnreachable(f"{guest} does not run: {path}: {reason}") from error
    return connection
