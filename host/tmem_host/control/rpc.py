# SPDX-License-Identifier: GPL-2.0-or-later
"""msgpack-RPC, as its public specification says: requests [0, id, method, [arguments]], responses
[1, id, error, result], notifications [2, method, [arguments]].

Here a call has one argument, a map of names to values; an error is a map of `code` and `message`.
Whatever comes in is bounded before it is looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack

REQUEST, RESPONSE, NOTIFICATION = 0, 1, 2
MESSAGE_MAX_BYTES = 1 << 20
ID_MAX = 2**32 - 1


class BadMessage(Exception):
    """What came in is no message of this protocol; the connection is of no use any more."""


@dataclass(frozen=True, slots=True)
class Request:
    """A call of `method`, to be answered under `id`."""

    id: int
    method: str
    arguments: dict[str, Any]

    def pack(self) -> bytes:
        return _pack([REQUEST, self.id, self.method, [self.arguments]])


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to the request `id`: `error` or `result` is None."""

    id: int
    error: dict[str, str] | None
    result: Any

    def pack(self) -> bytes:
        return _pack([RESPONSE, self.id, self.error, self.result])


@dataclass(frozen=True, slots=True)
class Notification:
    """Something that the service tells without being asked."""

    method: str
    arguments: dict[str, Any]

    def pack(self) -> bytes:
        return _pack([NOTIFICATION, self.method, [self.arguments]])


Message = Request | Response | Notification


class Decoder:
    """Messages out of the bytes of one connection."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            raw=False, max_buffer_size=MESSAGE_MAX_BYTES, strict_map_key=True
        )

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yields the messages that `data` completes. BadMessage."""
        try:
            self._unpacker.feed(data)
            for item in self._unpacker:
                yield _message(item)
        except BadMessage:
            raise
        except msgpack.BufferFull:
            raise BadMessage(f"a message has at most {MESSAGE_MAX_BYTES} bytes") from None
        except (msgpack.UnpackException, ValueError, TypeError) as error:
            raise BadMessage(f"not msgpack: {error}") from None


def _pack(item: list[Any]) -> bytes:
    data: bytes = msgpack.packb(item)
    return data


def _message(item: object) -> Message:
    match item:
        case [0, int(id_), str(method), list(arguments)] if 0 <= id_ <= ID_MAX:
            return Request(id_, method, _arguments(arguments))
        case [1, int(id_), None | dict() as error, result]:
            return Response(id_, error, result)
        case [2, str(method), list(arguments)]:
            return Notification(method, _arguments(arguments))
    raise BadMessage("not a message of msgpack-RPC")


def _arguments(listed: list[Any]) -> dict[str, Any]:
    match listed:
        case []:
            return {}
        case [dict() as named] if all(isinstance(name, str) for name in named):
            return named
    raise BadMessage("a call has one argument at most, a map of names to values")
