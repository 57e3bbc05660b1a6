# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest may answer anything: the host gets a result or one of its own errors, in bounded time."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tmem_host.provision.agent import (
    Agent,
    AgentError,
    AgentLost,
    AgentMisbehaved,
    AgentUnreachable,
    GuestRefused,
)
from tmem_shim import agent_protocol as protocol
from tmem_shim.agent_protocol import FrameReader, Message, decode, encode

Answer = Callable[[int, Message], bytes]


class Liar:
    """Answers HELLO as it should, and each request with the bytes that `answer` makes of it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "agent"
        self.answer: Answer = lambda _session, _request: b""
        self.version = protocol.VERSION
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        frames = FrameReader()
        try:
            while data := connection.recv(100_000):
                for session, payload in frames.feed(data):
                    message = decode(payload)
                    if message["type"] == protocol.HELLO:
                        hello = {"type": "hello", "version": self.version, "boot_id": "1"}
                        connection.sendall(encode(session, hello))
                    elif message["type"] == protocol.REQUEST:
                        connection.sendall(self.answer(session, message))
        except OSError:
            pass


@pytest.fixture
def liar(tmp_path: Path) -> Iterator[Liar]:
    liar = Liar(tmp_path)
    yield liar
    liar.close()


@pytest.fixture
def agent(liar: Liar) -> Iterator[Agent]:
    with Agent(liar.path, guest="vm1", answer_limit_s=0.5, silence_limit_s=0.5) as agent:
        yield agent


def _saying(*messages: Message) -> Answer:
    """Sends the messages, as of the request unless they say otherwise."""
    return lambda session, request: b"".join(
        encode(session, {"id": request["id"], **message}) for message in messages
    )


_GOOD = {"type": "result", "result": {"boot_id": "1", "kernel": "5.10", "uptime_s": 1}}


def test_the_honest_one(liar: Liar, agent: Agent) -> None:
    liar.answer = _saying({"type": "alive"}, _GOOD)
    assert agent.ping().kernel == "5.10"


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "result"}],
        [{"type": "result", "result": []}],
        [{"type": "result", "result": {"boot_id": 1, "kernel": "5.10", "uptime_s": 1}}],
        [{"type": "result", "result": {"boot_id": "1", "kernel": "x", "uptime_s": "1"}}],
        [{"type": "result", "result": {"boot_id": "1", "kernel": "x", "uptime_s": -1}}],
        [{"type": "error"}],
        [{"type": "error", "kind": "os", "message": 5}],
        [{"type": "error", "kind": ["os"], "message": "no"}],
        [{"type": "data", "stream": "stdout", "data": b"x"}],
        [{"type": "taken", "bytes": 1}],
        [{"type": "taken", "bytes": -1}],
        [{"type": "taken"}],
        [{"type": "request", "method": "poweroff"}],
        [{"type": "nonsense"}],
    ],
)
def test_nonsense(liar: Liar, agent: Agent, messages: list[Message]) -> None:
    liar.answer = _saying(*messages)
    with pytest.raises(AgentMisbehaved):
        agent.ping()
    liar.answer = _saying(_GOOD)
    assert agent.ping()


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "data", "stream": "stdin", "data": b"x"}],
        [{"type": "data", "stream": "stdout", "data": "x"}],
        [{"type": "result", "result": {"status": None, "signal": None, "timed_out": False}}],
        [{"type": "result", "result": {"status": 0, "signal": 9, "timed_out": False}}],
        [{"type": "result", "result": {"status": 256, "signal": None, "timed_out": False}}],
        [{"type": "result", "result": {"status": True, "signal": None, "timed_out": False}}],
        [{"type": "result", "result": {"status": 0, "signal": None, "timed_out": 0}}],
    ],
)
def test_nonsense_about_a_command(liar: Liar, agent: Agent, messages: list[Message]) -> None:
    liar.answer = _saying(*messages)
    with pytest.raises(AgentMisbehaved):
        agent.exec(["true"])


def test_a_file_of_another_length(liar: Liar, agent: Agent) -> None:
    part: Message = {"type": "data", "stream": "file", "data": b"four"}
    liar.answer = _saying(part, {"type": "result", "result": {"bytes": 5, "mode": 0}})
    with pytest.raises(AgentMisbehaved, match="another length"):
        agent.read_file("/file")


def test_counters_are_numbers(liar: Liar, agent: Agent) -> None:
    good: dict[str, Any] = {"meminfo": {}, "vmstat": {}, "diskstats": {"vda": {"reads": 1}}}
    bad: object
    for bad in ({"puts": "5"}, {"puts": True}, [], None):
        liar.answer = _saying({"type": "result", "result": {**good, "tmem": bad}})
        with pytest.raises(AgentMisbehaved):
            agent.counters()
    liar.answer = _saying({"type": "result", "result": {**good, "tmem": {"puts": 5}}})
    assert agent.counters().tmem == {"puts": 5}


def test_what_it_says_is_safe_to_print(liar: Liar, agent: Agent) -> None:
    liar.answer = _saying({"type": "error", "kind": "os", "message": "\x1b[2Jgone\r\n\u202e" * 999})
    with pytest.raises(GuestRefused) as refused:
        agent.ping()
    said = str(refused.value)
    assert said.isprintable()
    assert said.startswith("?[2Jgone")
    assert len(said) <= 4096


def test_signs_of_life_do_not_stretch_a_limit(liar: Liar, agent: Agent) -> None:
    # As many as the socket takes; then it falls silent, which is not what ends the call.
    liar.answer = _saying(*[{"type": "alive"}] * 1000)
    with pytest.raises(AgentLost, match=r"vm1 has (not finished after|said nothing for)"):
        agent.ping()


def test_silence(liar: Liar, agent: Agent) -> None:
    liar.answer = _saying()
    with pytest.raises(AgentLost, match=r"vm1 has said nothing for 0 s while it ran 'sleep'"):
        agent.exec(["sleep", "1000"])


def test_an_answer_of_before_is_no_answer(liar: Liar, agent: Agent) -> None:
    liar.answer = lambda session, request: b"".join(
        [
            encode(session, {"type": "result", "id": request["id"] - 1}),
            encode(session ^ 1, {"type": "result", "id": request["id"]}),
            encode(session, {**_GOOD, "id": request["id"]}),
        ]
    )
    assert agent.ping()


def test_a_reboot_in_the_middle(liar: Liar, agent: Agent) -> None:
    started = {"type": "started", "version": 1, "boot_id": "2"}
    liar.answer = lambda _session, _request: encode(protocol.NO_SESSION, started)
    # Its new agent answers HELLO, and does not know of the request.
    with pytest.raises(AgentLost, match="vm1 rebooted while it answered ping"):
        agent.ping()


def test_another_version(liar: Liar, agent: Agent) -> None:
    liar.version = 2
    with pytest.raises(AgentMisbehaved, match=r"speaks version 2 .* build the image again"):
        agent.ping()


def test_an_agent_that_knows_no_request_is_not_asked_for_ever(liar: Liar, agent: Agent) -> None:
    liar.answer = _saying({"type": "unknown"})
    with pytest.raises(AgentUnreachable, match="keeps starting"):
        agent.ping()


def test_an_agent_that_starts_twice_is_asked_again(liar: Liar, agent: Agent) -> None:
    """Memory may run out in the guest just when it is asked; the request was not begun."""
    answers = iter([_saying({"type": "unknown"})] * 2 + [_saying(_GOOD)])

    def answer(session: int, request: Message) -> bytes:
        return next(answers)(session, request)

    liar.answer = answer
    assert agent.ping().kernel == "5.10"


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
keys = st.sampled_from(
    ["id", "result", "bytes", "mode", "status", "signal", "timed_out", "stream", "data", "kind"]
)
lies = st.builds(
    lambda type_, rest: {**rest, "type": type_},
    st.sampled_from(["result", "error", "data", "taken", "started", "hello", "unknown"]),
    st.dictionaries(keys, st.one_of(values, st.dictionaries(keys, values, max_size=4))),
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(lies, max_size=4), st.binary(max_size=30))
def test_any_lie_is_a_result_or_an_error(
    liar: Liar, agent: Agent, messages: list[Message], noise: bytes
) -> None:
    last: Message = {"type": "error", "kind": "os", "message": "the end"}
    say = _saying(*messages, last)
    liar.answer = lambda session, request: noise + say(session, request)
    for call in (
        agent.ping,
        agent.counters,
        lambda: agent.exec(["x"]),
        lambda: agent.read_file("x"),
    ):
        with contextlib.suppress(AgentError):
            call()
