# SPDX-License-Identifier: GPL-2.0-or-later
"""How a tool calls the service."""

import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from tmem_host.control.errors import CallRefused, ControlError, NoService
from tmem_host.control.rpc import BadMessage, Decoder, Message, Notification, Request, Response


class Connection:
    """A connection to the service's control socket at `path`; a context manager.

    NoService when nobody listens there or it may not be used. One thread at a time.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._decoder = Decoder()
        self._received: list[Message] = []
        self._ids = itertools.count(1)
        self._unanswered: int | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(os.fspath(path))
        except OSError as error:
            self._socket.close()
            raise _no_service(self.path, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection. May be called again."""
        self._socket.close()

    def call(self, method: str, **arguments: Any) -> Any:
        """What the service answers. CallRefused, or ControlError when the connection breaks.

        Notifications that come meanwhile are kept for notifications().
        """
        request = Request(next(self._ids), method, arguments)
        try:
            self._socket.sendall(request.pack())
        except OSError as error:
            raise ControlError(f"the service at {self.path} has gone: {error.strerror}") from None
        self._unanswered = request.id
        message = self._response(request.id)
        self._unanswered = None
        if message.error is not None:
            raise CallRefused(
                str(message.error.get("message")), str(message.error.get("code", "failed"))
            )
        return message.result

    def interrupted_call_succeeded(self) -> bool:
        """What became of a call whose answer an interrupt kept from being waited for: waits for it.
        False when there is none."""
        if self._unanswered is None:
            return False
        request_id, self._unanswered = self._unanswered, None
        return self._response(request_id).error is None

    def notifications(self) -> Iterator[Notification]:
        """What the service tells, for as long as it does. ControlError when it has gone."""
        while True:
            message = self._next()
            if isinstance(message, Notification):
                yield message

    def _response(self, request_id: int) -> Response:
        kept: list[Message] = []
        while True:
            message = self._next()
            if isinstance(message, Response) and message.id == request_id:
                self._received = kept + self._received
                return message
            kept.append(message)

    def _next(self) -> Message:
        while not self._received:
            try:
                data = self._socket.recv(65536)
                self._received += self._decoder.feed(data)
            except OSError as error:
                raise ControlError(
                    f"the service at {self.path} has gone: {error.strerror}"
                ) from None
            except BadMessage as error:
                raise ControlError(
                    f"the service at {self.path} is not understood: {error}"
                ) from None
            if not data:
                raise ControlError(f"the service at {self.path} has closed the connection")
        return self._received.pop(0)


def _no_service(path: Path, error: OSError) -> NoService:
    if isinstance(error, PermissionError):
        return NoService(f"{path} may not be used by you; its group may (see tmem-serve)")
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return NoService(
            f"no service at {path}; start one with: systemctl start tmem (or: tmem serve)"
        )
    return NoService(f"no service at {path}: {error.strerror or error}")
