# SPDX-License-Identifier: GPL-2.0-or-later
"""Starting, stopping, killing and reloading the service, with guests that go on."""

import os
import signal
import socket
import stat
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.server.peer import DONE, RESUME, page_of
from tests.service.conftest import Live


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


def test_sighup_takes_over_what_can_be_taken_over(stopped: Live) -> None:
    one, two = stopped.folder / "one.sock", stopped.folder / "two.sock"
    stopped.write_config(f"[clients.one]\nlisten = '{one}'\nweight = 2\n")
    stopped.start()
    assert one.exists()
    stopped.write_config(
        f"[clients.two]\nlisten = '{two}'\nmode = 0o640\n[pressure]\nstep = 0.5\n", budget="16MiB"
    )
    stopped.send_signal(signal.SIGHUP)
    events = Live.wait_for(
        lambda: [e for e in stopped.call("events.recent") if e["kind"] == "reload"]
    )
    assert events[0]["text"] == "at the next start: pressure.step"
    assert two.exists()
    assert stat.S_IMODE(two.stat().st_mode) == 0o640
    assert stopped.call("arena.usage")["budget_bytes"] == 16 << 20
    assert [client["name"] for client in stopped.call("client.list")] == ["one", "two"]
    assert [channel["client"] for channel in stopped.call("service.info")["channels"]] == ["two"]
    stopped.write_config("[arena.wrong]\n")
    stopped.send_signal(signal.SIGHUP)
    Live.wait_for(lambda: "nothing more was taken over" in str(stopped.call("events.recent")))


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


def test_metrics_are_what_prometheus_reads(stopped: Live) -> None:
    path = stopped.folder / "metrics.sock"
    stopped.write_config(f"[metrics]\nsocket = '{path}'\n")
    stopped.start()
    guest = stopped.guest("vm/user")
    pool = guest.new_pool()
    guest.put(pool, 0, page_of(1))
    guest.get(pool, 0)
    guest.get(pool, 0)
    with socket.socket(socket.AF_UNIX) as reader:
        reader.connect(str(path))
        reader.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        answer = b""
        while data := reader.recv(65536):
            answer += data
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.partition(b"\r\n\r\n")[2].decode())
        for sample in family.samples
    }
    assert samples["kvmtmem_up",] == 1
    assert samples["kvmtmem_puts_total", "stored", "user", "vm"] == 1
    assert samples["kvmtmem_gets_total", "hit", "user", "vm"] == 1
    assert samples["kvmtmem_client_connected", "user", "vm"] == 1
    assert samples["kvmtmem_budget_bytes",] == 32 << 20
    assert stopped.stop() == 0
    assert not path.exists()


def test_metrics_may_be_on_a_loopback_port(stopped: Live) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stopped.write_config(f"[metrics]\nport = {port}\n")
    stopped.start()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert b"kvmtmem_build_info" in answer.read()


def test_a_second_service_is_refused_in_one_sentence(live: Live) -> None:
    said = live.tmem("serve", "--config", str(live.config), status=1)
    assert "in use" in said or "open" in said
    assert len(said.strip().splitlines()) == 1


def test_a_wrong_configuration_is_refused_in_one_sentence(stopped: Live) -> None:
    stopped.write_config("[arean]\n")
    said = stopped.tmem("serve", "--config", str(stopped.config), status=1)
    assert "arean is not a key" in said
    assert len(said.splitlines()) == 1
    assert "fine" not in stopped.tmem("serve", "--check", "--config", "/absent", status=1)
    stopped.write_config()
    assert "fine" in stopped.tmem("serve", "--check", "--config", str(stopped.config))


def test_the_arena_cannot_be_used_by_others(live: Live) -> None:
    live.guest("guest").new_pool()
    for name in ("arena", "sessions"):
        assert stat.S_IMODE((live.folder / name).stat().st_mode) & 0o077 == 0, name
    assert Path("/proc/self").exists()
    assert os.access(live.socket, os.W_OK)
