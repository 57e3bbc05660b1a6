# SPDX-License-Identifier: GPL-2.0-or-later
"""Starting, stopping, killing and reloading the service, with guests that go on."""

import re
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
        stopped.send_signal(signal.SIGHUP)
        assert next_but_watchdog(systemd).startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert next_but_watchdog(systemd) == "READY=1"
        stopped.send_signal(signal.SIGTERM)
        assert next_but_watchdog(systemd) == "STOPPING=1"


def next_but_watchdog(systemd: socket.socket) -> str:
    while (line := systemd.recv(1000).decode()) == "WATCHDOG=1":
        pass
    return line


def test_the_journal_gets_priorities_and_a_file_times(stopped: Live) -> None:
    stopped.log.touch()
    status = stopped.log.stat()
    stopped.start(JOURNAL_STREAM=f"{status.st_dev}:{status.st_ino}")
    stopped.tmem("client", "add", "guest", "--listen", str(stopped.folder / "guest.sock"))
    assert stopped.stop() == 0
    lines = stopped.log.read_text(encoding="utf-8").splitlines()
    assert all(re.match(r"<6>tmem\.\w+: ", line) for line in lines)
    assert any("client-added client=guest: channel" in line for line in lines)
    stopped.log.unlink()
    stopped.start(JOURNAL_STREAM="1:2")  # of somebody whose output was another
    assert stopped.stop() == 0
    for line in stopped.log.read_text(encoding="utf-8").splitlines():
        assert re.match(r"\d{4}-\d\d-\d\d [\d:,]+ INFO tmem\.\w+: ", line)


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
