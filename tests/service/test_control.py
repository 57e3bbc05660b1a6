# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket and the dispatcher behind it, with methods of the test's own."""

import asyncio
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.live import another_user
from tmem_host.control import CallRefused, Connection, ControlError, NoService
from tmem_host.control.rpc import Notification, Request
from tmem_host.service.control import CONNECTIONS_MAX, ControlSocket, listen
from tmem_host.service.dispatch import Dispatcher, method
from tmem_host.service.journal import SUBSCRIBER_EVENTS, Journal

STOP_SECONDS = 60.0


class Target:
    @method("echo")
    def echo(self, text: str, number: int = 3, maybe: int | None = None) -> list[Any]:
        return [text, number, maybe]

    @method("flag")
    def flag(self, on: bool) -> bool:
        return not on

    @method("refuse")
    def refuse(self) -> None:
        raise CallRefused("not today", "state")

    @method("events.subscribe")
    def subscribe(self) -> bool:
        return True


class Running:
    """A control socket served by an event loop in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = Journal()
        self._control = ControlSocket(path, None, self._call, self.journal)
        self._thread = threading.Thread(target=self._run)
        self._ready = threading.Event()
        self._thread.start()
        self._ready.wait()

    async def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        return Dispatcher(Target()).call(name, arguments)

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        await self._control.start()
        self._ready.set()
        await self._end.wait()
        await self._control.stop()

    def tell(self, *texts: str) -> None:
        for text in texts:
            self.loop.call_soon_threadsafe(self.journal.add, "set", text)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    service = Running(tmp_path / "control.sock")
    yield service
    service.stop()
    assert not service.path.exists()


def test_calls_are_answered(running: Running) -> None:
    with Connection(running.path) as connection:
        assert connection.call("echo", text="a") == ["a", 3, None]
        assert connection.call("echo", text="a", number=5, maybe=6) == ["a", 5, 6]
        assert connection.call("flag", on=True) is False


@pytest.mark.parametrize(
    ("name", "arguments", "code", "message"),
    [
        ("absent", {}, "usage", "there is no method 'absent'"),
        ("echo", {}, "usage", "echo needs the argument 'text'"),
        ("echo", {"text": "a", "more": 1}, "usage", "echo has no argument 'more'"),
        ("echo", {"text": 5}, "usage", "echo: text is a text"),
        ("echo", {"text": "a", "number": True}, "usage", "echo: number is a whole number"),
        ("echo", {"text": "a", "number": -1}, "usage", "echo: number is a whole number"),
        ("echo", {"text": "a", "number": None}, "usage", "echo: number is a whole number"),
        ("flag", {"on": 1}, "usage", "flag: on is a true or false"),
        ("refuse", {}, "state", "not today"),
    ],
)
def test_what_cannot_be_done_is_refused(
    running: Running, name: str, arguments: dict[str, Any], code: str, message: str
) -> None:
    with Connection(running.path) as connection:
        with pytest.raises(CallRefused) as refused:
            connection.call(name, **arguments)
        assert refused.value.code == code
        assert str(refused.value).startswith(message)
        assert connection.call("flag", on=False) is True


def test_events_are_told_to_who_subscribed(running: Running) -> None:
    with Connection(running.path) as listening, Connection(running.path) as other:
        listening.call("events.subscribe")
        running.tell("one", "two")
        told = listening.notifications()
        assert [next(told).arguments["text"] for _ in range(2)] == ["one", "two"]
        assert listening.call("flag", on=True) is False
        assert other.call("flag", on=True) is False


def test_events_for_who_does_not_read_are_dropped_and_counted() -> None:
    journal = Journal()
    with journal.subscribe() as subscription:
        for number in range(SUBSCRIBER_EVENTS + 7):
            journal.add("set", str(number))
        assert subscription.lost == 7
        assert asyncio.run(subscription.next()).text == "0"


@pytest.mark.parametrize("data", [b"\xc1", b"\x05", Notification("m", {}).pack()])
def test_what_is_no_call_ends_the_connection(running: Running, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as raw, Connection(running.path) as good:
        raw.connect(str(running.path))
        raw.sendall(data)
        assert raw.recv(100) == b""
        assert good.call("flag", on=True) is False


def test_too_many_connections_are_refused(running: Running) -> None:
    connections = [Connection(running.path) for _ in range(CONNECTIONS_MAX)]
    assert connections[-1].call("flag", on=True) is False
    with pytest.raises(ControlError), Connection(running.path) as one_more:
        one_more.call("flag", on=True)
    for connection in connections:
        connection.close()


def test_many_calls_may_be_sent_at_once(running: Running) -> None:
    requests = b"".join(Request(n, "echo", {"text": str(n)}).pack() for n in range(100))
    with Connection(running.path) as connection, socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(running.path))
        raw.sendall(requests)
        assert raw.recv(10) != b""
        assert connection.call("flag", on=True) is False


@pytest.mark.parametrize("steps", range(12))
def test_whatever_a_connection_does_it_ends_with_the_socket(tmp_path: Path, steps: int) -> None:
    """Stopped so many steps of the event loop after a call was begun, in the midst of it."""
    request = Request(1, "echo", {"text": "a"}).pack()

    async def stop_then() -> None:
        begun = asyncio.Event()

        async def call(name: str, arguments: dict[str, Any]) -> Any:
            begun.set()
            return Dispatcher(Target()).call(name, arguments)

        control = ControlSocket(tmp_path / "control.sock", None, call, Journal())
        await control.start()
        reader, writer = await asyncio.open_unix_connection(tmp_path / "control.sock")
        writer.write(request)
        await begun.wait()
        for _ in range(steps):
            await asyncio.sleep(0)
        async with asyncio.timeout(STOP_SECONDS):
            await control.stop()
        await reader.read()
        writer.close()

    asyncio.run(stop_then())


def test_the_socket_is_for_owner_and_group(running: Running) -> None:
    assert stat.S_IMODE(running.path.stat().st_mode) == 0o660


def test_a_socket_in_use_is_not_taken_over(running: Running) -> None:
    with pytest.raises(OSError, match="is another service running"):
        listen(running.path, 0o600)
    with Connection(running.path) as still:
        assert still.call("flag", on=True) is False


def test_a_socket_that_was_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    listen(path, 0o600).close()


def test_a_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120)
    with pytest.raises(OSError, match="cannot listen at"):
        listen(path, 0o600)


def test_a_group_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="there is no group 'nobody-knows'"):
        listen(tmp_path / "s", 0o660, "nobody-knows")


def test_without_a_service_one_sentence_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(NoService, match="systemctl start tmem"):
        Connection(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(NoService):
        Connection(tmp_path / "file")


def test_a_socket_without_rights_is_named(tmp_path: Path) -> None:
    with (
        listen(tmp_path / "s", 0o000),
        another_user(),
        pytest.raises(NoService, match="may not be used"),
    ):
        Connection(tmp_path / "s")
