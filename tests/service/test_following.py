# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that go on until they are told to end, as processes of their own."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import IO

import pytest

from tests.server.peer import page_of
from tests.service.live import Live

LIMIT_S = 60
INTERRUPTED = 130

Follow = Callable[..., "subprocess.Popen[str]"]


def line_of(live: Live, *words: str) -> list[str]:
    return [sys.executable, "-m", "tmem_host.cli", *words, "--socket", str(live.socket)]


@pytest.fixture
def follow(live: Live) -> Iterator[Follow]:
    """Starts `tmem WORDS`."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            line_of(live, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()


def read_until(stream: IO[str] | None, wanted: str) -> str:
    """The first line with `wanted` in it."""
    assert stream is not None
    for line in stream:
        if wanted in line:
            return line
    raise AssertionError(f"ended without {wanted!r}")


def interrupt(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, errors) == (INTERRUPTED, "tmem: interrupted\n")


def test_stats_are_watched(live: Live, follow: Follow) -> None:
    guest = live.guest("guest")
    pool = guest.new_pool()
    process = follow("stats", "guest", "--watch", "0.05")
    read_until(process.stdout, "---")
    assert guest.put(pool, 0, page_of(1)) == 1
    assert read_until(process.stdout, "puts_stored").split() == ["puts_stored", "1"]
    interrupt(process)


def test_events_are_followed(live: Live, follow: Follow) -> None:
    process = follow("events", "--follow", "--json")
    live.add("guest")
    event = json.loads(read_until(process.stdout, "client-added"))
    assert event["client"] == "guest"
    interrupt(process)


def test_top_as_json_is_a_line_a_look(live: Live, follow: Follow) -> None:
    guest = live.guest("guest")
    pool = guest.new_pool()
    process = follow("top", "--json", "-d", "0.05")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    assert first["clients"][0]["per_second"] is None
    assert guest.put(pool, 0, page_of(1)) == 1
    until = time.monotonic() + LIMIT_S
    while not (json.loads(process.stdout.readline())["clients"][0]["per_second"]["puts"]) > 0:
        assert time.monotonic() < until
    interrupt(process)


def test_who_follows_is_told_when_the_service_ends(live: Live, follow: Follow) -> None:
    live.guest("guest")
    processes = [follow("events", "-f"), follow("top", "-d", "0.05"), follow("stats", "--watch")]
    for process, wanted in zip(processes, ("guest", "guest", "---"), strict=True):
        read_until(process.stdout, wanted)
    assert live.stop() == 0
    for process in processes:
        _, errors = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 1
        assert errors.startswith(f"tmem: the service at {live.socket} has ")
        assert len(errors.splitlines()) == 1


def test_top_on_a_terminal(live: Live) -> None:
    """A whole screen, which Ctrl-C gives back; a client that goes is gone at the next look."""
    live.guest("staying").new_pool()
    live.guest("leaving").new_pool()
    master, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "30"}
    process = subprocess.Popen(
        line_of(live, "top", "-d", "0.05"), stdin=terminal, stdout=terminal, stderr=terminal,
        env=environment,
    )  # fmt: skip
    os.close(terminal)
    try:
        screen = wait_for_text(master, "leaving")
        assert b"\x1b[?1049h" in screen  # the alternate screen
        live.tmem("client", "remove", "leaving", "-y")
        until = time.monotonic() + LIMIT_S
        while b"leaving" in wait_for_text(master, "staying"):
            assert time.monotonic() < until
        process.send_signal(signal.SIGINT)
        last = wait_for_text(master, "interrupted")
        assert b"\x1b[?1049l" in last
        assert process.wait(LIMIT_S) == INTERRUPTED
        assert b"Traceback" not in last
    finally:
        process.kill()
        process.wait()
        os.close(master)


def wait_for_text(master: int, wanted: str) -> bytes:
    """What is drawn until `wanted` is."""
    drawn = b""
    until = time.monotonic() + LIMIT_S
    while wanted.encode() not in drawn:
        assert time.monotonic() < until, drawn
        if select.select([master], [], [], 1)[0]:
            drawn += os.read(master, 65536)
    return drawn
