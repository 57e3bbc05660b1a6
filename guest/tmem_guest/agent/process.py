# SPDX-License-Identifier: GPL-2.0-or-later
"""exec: runs a command, with its streams, until it ends or must."""

import array
import contextlib
import fcntl
import functools
import os
import select
import signal
import subprocess
import termios
from collections import deque
from collections.abc import Callable

from tmem_guest.agent import protection
from tmem_guest.agent.job import Arguments, Channel, Job, RequestError
from tmem_guest.agent.loop import Loop
from tmem_shim.agent_protocol import CHUNK_BYTES, WINDOW_BYTES

TERM_GRACE_S = 2.0
KILL_GRACE_S = 10.0

Kill = Callable[[int, int], None]


class Exec(Job):
    """A command in a process group of its own.

    It is over when its own process ends. What its pipes hold at that moment is still sent; they are
    closed then, even if a process that it left in the background has them open. At the time limit,
    or when the host goes away, the whole group gets SIGTERM, and SIGKILL if that does not help.
    """

    def __init__(
        self, loop: Loop, channel: Channel, arguments: Arguments, *, kill: Kill = os.killpg
    ) -> None:
        argv = arguments.texts("argv")
        if not argv or not argv[0]:
            raise RequestError("bad-request", "the argument argv must name a program")
        environment = {**os.environ, **arguments.text_map("env")}
        directory = arguments.optional_text("cwd")
        wants_stdin = arguments.flag("stdin")
        limit_s = arguments.number("time_limit_s")
        arguments.finish()
        self._loop = loop
        self._channel = channel
        self._kill = kill
        self._process = _start(argv, environment, directory, wants_stdin)
        self._pidfd = os.pidfd_open(self._process.pid)
        self._stdin = -1
        if self._process.stdin is not None:
            self._stdin = self._process.stdin.fileno()
            os.set_blocking(self._stdin, False)
        self._input: deque[memoryview] = deque()
        self._input_bytes = 0
        self._input_ended = False
        self._outputs: dict[int, str] = {}
        self._timed_out = False
        self._ending = False
        for stream, name in ((self._process.stdout, "stdout"), (self._process.stderr, "stderr")):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            self._outputs[stream.fileno()] = name
        self._reading = False
        self._read_outputs()
        loop.watch(self._pidfd, select.EPOLLIN, self._exited)
        if limit_s is not None:
            loop.call_in(self, limit_s, self._at_limit)

    # ---- the host's side of the streams

    def data(self, data: bytes) -> None:
        if self._input_ended:
            raise self._misuse("data after the end of the stream")
        if self._stdin < 0:
            self._channel.taken(len(data))
            return
        if self._input_bytes + len(data) > WINDOW_BYTES:
            raise self._misuse("more data than the window allows")
        self._input.append(memoryview(data))
        self._input_bytes += len(data)
        self._write_input(0)

    def end(self) -> None:
        self._input_ended = True
        if not self._input:
            self._close_stdin()

    def pump(self) -> bool:
        self._read_outputs()
        return False

    def abort(self) -> None:
        self._channel.muted = True
        self._terminate()

    def _misuse(self, what: str) -> RequestError:
        self.abort()
        return RequestError("bad-request", what)

    # ---- the command's side

    def _write_input(self, _events: int) -> None:
        while self._input:
            first = self._input[0]
            try:
                count = os.write(self._stdin, first)
            except BlockingIOError:
                self._loop.watch(self._stdin, select.EPOLLOUT, self._write_input)
                return
            except OSError:
                # The command does not want the rest. It is no failure, as in a shell.
                self._channel.taken(self._input_bytes)
                self._close_stdin()
                return
            self._input_bytes -= count
            self._channel.taken(count)
            if count == len(first):
                self._input.popleft()
            else:
                self._input[0] = first[count:]
        self._loop.unwatch(self._stdin)
        if self._input_ended:
            self._close_stdin()

    def _close_stdin(self) -> None:
        self._input.clear()
        self._input_bytes = 0
        if self._stdin >= 0:
            self._loop.unwatch(self._stdin)
            self._stdin = -1
            assert self._process.stdin is not None
            self._process.stdin.close()

    def _read_outputs(self) -> None:
        """Reads what the command says as long as the host takes it."""
        reading = self._channel.room()
        if reading == self._reading:
            return
        self._reading = reading
        for fd in self._outputs:
            if reading:
                self._loop.watch(fd, select.EPOLLIN, functools.partial(self._read_ready, fd))
            else:
                self._loop.unwatch(fd)

    def _read_ready(self, fd: int, _events: int) -> None:
        self._read(fd)

    def _read(self, fd: int, limit: int = CHUNK_BYTES) -> int:
        """Sends on at most `limit` bytes of a pipe; how many they were."""
        try:
            data = os.read(fd, min(limit, CHUNK_BYTES))
        except BlockingIOError:
            return 0
        if data:
            self._channel.data(self._outputs[fd], data)
        else:
            self._loop.unwatch(fd)
            del self._outputs[fd]
        self._read_outputs()
        return len(data)

    # ---- the end

    def _at_limit(self) -> None:
        self._timed_out = True
        self._terminate()

    def _terminate(self) -> None:
        if not self.done and not self._ending:
            self._ending = True
            self._signal(signal.SIGTERM)
            self._loop.call_in(self, TERM_GRACE_S, self._kill_it)

    def _kill_it(self) -> None:
        self._signal(signal.SIGKILL)
        self._loop.call_in(self, KILL_GRACE_S, self._give_up)

    def _give_up(self) -> None:
        # It waits in the kernel, as for a page whose backing store does not answer.
        name, pid = self._process.args, self._process.pid
        assert isinstance(name, list)
        self._close()
        _unkillable.append(self._process)
        self._channel.error(
            RequestError("unkillable", f"{name[0]!r} (process {pid}) did not end on SIGKILL")
        )

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._kill(self._process.pid, number)

    def _exited(self, _events: int) -> None:
        if self._ending:
            # Those of its group that outlive it; its number is not free before wait() below.
            self._signal(signal.SIGKILL)
        # What is in the pipes now is what the command itself wrote, and bounded.
        for fd in list(self._outputs):
            left = _held(fd)
            while left > 0 and (count := self._read(fd, left)):
                left -= count
        status = self._process.wait()
        self._close()
        self._channel.result(
            {
                "status": status if status >= 0 else None,
                "signal": -status if status < 0 else None,
                "timed_out": self._timed_out,
            }
        )

    def _close(self) -> None:
        self.done = True
        self._loop.cancel(self)
        self._loop.unwatch(self._pidfd)
        os.close(self._pidfd)
        self._close_stdin()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            self._loop.unwatch(stream.fileno())
            stream.close()
        self._outputs.clear()


# Kept so that they are waited for when they end after all.
_unkillable: list[subprocess.Popen[bytes]] = []


def _reap_unkillable() -> None:
    _unkillable[:] = [process for process in _unkillable if process.poll() is None]


def _start(
    argv: list[str], environment: dict[str, str], directory: str | None, wants_stdin: bool
) -> subprocess.Popen[bytes]:
    _reap_unkillable()
    try:
        return subprocess.Popen(
            argv,
            env=environment,
            cwd=directory,
            stdin=subprocess.PIPE if wants_stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            # The agent has one thread.
            preexec_fn=protection.undo if protection.active() else None,  # noqa: PLW1509
        )
    except subprocess.SubprocessError as error:
        raise RequestError("os", f"cannot run {argv[0]!r}: {error}") from error
    except OSError as error:
        if directory is not None and error.filename == directory:
            raise RequestError.of(f"change to the directory {directory!r}", error) from error
        raise RequestError.of(f"run {argv[0]!r}", error) from error


def _held(pipe: int) -> int:
    """How many bytes can be read from a pipe now."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]
