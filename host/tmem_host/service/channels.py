# SPDX-License-Identifier: GPL-2.0-or-later
"""Which socket is whose: the channels of the configuration, and those that an operator added.

The latter are kept in `channels.json` in the state folder, so that they are there after a restart.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from tmem_host.native import Server, TmemError
from tmem_host.service.settings import ConfigError

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of one client. `listen`: the service makes the socket, else it connects."""

    client: str
    path: str
    listen: bool
    mode: int = 0o600
    peer_uid: int | None = None
    peer_pid: int | None = None
    kept: bool = False  # added by an operator


class Channels:
    """The channels of `server`. Any thread may call."""

    def __init__(self, server: Server, state: Path) -> None:
        self._server = server
        self._file = state / "channels.json"
        self._numbers: dict[Channel, int] = {}
        self._lock = Lock()

    def open_kept(self) -> list[str]:
        """Opens what operators added before; returns a sentence for each that could not be.
        ConfigError: the file is damaged, OSError."""
        problems = []
        for channel in self._read_kept():
            try:
                self.open(channel)
            except (TmemError, ValueError, OSError) as error:
                problems.append(f"channel of {channel.client!r} not opened: {error}")
        return problems

    def open(self, channel: Channel) -> None:
        """Opens it, if it is not open. ServerError."""
        with self._lock:
            if channel in self._numbers:
                return
            client, pid, uid = channel.client, channel.peer_pid, channel.peer_uid
            if channel.listen:
                Path(channel.path).parent.mkdir(parents=True, exist_ok=True)
                self._numbers[channel] = self._server.listen(
                    channel.path, client=client, mode=channel.mode, peer_pid=pid, peer_uid=uid
                )
            else:
                self._numbers[channel] = self._server.connect(
                    channel.path, client=client, peer_pid=pid, peer_uid=uid
                )
            if channel.kept:
                self._keep()

    def close(self, channel: Channel) -> None:
        """Closes it; the client's session stays resumable."""
        with self._lock:
            number = self._numbers.pop(channel, None)
            if number is not None:
                self._server.remove_channel(number)
                if channel.kept:
                    self._keep()

    def close_client(self, client: str) -> None:
        """Closes every channel of the client."""
        for channel in self.of(client):
            self.close(channel)

    def of(self, client: str) -> list[Channel]:
        """The client's channels."""
        with self._lock:
            return [channel for channel in self._numbers if channel.client == client]

    def all(self) -> list[Channel]:
        with self._lock:
            return list(self._numbers)

    def _read_kept(self) -> list[Channel]:
        if not self._file.exists():
            return []
        try:
            return [Channel(**item) for item in json.loads(self._file.read_text(encoding="utf-8"))]
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"{self._file} is damaged ({error}); it has the channels that operators added:"
                " mend it, or remove it and add them again"
            ) from None

    def _keep(self) -> None:
        kept = [asdict(channel) for channel in self._numbers if channel.kept]
        new = self._file.with_suffix(".new")
        with open(os.open(new, _FLAGS, 0o600), "w", encoding="utf-8") as file:
            file.write(json.dumps(kept, indent=1) + "\n")
        os.replace(new, self._file)
