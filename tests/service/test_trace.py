# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem trace against a live service."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.arenas import small_host, why_no_mount
from tests.server.peer import page_of
from tests.service.live import Live
from tests.trace.reference import read_blocks


def recorder(live: Live, *arguments: str) -> "subprocess.Popen[str]":
    """`tmem trace record` in a process of its own, which has begun."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tmem_host.cli", "trace", "record", *arguments, "--socket",
         str(live.socket)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    Live.wait_for(lambda: live.call("trace.status")["recording"] or process.poll() is not None)
    return process


def test_record_stats_and_replay(live: Live) -> None:
    guest = live.guest("web")
    file = live.folder / "trace"
    process = recorder(live, str(file))
    pool = guest.new_pool()
    for index in range(8):
        assert guest.put(pool, index, page_of(index)) == 1
    assert guest.get(pool, 3) == page_of(3)
    assert guest.get(pool, 3) is None
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert re.fullmatch(r"\d+ operations recorded, .*\n", printed)
    assert not live.call("trace.status")["recording"]

    told = live.tmem("trace", "stats", str(file), socket=False)
    assert re.search(r"^web +\d+ +\d+ +8 +2 +1 +0.500 +0$", told, re.MULTILINE), told
    found = json.loads(live.tmem("trace", "stats", str(file), "--json", socket=False))
    assert (found["all"]["hit_ratio"], found["distinct_pages"]) == (0.5, 8)
    assert found["problems"] == []

    told = live.tmem("trace", "replay", str(file), "--budget", "16MiB", socket=False)
    assert "hit ratio    0.500; recorded: 0.500" in told
    arena = str(live.folder / "fresh")
    line = ("trace", "replay", str(file), "--arena", arena, "--encoding", "raw",
            "--admission", "second-chance", "--json")  # fmt: skip
    found = json.loads(live.tmem(*line, socket=False))
    assert (found["gets_hit"], found["gets_hit_recorded"], found["puts_done"]) == (0, 1, 0)
    assert not Path(arena).exists()
    Path(arena).write_text("mine")
    assert "a file is there already" in live.tmem(*line, socket=False, status=1)
    assert Path(arena).read_text() == "mine"


def test_seconds_contents_and_a_limit(live: Live) -> None:
    guest = live.guest("web")
    pool = guest.new_pool()
    process = recorder(live, str(live.folder / "one"), "--contents", "--max-size", "8KiB", "--json")
    for index in range(300):
        assert guest.put(pool, index, os.urandom(4096)) == 1
    printed, errors = process.communicate(timeout=60)  # it ends by itself
    assert process.returncode == 1
    assert json.loads(printed)["dropped"]
    assert "has reached its limit of 8192 bytes" in errors
    live.tmem("trace", "record", str(live.folder / "two"), "--seconds", "0.1")
    assert [kind for kind, _, _ in read_blocks((live.folder / "two").read_bytes())] == [3]


@pytest.mark.skipif(why_no_mount() is not None, reason=str(why_no_mount()))
def test_a_full_disk_ends_the_recording_and_nothing_else(live: Live) -> None:
    guest = live.guest("web")
    pool = guest.new_pool()
    with small_host(256 << 10) as disk:
        process = recorder(live, str(disk / "trace"), "--contents", "--json")
        for index in range(300):
            assert guest.put(pool, index, os.urandom(4096)) == 1
        printed, errors = process.communicate(timeout=60)  # it ends by itself
        assert process.returncode == 1
        status = json.loads(printed)
        assert (status["code"], status["recording"]) == (-errno.ENOSPC, False)
        assert status["dropped"] > 0
        assert re.fullmatch(r"tmem: \d+ operations dropped: .*No space left on device\n", errors)
        # what is there can be read, and says what is missing
        told = live.tmem("trace", "stats", str(disk / "trace"), "--json", socket=False, status=1)
        assert f"{status['dropped']} operations were never written" in told
        assert "writing ended early: No space left on device" in told
    # the guests have seen nothing of it, and the next recording begins afresh
    assert guest.get(pool, 299) is not None
    live.tmem("trace", "record", str(live.folder / "next"), "--seconds", "0.1")


def test_a_recorder_that_is_killed_does_not_record_for_ever(live: Live) -> None:
    live.call("trace.start", path=str(live.folder / "trace"), keep_seconds=1)
    kinds: list[str] = []

    def ended() -> bool:
        kinds[:] = [event["text"] for event in live.call("events.recent")]
        return any("operations were recorded" in text for text in kinds)

    Live.wait_for(ended)
    assert not live.call("trace.status")["recording"]
    assert any("operations are recorded in" in text for text in kinds)


def test_what_cannot_be_done_is_one_sentence(live: Live) -> None:
    taken = live.folder / "taken"
    taken.write_text("mine")
    assert "a file is there already" in live.tmem("trace", "record", str(taken), status=1)
    absent = str(live.folder / "absent" / "trace")
    assert "No such file" in live.tmem("trace", "record", absent, status=1)
    for verb in ("stats", "replay"):
        told = live.tmem("trace", verb, str(taken), status=1, socket=False)
        assert "this is no trace" in told
        assert "No such file" in live.tmem("trace", verb, absent, status=1, socket=False)
    live.call("trace.start", path=str(live.folder / "trace"))
    other = str(live.folder / "other")
    assert "recorded already" in live.tmem("trace", "record", other, status=1)
    assert live.call("trace.status")["recording"], "the other one's goes on"
    live.call("trace.stop")
    live.tmem("trace", "record", other, "--seconds", "-1", status=2)


def test_of_a_cut_file_what_is_sound_is_used(live: Live) -> None:
    guest = live.guest("web")
    whole = live.folder / "trace"
    live.call("trace.start", path=str(whole))
    pool = guest.new_pool()
    assert guest.put(pool, 1, page_of(1)) == 1
    live.call("trace.stop")
    cut = live.folder / "cut"
    cut.write_bytes(whole.read_bytes()[:-20])
    told = live.tmem("trace", "stats", str(cut), status=1, socket=False)
    assert "the end is missing" in told
    assert "belong to no whole block" in told
