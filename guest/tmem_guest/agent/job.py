# SPDX-License-Identifier: GPL-2.0-or-later
"""What a request is while it runs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from tmem_shim import agent_protocol as protocol

# An error may quote what the host sent; it must fit in a frame all the same.
_MESSAGE_CHARACTERS = 4096


class RequestError(Exception):
    """A request failed. `kind` is for programs:

    "bad-request"   the arguments make no sense, or no such method
    "os"            the system refused; `name` is the name of the errno
    "unkillable"    a process outlived SIGKILL
    """

    def __init__(self, kind: str, message: str, name: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.name = name

    @classmethod
    def of(cls, action: str, error: OSError) -> "RequestError":
        """The error of a system call: `action` says what could not be done."""
        import errno  # noqa: PLC0415 - only when something fails

        name = errno.errorcode.get(error.errno or 0, "")
        return cls("os", f"cannot {action}: {error.strerror}", name)


class Channel:
    """Where a job's answer goes. Muted once nobody waits for it any more."""

    def __init__(self, send: Callable[[protocol.Message], None], room: Callable[[], bool]) -> None:
        self._send = send
        self._room = room
        self.muted = False

    def room(self) -> bool:
        """Whether data() may be called: what was sent before is mostly on its way."""
        return self.muted or self._room()

    def data(self, stream: str, data: bytes) -> None:
        """At most CHUNK_BYTES of a stream."""
        self._tell({"type": protocol.DATA, "stream": stream, "data": data})

    def taken(self, count: int) -> None:
        """So many bytes of the host's stream are dealt with."""
        self._tell({"type": protocol.TAKEN, "bytes": count})

    def alive(self) -> None:
        """The request still runs."""
        self._tell({"type": protocol.ALIVE})

    def result(self, result: Mapping[str, Any]) -> None:
        """The request is done."""
        self._tell({"type": protocol.RESULT, "result": dict(result)})

    def error(self, error: RequestError) -> None:
        """The request failed."""
        message = {
            "type": protocol.ERROR,
            "kind": error.kind,
            "message": str(error)[:_MESSAGE_CHARACTERS],
        }
        self._tell({**message, "name": error.name} if error.name else message)

    def _tell(self, message: protocol.Message) -> None:
        if not self.muted:
            self._send(message)


class Job(ABC):
    """A request that runs, driven by the loop; `done` when over.

    A job that raises RequestError undoes what it began; its answer is that error.
    """

    done = False

    @abstractmethod
    def data(self, data: bytes) -> None:
        """The next bytes of the host's stream."""

    @abstractmethod
    def end(self) -> None:
        """The host's stream is complete."""

    @abstractmethod
    def abort(self) -> None:
        """Nobody waits for the answer: undo what is half done. May take a while to be `done`."""

    def pump(self) -> bool:
        """Goes on if the channel has room again; True if it wants to be called again at once."""
        return False


class Arguments:
    """The arguments of a request, each taken once and of one type; RequestError if not so."""

    def __init__(self, arguments: object) -> None:
        if not isinstance(arguments, dict):
            raise RequestError("bad-request", "the arguments are no map")
        self._left = dict(arguments)

    def text(self, name: str) -> str:
        value = self._left.pop(name, None)
        if not isinstance(value, str) or not value or "\0" in value:
            raise self._bad(name, "a text")
        return value

    def optional_text(self, name: str) -> str | None:
        return self.text(name) if self._left.get(name) is not None else self._left.pop(name, None)

    def texts(self, name: str) -> list[str]:
        value = self._left.pop(name, None)
        if not isinstance(value, list) or not all(_is_text(item) for item in value):
            raise self._bad(name, "a list of texts")
        return value

    def text_map(self, name: str) -> dict[str, str]:
        value = self._left.pop(name, {})
        if not isinstance(value, dict) or not all(
            _is_text(key) and key and "=" not in key and _is_text(item)
            for key, item in value.items()
        ):
            raise self._bad(name, "a map of texts")
        return value

    def flag(self, name: str) -> bool:
        value = self._left.pop(name, False)
        if not isinstance(value, bool):
            raise self._bad(name, "true or false")
        return value

    def number(self, name: str) -> float | None:
        value = self._left.pop(name, None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise self._bad(name, "a number from 0")
        return value

    def whole(self, name: str) -> int | None:
        value = self.number(name)
        if value is not None and not isinstance(value, int):
            raise self._bad(name, "a whole number")
        return value

    def finish(self) -> None:
        """Refuses what nobody took: the host means something that this agent does not know."""
        if self._left:
            names = ", ".join(sorted(map(str, self._left)))
            raise RequestError("bad-request", f"unknown arguments: {names}")

    @staticmethod
    def _bad(name: str, wanted: str) -> RequestError:
        return RequestError("bad-request", f"the argument {name} must be {wanted}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value
