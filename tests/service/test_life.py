# SPDX-License-Identifier: GPL-2.0-or-later
"""Starting, stopping, killing and reloading the service, with guests that go on."""

import signal
import socket

from tests.server.peer import DONE, RESUME, page_of
from tests.service.live import Live


def test_pages_and_guests_survive_a_restart_and_a_kill(live: Live) -> None:
    guest = live.guest("guest")
    pool = guest.new_pool(persistent=True)
    for number, how in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGKILL)):
        assert guest.put(pool, number, page_of(number)) == DONE
        assert live.stop(how) == (0 if how == signal.SIGTERM else -how)
        live.start()
        guest = live.connect("guest", guest.memory)
        assert guest.hello(session=guest.memory.session)["verdict"] == RESUME
        assert guest.start() == DONE
        assert [guest.get(pool, index) for index in range(number + 1)] == [
            page_of(index) for index in range(number + 1)
        ]


def test_a_stop_in_order_tells_the_guests(live: Live) -> None:
    guest = live.guest("guest")
    live.send_signal(signal.SIGTERM)
    bye = guest.receive()
    assert (bye.op, bye.status) == (35, -108)
    assert live.stop() == 0
    assert not live.socket.exists()


def test_systemd_is_told(stopped: Live) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(stopped.folder / "notify"))
        systemd.settimeout(60)
        stopped.start(NOTIFY_SOCKET=str(stopped.folder / "notify"), WATCHDOG_USEC="100000")
        told = [systemd.recv(1000).decode() for _ in range(3)]
        assert any(line.startswith("READY=1") for line in told)
        assert "WATCHDOG=1" in told
        stopped.send_signal(signal.SIGTERM)
        while (line := systemd.recv(1000).decode()) != "STOPPING=1":
            assert line == "WATCHDOG=1"


def test_channels_added_by_hand_are_there_after_a_restart(live: Live) -> None:
    path = live.add("guest")
    live.stop()
    assert not path.exists() or path.is_socket()
    live.start()
    guest = live.guest("guest")
    assert guest.stat()["pools"] == 0
    live.tmem("client", "remove", "guest", "-y")
    live.stop()
    live.start()
    assert live.call("client.list") == []
