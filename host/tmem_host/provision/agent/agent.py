# SPDX-License-Identifier: GPL-2.0-or-later
"""What the host asks of a guest's agent."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from tmem_host.provision.agent import results
from tmem_host.provision.agent.connection import Connection, Stale
from tmem_host.provision.agent.errors import (
    AgentLost,
    AgentMisbehaved,
    AgentUnreachable,
    GuestRefused,
    OutputTooLong,
)
from tmem_host.provision.agent.request import OnData
from tmem_host.provision.agent.results import Counters, ExecResult, FileInfo, GuestInfo
from tmem_host.provision.agent.stream import Source

_MIB = 1 << 20
# Between a command's limit and its result: it gets SIGTERM, SIGKILL, and is given up.
_AFTER_LIMIT_S = 60.0
_RETRY_S = 0.05
# An agent that starts as often as this after it was connected to, before it was asked anything.
_STARTS_MAX = 3

Sent = Callable[[int], None]


class Agent:
    """The agent of a guest, behind the unix socket of its port.

    Connects when it is first needed, and again when it must. Methods raise AgentUnreachable,
    AgentLost, AgentMisbehaved and GuestRefused; each blocks its caller, and those of other threads
    wait for it, since an agent does one thing at a time. `guest` is what errors call it.
    """

    def __init__(
        self,
        socket_path: Path | str,
        *,
        guest: str = "the guest",
        answer_limit_s: float = 60.0,
        silence_limit_s: float = 60.0,
        watch: Callable[[], None] | None = None,
        explain: Callable[[], Exception | None] = lambda: None,
    ) -> None:
        """`answer_limit_s` is for what is done at once; `silence_limit_s` for whatever takes its
        time: an agent says every few seconds that it is alive. `watch` is called every second or
        so while the guest is waited for; what it raises ends the call. `explain` is called when
        the guest went away; what it returns is raised instead of AgentLost."""
        self._path = Path(socket_path)
        self._guest = guest
        self._answer_limit_s = answer_limit_s
        self._silence_limit_s = silence_limit_s
        self._watch = watch
        self._explain = explain
        self._lock = Lock()
        self._connection: Connection | None = None

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the guest; the next call connects again."""
        with self._lock:
            self._drop()

    # ---- requests

    def wait(self, limit_s: float) -> GuestInfo:
        """Waits until the agent answers, as after the guest's start; AgentUnreachable if it does
        not within `limit_s`."""
        deadline = time.monotonic() + limit_s
        while True:
            try:
                with self._lock:
                    if self._connection is None:
                        self._connection = self._connect(deadline)
                return self.ping()
            except AgentUnreachable:
                if time.monotonic() + _RETRY_S >= deadline:
                    raise
            if self._watch is not None:
                self._watch()
            time.sleep(_RETRY_S)

    def ping(self) -> GuestInfo:
        """Who answers."""
        return results.guest_info(self._ask("ping"))

    def counters(self) -> Counters:
        """What the guest's kernel counts."""
        return results.counters(self._ask("counters"))

    def poweroff(self) -> None:
        """Asks the guest to end what runs, unmount, and power off; returns when it has begun."""
        self._ask("poweroff")
        self.close()

    def exec(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: bytes | BinaryIO | None = None,
        stdout: BinaryIO | None = None,
        stderr: BinaryIO | None = None,
        limit_s: float | None = None,
        max_output_bytes: int = 16 * _MIB,
    ) -> ExecResult:
        """Runs a command and returns how it ended.

        Its environment is the agent's with `env` on top; without `stdin` it has none. What it says
        goes to `stdout` and `stderr`, as it comes, or into the result; OutputTooLong if that were
        more than `max_output_bytes`. At `limit_s` it is ended, with its process group, and the
        result says so. If this call is left by an exception, the command is ended too. A process
        that it leaves in the background loses its pipes, and is not waited for.
        """
        arguments: dict[str, Any] = {"argv": list(argv), "stdin": stdin is not None}
        if env:
            arguments["env"] = dict(env)
        if cwd is not None:
            arguments["cwd"] = cwd
        if limit_s is not None:
            arguments["time_limit_s"] = limit_s
        name = argv[0] if argv else ""
        kept = _Kept(f"{name!r} of {self._guest}", max_output_bytes, stdout=stdout, stderr=stderr)
        untrusted = self._call(
            "exec",
            arguments,
            doing=f"ran {name!r}",
            limit_s=limit_s + _AFTER_LIMIT_S if limit_s is not None else None,
            source=Source(stdin) if stdin is not None else None,
            on_data=kept.take,
        )
        return results.exec_result(untrusted, kept.of("stdout"), kept.of("stderr"))

    def read_file(self, path: str, *, max_bytes: int = 64 * _MIB) -> bytes:
        """A file's contents, also of /proc and /sys; OutputTooLong beyond `max_bytes`."""
        kept = _Kept(f"{path!r} of {self._guest}", max_bytes, file=None)
        self._read(path, kept)
        return kept.of("file")

    def download(self, path: str, into: BinaryIO, *, received: Sent | None = None) -> FileInfo:
        """Writes a file of the guest to `into`. `received` is called with each part's bytes."""
        return self._read(path, _Kept(path, 0, told=received, file=into))

    def write_file(
        self, path: str, data: bytes, *, mode: int | None = None, in_place: bool = False
    ) -> None:
        """Writes a file of the guest, whole or not at all. See upload()."""
        self.upload(Source(data), path, mode=mode, in_place=in_place)

    def upload(
        self,
        source: BinaryIO | Source,
        path: str,
        *,
        mode: int | None = None,
        in_place: bool = False,
    ) -> None:
        """Writes all that `source` has to a file of the guest, which appears whole or not at all.

        `mode` is 0644 for a new file, and as it was for one that is replaced, unless it is given.
        `in_place` writes an existing file without replacing or cutting it: for attributes under
        /proc and /sys, where a write is one value, and for devices.
        """
        arguments: dict[str, Any] = {"path": path, "in_place": in_place}
        if mode is not None:
            arguments["mode"] = mode
        self._call(
            "write_file",
            arguments,
            doing=f"wrote {path!r}",
            source=source if isinstance(source, Source) else Source(source),
        )

    # ---- below them

    def _read(self, path: str, kept: "_Kept") -> FileInfo:
        untrusted = self._call(
            "read_file", {"path": path}, doing=f"read {path!r}", on_data=kept.take
        )
        return results.file_info(untrusted, kept.received_bytes)

    def _ask(self, method: str) -> object:
        return self._call(method, {}, doing=f"answered {method}", limit_s=self._answer_limit_s)

    def _call(
        self,
        method: str,
        arguments: dict[str, Any],
        *,
        doing: str,
        limit_s: float | None = None,
        source: Source | None = None,
        on_data: OnData | None = None,
    ) -> object:
        starts = 0
        with self._lock:
            while True:
                fresh = self._connection is None
                try:
                    if self._connection is None:
                        deadline = time.monotonic() + self._answer_limit_s
                        self._connection = self._connect(deadline)
                    return self._connection.call(
                        method,
                        arguments,
                        doing=doing,
                        silence_limit_s=self._silence_limit_s,
                        limit_s=limit_s,
                        source=source,
                        on_data=on_data,
                    )
                except GuestRefused:
                    raise
                except Stale:
                    self._drop()
                    starts += fresh
                    if starts == _STARTS_MAX:
                        raise AgentUnreachable(
                            f"the agent of {self._guest} keeps starting; its serial log says why"
                        ) from None
                except AgentLost as error:
                    self._drop()
                    raise self._explain() or error from error
                except BaseException:
                    # Also an interrupt: the guest ends the request when it sees the session end.
                    self._drop()
                    raise

    def _connect(self, deadline: float) -> Connection:
        try:
            return Connection(self._path, self._guest, deadline, self._watch)
        except AgentLost as error:
            raise self._explain() or error from error

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Kept:
    """Takes the streams of a guest: each to where the caller wants it, or into memory."""

    def __init__(
        self,
        what: str,
        max_bytes: int,
        told: Sent | None = None,
        **streams: BinaryIO | None,
    ) -> None:
        self._what = what
        self._left_bytes = max_bytes
        self._max_bytes = max_bytes
        self._told = told
        self._streams = streams
        self._kept: dict[str, list[bytes]] = {name: [] for name in streams}
        self.received_bytes = 0

    def take(self, name: str, data: bytes) -> None:
        """The next bytes of a stream."""
        if name not in self._streams:
            raise AgentMisbehaved(f"the guest sent data of a stream {name!r}")
        self.received_bytes += len(data)
        file = self._streams[name]
        if file is not None:
            file.write(data)
        else:
            self._left_bytes -= len(data)
            if self._left_bytes < 0:
                raise OutputTooLong(f"{self._what} has more than {self._max_bytes} bytes")
            self._kept[name].append(data)
        if self._told is not None:
            self._told(len(data))

    def of(self, name: str) -> bytes:
        """What was kept of a stream."""
        return b"".join(self._kept[name])
