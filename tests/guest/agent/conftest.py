# SPDX-License-Identifier: GPL-2.0-or-later
"""A real agent in a process of its own, behind what stands for QEMU's end of the port."""

import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tmem_host.provision.agent import Agent

_SERVE = """
import pathlib, sys
from tmem_guest.agent import PortGone, Server
try:
    Server(int(sys.argv[1]), lambda: pathlib.Path(sys.argv[2]).touch()).run()
except PortGone:
    pass
"""


class GuestPort:
    """A virtio-serial port with a unix socket behind it, as QEMU has them.

    One host at a time; what the guest says while there is none is lost; a host that comes gets what
    the guest says from then on, be it the middle of something.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "agent"
        self.powered_off = folder / "powered-off"
        self._guest, self.agent_end = socket.socketpair()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._wake, self._stop = socket.socketpair()
        self._relay = threading.Thread(target=self._run)
        self._relay.start()
        self.agent: subprocess.Popen[bytes] | None = None

    def start_agent(self) -> None:
        fd = self.agent_end.fileno()
        self.agent = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(fd), str(self.powered_off)], pass_fds=[fd]
        )

    def kill_agent(self) -> None:
        assert self.agent is not None
        self.agent.kill()
        self.agent.wait()

    def unplug(self) -> None:
        """As when QEMU is killed."""
        self._stop.send(b"x")
        self._relay.join()
        for end in (self._guest, self.agent_end, self._listener, self._wake, self._stop):
            end.close()

    def _run(self) -> None:
        host: socket.socket | None = None
        while True:
            with selectors.DefaultSelector() as selector:
                selector.register(self._wake, selectors.EVENT_READ)
                selector.register(self._guest, selectors.EVENT_READ)
                waits = host if host is not None else self._listener
                selector.register(waits, selectors.EVENT_READ)
                ready = {key.fileobj for key, _ in selector.select()}
            if self._wake in ready:
                if host is not None:
                    host.close()
                return
            if self._listener in ready:
                host, _ = self._listener.accept()
            elif host in ready and host is not None:
                host = self._pass(host, self._guest)
            if self._guest in ready:
                data = self._guest.recv(4096)
                if host is not None:
                    host = self._deliver(host, data)

    @staticmethod
    def _pass(host: socket.socket, guest: socket.socket) -> socket.socket | None:
        try:
            data = host.recv(4096)
        except ConnectionResetError:
            data = b""
        if not data:
            host.close()
            return None
        guest.sendall(data)
        return host

    @staticmethod
    def _deliver(host: socket.socket, data: bytes) -> socket.socket | None:
        try:
            host.sendall(data)
        except OSError:
            host.close()
            return None
        return host


@pytest.fixture
def port(tmp_path: Path) -> Iterator[GuestPort]:
    """A port whose agent runs."""
    port = GuestPort(tmp_path)
    port.start_agent()
    yield port
    if port.agent_end.fileno() >= 0:
        port.unplug()
    assert port.agent is not None
    assert port.agent.wait(timeout=120) in (0, -9)


@pytest.fixture
def agent(port: GuestPort) -> Iterator[Agent]:
    """The host's side of it."""
    with Agent(port.path) as agent:
        yield agent
