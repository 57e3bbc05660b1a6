# SPDX-License-Identifier: GPL-2.0-or-later
"""A request to an agent while it runs."""

from collections.abc import Callable

from tmem_host.provision.agent import results
from tmem_host.provision.agent.errors import AgentMisbehaved
from tmem_host.provision.agent.stream import Source
from tmem_shim import agent_protocol as protocol
from tmem_shim.agent_protocol import Message

OnData = Callable[[str, bytes], None]


class Request:
    """A request under way, and its two streams."""

    def __init__(self, id_: int, source: Source | None, on_data: OnData | None) -> None:
        self.id = id_
        self._whole_source = source
        self._source = source
        self._on_data = on_data
        self._ahead_bytes = 0

    def rewind(self) -> bool:
        """Whether the request can be made again, with the source from its beginning."""
        return self._whole_source is None or self._whole_source.rewind()

    def take(self, untrusted: Message) -> None:
        """A message that is neither the result nor an error."""
        match untrusted["type"]:
            case protocol.TAKEN:
                self._ahead_bytes -= results.count(untrusted.get("bytes"), self._ahead_bytes)
            case protocol.DATA:
                untrusted_data = untrusted.get("data")
                if not isinstance(untrusted_data, bytes) or self._on_data is None:
                    raise AgentMisbehaved("the guest sent data that nobody asked for")
                self._on_data(results.text(untrusted.get("stream")), untrusted_data)
            case protocol.ALIVE:
                pass
            case other:
                raise AgentMisbehaved(f"the guest sent a {results.text(other)!r}")

    def has_room(self) -> bool:
        """Whether there is more to send, and the guest will take it."""
        room = protocol.WINDOW_BYTES - self._ahead_bytes
        return self._source is not None and room >= protocol.CHUNK_BYTES

    def source_fd(self) -> int | None:
        """What to poll before next_message(); None if that does not wait."""
        return self._source.fd if self._source is not None else None

    def next_message(self) -> Message:
        """The next part of the source, or that it is at its end."""
        assert self._source is not None
        data = self._source.take()
        if not data:
            self._source = None
            return {"type": protocol.END, "id": self.id}
        self._ahead_bytes += len(data)
        return {"type": protocol.DATA, "id": self.id, "data": data}
