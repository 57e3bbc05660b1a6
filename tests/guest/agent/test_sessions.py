# SPDX-License-Identifier: GPL-2.0-or-later
"""Either side goes away and comes back, in the middle of anything."""

import contextlib
import io
import os
import socket
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.guest.agent.conftest import GuestPort
from tests.guest.agent.processes import ends, pid_in
from tmem_guest.agent import PortGone, Server
from tmem_host.provision.agent import Agent, AgentLost, AgentUnreachable
from tmem_shim import agent_protocol as protocol
from tmem_shim.agent_protocol import FILLER, encode


class _Trigger(io.BytesIO):
    """Does something once when the first data comes."""

    def __init__(self, action: object) -> None:
        super().__init__()
        self._action = action

    def write(self, data: object, /) -> int:
        if callable(self._action):
            action, self._action = self._action, None
            action()
        return 1


_SLOWLY = ["sh", "-c", "echo $$ > pid; echo; exec sleep 1000"]


def test_an_agent_that_starts_again_between_requests_is_not_noticed(
    agent: Agent, port: GuestPort
) -> None:
    assert agent.exec(["true"]).ok
    port.kill_agent()
    port.start_agent()
    assert agent.exec(["true"]).ok


def test_a_request_that_nobody_began_is_made_again(agent: Agent, port: GuestPort) -> None:
    agent.ping()
    port.kill_agent()
    # It waits in the port until there is an agent.
    starting = threading.Timer(0.3, port.start_agent)
    starting.start()
    assert agent.exec(["cat"], stdin=bytes(200_000)).stdout == bytes(200_000)
    starting.join()


def test_a_request_whose_source_is_gone_is_not_made_again(agent: Agent, port: GuestPort) -> None:
    agent.ping()
    port.kill_agent()
    out, in_ = os.pipe()
    os.write(in_, b"once")
    starting = threading.Timer(0.3, port.start_agent)
    starting.start()
    with (
        os.fdopen(out, "rb", buffering=0) as stdin,
        pytest.raises(AgentLost, match="start again while it ran 'cat'"),
    ):
        agent.exec(["cat"], stdin=stdin)
    os.close(in_)
    starting.join()


def test_an_agent_that_starts_again_in_mid_exec(
    agent: Agent, port: GuestPort, tmp_path: Path
) -> None:
    def again() -> None:
        port.kill_agent()
        port.start_agent()

    with pytest.raises(AgentLost, match="the guest had its agent start again while it ran 'sh'"):
        agent.exec(_SLOWLY, cwd=str(tmp_path), stdout=_Trigger(again))
    assert agent.exec(["true"]).ok
    # Whatever such a command does, nobody has it any more; here the test has.
    agent.exec(["kill", str(pid_in(tmp_path / "pid"))])


def test_an_agent_that_starts_again_in_mid_frame(agent: Agent, port: GuestPort) -> None:
    def again() -> None:
        port.kill_agent()
        # What the killed one had begun, whatever that was, promises more than will come.
        port.agent_end.send(encode(1, {"type": "data", "data": bytes(1000)})[:100])
        port.start_agent()

    with pytest.raises(AgentLost, match="start again while it ran 'yes'"):
        agent.exec(["yes"], stdout=_Trigger(again))
    assert agent.exec(["true"]).ok


def test_a_guest_that_is_killed_in_mid_exec(agent: Agent, port: GuestPort, tmp_path: Path) -> None:
    with pytest.raises(AgentLost, match="the guest went away while it ran 'sh'"):
        agent.exec(_SLOWLY, cwd=str(tmp_path), stdout=_Trigger(port.unplug))
    with pytest.raises(AgentUnreachable, match="does not run"):
        agent.ping()
    # The port is gone, so what it was asked to run is ended.
    assert ends(pid_in(tmp_path / "pid"))


def test_the_next_host_is_served_and_what_the_last_one_ran_is_ended(
    port: GuestPort, tmp_path: Path
) -> None:
    first = Agent(port.path)
    with pytest.raises(AgentLost):
        # As a host that dies: the socket is closed behind the agent's back.
        first.exec(
            _SLOWLY,
            cwd=str(tmp_path),
            stdout=_Trigger(lambda: _socket(first).shutdown(socket.SHUT_RDWR)),
        )
    with Agent(port.path) as second:
        assert second.exec(["true"]).ok
    assert ends(pid_in(tmp_path / "pid"))


def _socket(agent: Agent) -> socket.socket:
    assert agent._connection is not None
    return agent._connection._socket


def test_one_host_at_a_time(port: GuestPort) -> None:
    with Agent(port.path, guest="vm1") as first, Agent(port.path, guest="vm1") as second:
        first.ping()
        with pytest.raises(AgentUnreachable, match=r"vm1 does not answer.*another program"):
            second.wait(0.3)
        first.close()
        assert second.ping()


def test_a_guest_that_does_not_run(tmp_path: Path) -> None:
    with Agent(tmp_path / "agent", guest="vm1") as agent:
        with pytest.raises(AgentUnreachable, match=r"vm1 does not run: .*/agent: No such file"):
            agent.ping()
        with pytest.raises(AgentUnreachable, match=r"No such file"):
            agent.wait(0.2)
    with Agent(tmp_path / ("x" * 200)) as agent, pytest.raises(AgentUnreachable, match="too long"):
        agent.ping()


def test_waiting_for_a_guest_to_boot(tmp_path: Path) -> None:
    ports: list[GuestPort] = []

    def boot() -> None:
        time.sleep(0.1)
        ports.append(GuestPort(tmp_path))
        time.sleep(0.3)
        ports[0].start_agent()

    booting = threading.Thread(target=boot)
    booting.start()
    with Agent(tmp_path / "agent") as agent:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert agent.wait(60).boot_id == boot_id
        assert agent.exec(["true"]).ok
    booting.join()
    ports[0].unplug()
    assert ports[0].agent is not None
    assert ports[0].agent.wait(60) == 0


# What hosts that died may have left in the port.
remains = st.lists(
    st.one_of(
        st.binary(max_size=100),
        st.just(FILLER[:1000]),
        st.tuples(
            st.sampled_from([protocol.HELLO, protocol.REQUEST, protocol.DATA, protocol.END]),
            st.integers(1, 3),
            st.integers(0, 200),
        ).map(
            lambda made: encode(
                made[1],
                {"type": made[0], "id": 1, "method": "exec", "arguments": {"argv": ["sleep", "9"]}},
            )[: made[2]]
        ),
    ),
    max_size=4,
).map(b"".join)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(remains)
def test_whatever_the_last_host_left_in_the_port(port: GuestPort, left: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as last:
        last.connect(str(port.path))
        last.sendall(left)
    with Agent(port.path) as agent:
        assert agent.exec(["echo", "hello"]).stdout == b"hello\n"


def test_poweroff_is_answered_first(agent: Agent, port: GuestPort) -> None:
    agent.poweroff()
    deadline = time.monotonic() + 60
    while not port.powered_off.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_request_that_this_agent_does_not_know(agent: Agent) -> None:
    agent.ping()
    for method, arguments, text in (
        ("reboot", {}, "unknown method 'reboot'"),
        ("ping", {"loudly": True}, "unknown arguments: loudly"),
        ("exec", {"argv": ["true"], "user": "nobody"}, "unknown arguments: user"),
        ("exec", {"argv": "true"}, "argv must be a list"),
        ("exec", {"argv": ["true"], "env": {"A=B": "c"}}, "env must be"),
        ("exec", {"argv": ["true"], "time_limit_s": -1}, "time_limit_s must be"),
        ("exec", {"argv": ["true"], "time_limit_s": float("nan")}, "time_limit_s must be"),
        ("write_file", {"path": "/tmp/x", "mode": 1.5}, "mode must be"),
        ("write_file", {"path": "/tmp/x", "mode": 0o10000}, "mode must be"),
        ("write_file", {"path": "/tmp/x", "in_place": 1}, "in_place must be"),
        ("read_file", {}, "path must be a text"),
    ):
        with pytest.raises(Exception, match=text):
            agent._call(method, arguments, doing="was asked")
    assert agent.ping()


def test_a_job_that_ended_with_the_port_is_not_waited_for() -> None:
    """Nothing would come any more that could end the wait."""
    host, guest = socket.socketpair()
    server = Server(guest.fileno(), lambda: None)
    job = Mock(done=False)
    server._leftovers.append(job)

    def serve() -> None:
        with contextlib.suppress(PortGone):
            server.run()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert host.recv(1)
    time.sleep(0.3)  # it waits for something to happen now: both at once
    job.done = True
    host.close()
    thread.join(20)
    assert not thread.is_alive()
    guest.close()
