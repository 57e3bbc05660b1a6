# SPDX-License-Identifier: GPL-2.0-or-later
"""A wrong file, socket, right or size: `tmem serve` says in one sentence what is wrong and ends; a
running service lets nobody in who is not meant."""

import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import tmem_host.service.daemon  # noqa: F401 - another user may not be able to read it
from tests.engine.arenas import small_host, take_memory, why_no_mount
from tests.service.live import NOBODY, Live, another_user

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def refused(live: Live, *more: str) -> str:
    """What `tmem serve` says when it cannot."""
    done = subprocess.run(
        [sys.executable, "-m", "tmem_host.cli", "serve", "--config", str(live.config), *more],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1, done
    assert done.stdout == ""
    # the log may have begun; what is said is the last line
    said = [line for line in done.stderr.splitlines() if line.startswith("tmem: ")]
    assert len(said) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return said[0]


def test_a_wrong_configuration(stopped: Live) -> None:
    stopped.write_config("[arean]\n")
    assert "arean is not a key" in refused(stopped)
    stopped.config.unlink()
    assert refused(stopped) == f"tmem: {stopped.config}: No such file or directory"
    assert "No such file" in stopped.tmem(
        "serve", "--check", "--config", str(stopped.config), status=1
    )
    stopped.write_config()
    assert "fine" in stopped.tmem("serve", "--check", "--config", str(stopped.config))


def test_a_second_service_over_the_same_arena(live: Live) -> None:
    assert "in use" in refused(live, "--socket", str(live.folder / "other.sock"))


def test_a_control_socket_that_is_in_use(live: Live) -> None:
    other = Live.places_in(live.folder / "other", socket=live.socket)
    live.config.write_text(other, encoding="utf-8")
    assert refused(live) == f"tmem: {live.socket} is in use: is another service running?"


def test_a_control_group_that_is_not_there(stopped: Live) -> None:
    stopped.config.write_text(
        stopped.config.read_text().replace("[server]", "group = 'nobody-knows'\n[server]")
    )
    assert refused(stopped) == "tmem: control.group: there is no group 'nobody-knows'"


def test_a_path_that_is_too_long(stopped: Live) -> None:
    long = stopped.folder / ("x" * 120)
    assert f"cannot listen at {long}: AF_UNIX path too long" in refused(
        stopped, "--socket", str(long)
    )
    stopped.write_config(f"[clients.c]\nlisten = '{long}'\n")
    assert "clients.c.listen is a socket's path of at most 107 bytes" in refused(stopped)


def test_a_port_that_is_in_use(stopped: Live) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        stopped.write_config(f"[metrics]\nport = {port}\n")
        assert refused(stopped) == f"tmem: cannot listen at port {port}: Address already in use"


def test_a_file_that_is_no_arena(stopped: Live) -> None:
    (stopped.folder / "arena").write_bytes(b"mine" * 10_000)
    assert f"{stopped.folder}/arena" in refused(stopped)
    (stopped.folder / "arena").unlink()
    (stopped.folder / "arena").mkdir()
    assert f"{stopped.folder}/arena: cannot open the arena: Is a directory" in refused(stopped)


def test_state_that_is_not_ours(stopped: Live) -> None:
    (stopped.folder / "sessions").write_bytes(b"mine" * 10_000)
    assert f"{stopped.folder}/sessions" in refused(stopped)
    (stopped.folder / "sessions").unlink()
    (stopped.folder / "channels.json").write_text("[")
    assert f"{stopped.folder}/channels.json" in refused(stopped)


@pytest.mark.skipif(why_no_mount() is not None, reason=str(why_no_mount()))
def test_a_host_without_room(stopped: Live) -> None:
    with small_host(1 << 20) as full:
        take_memory(full)
        stopped.config.write_text(Live.places_in(full, socket=stopped.socket), encoding="utf-8")
        assert "No space left" in refused(stopped)


@as_root
def test_a_folder_without_rights(stopped: Live) -> None:
    """As the unit's user would meet it."""
    stopped.folder.chmod(0o755)
    line = ("serve", "--config", str(stopped.config))
    with another_user():
        said = stopped.tmem(*line, status=1, socket=False)
    assert said.endswith(
        f"tmem: {stopped.folder}/arena: cannot create the arena: Permission denied\n"
    )
    stopped.config.chmod(0o600)
    with another_user():
        said = stopped.tmem(*line, status=1, socket=False)
    assert said == f"tmem: {stopped.config}: Permission denied\n"


@as_root
def test_who_may_use_the_control_socket(live: Live) -> None:
    """Its group, by rights of the file and by the kernel's word; nobody else, even if somebody has
    opened it to all."""
    live.folder.chmod(0o755)
    assert stat.S_IMODE(live.socket.stat().st_mode) == 0o660
    with another_user():
        assert "may not be used by you; its group may" in live.tmem("list", status=1)
    live.socket.chmod(0o666)
    with another_user():
        said = live.tmem("list", status=1)
    pattern = rf"tmem: process \d+ of user {NOBODY} may not use {live.socket}\n"
    assert re.fullmatch(pattern, said), said
    told = [e["text"] for e in live.call("events.recent") if e["kind"] == "refused-tool"]
    assert f"of user {NOBODY} may not use {live.socket}" in told[0]
    live.socket.chmod(0o660)
    with another_user(12345, live.socket.stat().st_gid):
        assert live.tmem("list").startswith("Id")


@as_root
def test_who_may_read_the_metrics(stopped: Live) -> None:
    path = stopped.folder / "metrics.sock"
    stopped.write_config(f"[metrics]\nsocket = '{path}'\n")
    stopped.start()
    stopped.folder.chmod(0o755)
    path.chmod(0o666)
    assert answer_at(path).startswith(b"HTTP/1.0 200")
    with another_user():
        assert answer_at(path) == b""
    assert any(e["kind"] == "refused-tool" for e in stopped.call("events.recent"))


def answer_at(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as reader:
        reader.connect(str(path))
        try:
            reader.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return reader.recv(100)
        except (BrokenPipeError, ConnectionResetError):
            return b""


def test_files_are_for_the_service_alone(live: Live) -> None:
    live.guest("guest").new_pool()
    for name in ("arena", "sessions", "channels.json"):
        assert stat.S_IMODE((live.folder / name).stat().st_mode) & 0o077 == 0, name
    assert Path(live.socket).is_socket()
