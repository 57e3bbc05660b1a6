# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket: takes calls, answers them in order, tells events to who subscribed."""

import asyncio
import grp
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tmem_host.control.errors import CallRefused
from tmem_host.control.rpc import BadMessage, Decoder, Notification, Request, Response
from tmem_host.peers import is_meant_for, peer_of
from tmem_host.service.journal import Journal

CONNECTIONS_MAX = 64
# A tool that does not read its answers holds up itself alone, and not for ever.
SEND_SECONDS = 30.0

Call = Callable[[str, dict[str, Any]], Awaitable[Any]]
logger = logging.getLogger("tmem.control")


class ControlSocket:
    """Listens at `path`, rights 0660, for the service's user and `group`."""

    def __init__(self, path: Path, group: str | None, call: Call, journal: Journal) -> None:
        self.path = path
        self._group = group
        self._call = call
        self._journal = journal
        self._gid = -1
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Raises OSError with a sentence when the socket cannot be made."""
        listener = listen(self.path, 0o660, self._group)
        self._gid = self.path.stat().st_gid
        self._server = await asyncio.start_unix_server(self._accepted, sock=listener)

    async def stop(self) -> None:
        """Closes the socket and every connection."""
        if self._server is not None:
            self._server.close()
            for task in list(self._connections):
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            self.path.unlink(missing_ok=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)

        # not in the task: one that is cancelled before its first step never runs
        def end(task: asyncio.Task[None]) -> None:
            self._connections.discard(task)
            writer.close()

        task.add_done_callback(end)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        peer = peer_of(connection)
        try:
            if len(self._connections) > CONNECTIONS_MAX:
                logger.warning("too many control connections, one was refused")
            elif is_meant_for(connection, self._gid):
                await self._converse(reader, writer)
            else:
                await self._refuse(reader, writer, f"{peer} may not use {self.path}")
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass
        except BadMessage as error:
            logger.warning("control connection of %s closed: %s", peer, error)

    async def _refuse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, why: str
    ) -> None:
        """Says so in answer to the first call, and no more."""
        self._journal.add("refused-tool", why)
        async with asyncio.timeout(SEND_SECONDS):
            data = await reader.read(65536)
        for message in Decoder().feed(data):
            if isinstance(message, Request):
                await self._send(
                    writer, Response(message.id, {"code": "rights", "message": why}, None)
                )
                return

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = Decoder()
        telling: asyncio.Task[None] | None = None
        try:
            while data := await reader.read(65536):
                for message in decoder.feed(data):
                    if not isinstance(message, Request):
                        raise BadMessage("only calls are taken here")
                    if message.method == "events.subscribe" and telling is None:
                        telling = asyncio.create_task(self._tell(writer))
                    await self._send(writer, await self._answer(message))
        finally:
            if telling is not None:
                telling.cancel()

    async def _answer(self, request: Request) -> Response:
        try:
            return Response(request.id, None, await self._call(request.method, request.arguments))
        except CallRefused as error:
            return Response(request.id, {"code": error.code, "message": str(error)}, None)

    async def _tell(self, writer: asyncio.StreamWriter) -> None:
        with self._journal.subscribe() as subscription:
            while True:
                event = await subscription.next()
                lost, subscription.lost = subscription.lost, 0
                await self._send(writer, Notification("event", event.as_map() | {"lost": lost}))

    async def _send(self, writer: asyncio.StreamWriter, message: Response | Notification) -> None:
        writer.write(message.pack())
        # not wait_for, which forgets that it was cancelled when this is done at the same moment
        async with asyncio.timeout(SEND_SECONDS):
            await writer.drain()


def listen(path: Path, mode: int, group: str | None = None) -> socket.socket:
    """A listening socket at `path` with these rights from its first moment on.

    Replaces a socket file that nobody listens at. OSError, with a sentence, when somebody does,
    when the path is too long or the folder cannot be used, or when there is no such group.
    """
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old_mask = os.umask(0o777)
    try:
        listener.bind(os.fspath(path))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen at {path}: {error.strerror or error}") from None
    finally:
        os.umask(old_mask)
    try:
        if group is not None:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
        path.chmod(mode)
    except KeyError:
        listener.close()
        raise OSError(f"control.group: there is no group {group!r}") from None
    listener.listen()
    return listener


def _remove_stale(path: Path) -> None:
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(f"{path} is in use: is another service running?")
