# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem-guest ping, stat, put, get, flush and bench, against a server over a socket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tmem_guest.cli import main
from tmem_host.native import Engine, Server

PAGE_BYTES = 4096
Run = Callable[..., int]


class Host:
    """A server that can be stopped and started; `socket` is the guest's."""

    def __init__(self, arena: Path, stack: ExitStack) -> None:
        self.arena = arena
        self.socket = arena.with_name("socket")
        self._stack = stack

    def start(self) -> None:
        self.engine = self._stack.enter_context(Engine(self.arena, budget_bytes=64 << 20))
        state = self.arena.with_name("state")
        self.server = self._stack.enter_context(Server(self.engine, state, workers=1))
        self.server.listen(self.socket, client="guest")

    def stop(self) -> None:
        self.server.close()
        self.engine.close()


@pytest.fixture
def host(arena_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(arena_path.parent))
    with ExitStack() as stack:
        made = Host(arena_path, stack)
        made.start()
        yield made


@pytest.fixture
def run(host: Host) -> Run:
    """Runs the command in this process; a minute is enough for every host."""

    def run_(verb: str, *arguments: object, path: Path | None = None, timeout: int = 60) -> int:
        where = ["--path", str(path or host.socket), "--timeout", str(timeout)]
        return main([verb, *where, *map(str, arguments)])

    return run_


def command(host: Host, verb: str, *arguments: object) -> list[str]:
    """The same for another process."""
    where = ["--path", str(host.socket), "--timeout", "60"]
    script = "import sys; from tmem_guest.cli import main; sys.exit(main(sys.argv[1:]))"
    return [sys.executable, "-c", script, verb, *where, *map(str, arguments)]


def state_file(host: Host) -> Path:
    (found,) = (host.arena.parent / "tmem-guest").glob("*.json")
    return found


# ---- one session for many processes ----------------------------------------------------------


@pytest.mark.parametrize("pool", [[], ["--persistent"]], ids=["ephemeral", "persistent"])
def test_put_and_get_in_two_processes_are_one_session(
    host: Host, tmp_path: Path, pool: list[str]
) -> None:
    contents = os.urandom(2 * PAGE_BYTES + 100)
    (tmp_path / "in").write_bytes(contents)
    subprocess.run(command(host, "put", *pool, "1:2:3", "0x10", tmp_path / "in"), check=True)
    out = ["--pages", 3, "--output", tmp_path / "out"]
    subprocess.run(command(host, "get", *pool, "1:2:3", 16, *out), check=True)
    assert (tmp_path / "out").read_bytes() == contents + bytes(PAGE_BYTES - 100)
    done = subprocess.run(
        command(host, "ping", "--json"), check=True, capture_output=True, text=True
    )
    said = json.loads(done.stdout)
    assert said["resumed"] is True
    assert said["epoch"] == 1


def test_pages_pass_through_pipes(host: Host) -> None:
    contents = os.urandom(PAGE_BYTES)
    subprocess.run(command(host, "put", 7, 0), input=contents, check=True)
    done = subprocess.run(command(host, "get", 7, 0), check=True, capture_output=True)
    assert done.stdout == contents


def test_the_session_outlives_the_service(run: Run, host: Host, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(os.urandom(PAGE_BYTES))
    assert run("put", 1, 0, tmp_path / "in") == 0
    host.stop()
    host.start()
    assert run("get", 1, 0, "--output", tmp_path / "out") == 0
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()


def test_a_killed_command_costs_ephemeral_pages_only(
    run: Run, host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It leaves no session to be resumed, but the guest is the same."""
    (tmp_path / "in").write_bytes(os.urandom(PAGE_BYTES))
    assert run("put", "--persistent", 1, 0, tmp_path / "in") == 0
    assert run("put", 1, 0, tmp_path / "in") == 0
    slow = subprocess.Popen(command(host, "ping", "--count", 10**9))
    try:
        while not host.server.session("guest").bytes_in > (1 << 16):
            assert slow.poll() is None
    finally:
        slow.send_signal(signal.SIGKILL)
        slow.wait()
    assert run("get", "--persistent", 1, 0, "--output", tmp_path / "out") == 0
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()
    assert run("get", 1, 0, "--output", tmp_path / "out") == 1
    assert "page 0 is not there" in capsys.readouterr().err


def test_the_state_is_for_its_owner_alone(run: Run, host: Host) -> None:
    assert run("ping") == 0
    for file in (host.arena.parent / "tmem-guest").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
    assert state_file(host).parent.stat().st_mode & 0o777 == 0o700


# ---- what they do and say --------------------------------------------------------------------


def test_flush_forgets_what_it_names(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(os.urandom(4 * PAGE_BYTES))
    out = ["--output", tmp_path / "out"]
    assert run("put", "--persistent", 5, 0, tmp_path / "in") == 0
    assert run("flush", "--persistent", 5, 1, "--pages", 2) == 0
    assert [run("get", "--persistent", 5, index, *out) for index in range(4)] == [0, 1, 1, 0]
    assert run("flush", "--persistent", 5) == 0
    assert [run("get", "--persistent", 5, index, *out) for index in range(4)] == [1, 1, 1, 1]


def test_stat_says_what_the_host_holds(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").write_bytes(os.urandom(3 * PAGE_BYTES))
    assert run("put", "--persistent", 5, 0, tmp_path / "in") == 0
    assert run("stat", "--json") == 0
    assert json.loads(capsys.readouterr().out)["persistent_pages"] == 3
    assert run("stat") == 0
    assert "persistent_pages        3\n" in capsys.readouterr().out


def test_bench_measures_and_leaves_nothing(
    run: Run, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("bench", "--json", "--pages", 512) == 0
    result = json.loads(capsys.readouterr().out)
    assert all(value > 0 for name, value in result.items() if "trips_per" not in name)
    assert result["miss_trips_per_page"] <= 0.05
    assert result["hit_trips_per_page"] <= 0.06
    assert run("bench", "--pages", 512) == 0
    assert "round trip" in capsys.readouterr().out
    assert run("ping") == 0
    assert host.engine.usage().ephemeral_pages == 0


def test_a_refused_page_is_named(
    run: Run, host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").write_bytes(os.urandom(8 * PAGE_BYTES))
    assert run("ping") == 0
    with host.engine.find_client("guest") as client:
        client.set(persistent_quota_bytes=4 * PAGE_BYTES)
    capsys.readouterr()
    assert run("put", "--persistent", 1, 0, tmp_path / "in") == 1
    said = capsys.readouterr().err
    assert "was not stored: this guest is over its cap or quota" in said
    assert said.count("\n") == 1


# ---- failures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "there is no such port or socket"),
        (lambda path: path.write_text(""), "it is neither a unix socket nor a character device"),
    ],
    ids=["nothing", "a file"],
)
def test_what_is_no_port_is_said(
    run: Run,
    tmp_path: Path,
    make: Callable[[Path], object],
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(tmp_path / "port")
    assert run("ping", path=tmp_path / "port", timeout=2) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"tmem-guest: {tmp_path / 'port'}: there is no session: {reason}\n"


def test_a_stopped_service_is_said(
    run: Run, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.stop()
    assert run("ping", timeout=1) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"tmem-guest: {host.socket}: there is no session: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("contents", ["", "{}", "[]", '{"version": 1}', '{"version": 9}'])
def test_a_broken_state_file_is_named(
    run: Run, host: Host, contents: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ping") == 0
    state_file(host).write_text(contents)
    assert run("ping") == 1
    said = capsys.readouterr().err
    assert f"{state_file(host)} is no saved session" in said
    state_file(host).unlink()
    assert run("ping") == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["put", "x", "0"],
        ["put", "1:2:3:4", "0"],
        ["put", "1", "-1"],
        ["put", "1", str(2**64)],
        ["get", "1", "0", "--pages", "0"],
        ["bench", "--depth", "257"],
        ["ping", "--timeout", "soon"],
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["put", 1, 0, "/nonexistent"], "cannot read /nonexistent: No such file or directory"),
        (["put", 1, 0, os.devnull], "/dev/null is empty: no page to store"),
        (["get", 1, 2**64 - 1, "--pages", 2, "--output", os.devnull], "the largest index is"),
        (["get", 1, 0, "--json"], "name a file with --output"),
    ],
)
def test_what_cannot_be_done_is_said(
    run: Run, arguments: list[object], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(arguments[0]), *arguments[1:]) == 1
    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1
