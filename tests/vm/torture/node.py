# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker in one guest, as the host talks to it (guest/tmem_guest/workloads/worker.py)."""

import contextlib
import io
import itertools
import os
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Any

import msgpack

from tmem_host.provision.agent import Agent, AgentError
from tmem_host.provision.vm.cluster import MOUNT_POINT

# A guest may be paused for long, and say nothing.
_SILENCE_LIMIT_S = 1200.0


class NodeGone(Exception):
    """The guest, or the worker in it, went away before it answered."""


class Node:
    """One node of the cluster. Its methods may be called from many threads."""

    def __init__(self, number: int, name: str, agent_socket: str, threads: int) -> None:
        self.number = number
        self.name = name
        self._socket = agent_socket
        self._threads = threads
        self._lock = Lock()
        self._ids = itertools.count()
        self._waiting: dict[int, Future[Any]] = {}
        self._commands = -1
        self._thread: Thread | None = None
        self.ending = "it has not been started"

    def start(self) -> None:
        """Starts the worker; the guest has the file system mounted."""
        reader, writer = os.pipe()
        with self._lock:
            self._commands = writer
            self.ending = ""
        self._thread = Thread(target=self._run, args=(reader,), name=self.name, daemon=True)
        self._thread.start()

    def _run(self, reader: int) -> None:
        agent = Agent(self._socket, guest=self.name, silence_limit_s=_SILENCE_LIMIT_S)
        argv = ["python3", "-m", "tmem_guest.workloads.worker", MOUNT_POINT, str(self._threads)]
        try:
            with os.fdopen(reader, "rb") as commands, agent:
                done = agent.exec(argv, stdin=commands, stdout=_Answers(self._answer))
                said = done.stderr.decode(errors="replace")
                self._over(f"its worker ended with status {done.status or done.signal}: {said}")
        except (AgentError, OSError) as error:
            self._over(str(error))

    def _answer(self, answer: dict[str, Any]) -> None:
        with self._lock:
            future = self._waiting.pop(answer["id"])
        if "error" in answer:
            number, text = answer["error"]
            # 0 is the worker's own mistake
            future.set_exception(OSError(number, text) if number else AssertionError(text))
        else:
            future.set_result(answer["result"])

    def _over(self, why: str) -> None:
        with self._lock:
            self.ending = why
            waiting, self._waiting = self._waiting, {}
            with contextlib.suppress(OSError):
                os.close(self._commands)
        for future in waiting.values():
            future.set_exception(NodeGone(f"{self.name}: {why}"))

    def call(self, operation: str, limit_s: float | None = None, **arguments: Any) -> Any:
        """Has the worker do something; what it returned. OSError as in the guest, NodeGone;
        TimeoutError when `limit_s` is over, and then it may still be done."""
        future: Future[Any] = Future()
        with self._lock:
            if self.ending:
                raise NodeGone(f"{self.name}: {self.ending}")
            number = next(self._ids)
            self._waiting[number] = future
            command = {"id": number, "operation": operation, **arguments}
            try:
                os.write(self._commands, msgpack.packb(command))
            except OSError as error:
                raise NodeGone(f"{self.name}: {error}") from error
        return future.result(limit_s)

    def run(self, *argv: str) -> str:
        """What a command in the guest prints; AssertionError unless it succeeds."""
        done = self.call("run", argv=list(argv))
        assert done["status"] == 0, f"{self.name}: {' '.join(argv)}: {done}"
        return str(done["said"])

    def shell(self, script: str) -> str:
        """The same for a shell's script."""
        return self.run("sh", "-e", "-c", script)

    @property
    def there(self) -> bool:
        """Whether the worker runs, as far as is known."""
        return not self.ending

    def stop(self) -> None:
        """Ends the worker, once it has done what it was told."""
        with self._lock:
            if not self.ending:
                os.close(self._commands)
        self.wait_until_gone()

    def wait_until_gone(self) -> None:
        """Waits until the worker has ended."""
        if self._thread is not None:
            self._thread.join()


class _Answers(io.BytesIO):
    """A file that is written what the worker says."""

    def __init__(self, take: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._take = take
        self._unpacker = msgpack.Unpacker()

    def write(self, data: Any) -> int:
        self._unpacker.feed(data)
        for answer in self._unpacker:
            self._take(answer)
        return len(data)
