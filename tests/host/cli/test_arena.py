# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem arena: what it prints, what it answers, and that it changes nothing."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.host.cli.conftest import Tmem
from tmem_host.cli.arena import describe
from tmem_host.native import PAGE_BYTES, ArenaReport, Encoding, Engine, check_arena
from tmem_host.native._engine import ffi
from tmem_host.native.records import record

VERBS = ["info", "check"]


def _lines(text: str) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in text.splitlines())


@pytest.mark.parametrize("verb", VERBS)
def test_a_sound_arena(tmem: Tmem, arena: str, verb: str) -> None:
    done = tmem("arena", verb, arena)
    assert (done.returncode, done.stderr) == (0, "")
    lines = _lines(done.stdout)
    assert lines["arena"] == arena
    assert lines["clients"] == "1"
    assert lines["pools"] == "2, of these 0 shared"
    assert lines["pages"] == "2 ephemeral, 1 persistent: 12 KiB stored in 12 KiB"
    assert lines["extents"].endswith("of 256 KiB, room for 1 GiB")
    assert lines["damage"] == "none"
    assert lines["contents"].startswith("verified" if verb == "check" else "not verified")


@pytest.mark.parametrize("verb", VERBS)
def test_json_is_the_report(tmem: Tmem, arena: str, verb: str) -> None:
    done = tmem("arena", verb, "--json", arena)
    assert (done.returncode, done.stderr) == (0, "")
    report = dataclasses.asdict(check_arena(arena, contents=verb == "check"))
    assert json.loads(done.stdout) == {"path": arena, **report}


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_is_changed(tmem: Tmem, arena: str, verb: str) -> None:
    before = Path(arena).read_bytes(), os.stat(arena)
    tmem("arena", verb, arena)
    after = Path(arena).read_bytes(), os.stat(arena)
    assert after[0] == before[0]
    assert (after[1].st_mtime_ns, after[1].st_blocks) == (
        before[1].st_mtime_ns,
        before[1].st_blocks,
    )


def test_an_arena_in_use(tmem: Tmem, arena_path: Path) -> None:
    with Engine(arena_path):
        done = tmem("arena", "check", arena_path)
    assert done.returncode == 0
    assert "in use    yes" in done.stdout


def test_damaged_contents_are_found_by_check_alone(tmem: Tmem, arena_path: Path) -> None:
    contents = os.urandom(PAGE_BYTES)
    with Engine(arena_path) as engine:
        client = engine.create_client("guest")
        client.set(encoding=Encoding.RAW)
        client.new_pool(persistent=True).put((1, 2, 3), 0, contents)
    data = bytearray(arena_path.read_bytes())
    data[data.index(contents) + 1000] ^= 0x10
    arena_path.write_bytes(data)

    assert tmem("arena", "info", arena_path).returncode == 0
    done = tmem("arena", "check", arena_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert _lines(done.stdout)["damage"] == "1 page"


def test_a_damaged_header_copy(tmem: Tmem, arena: str) -> None:
    with open(arena, "r+b") as file:
        file.write(bytes(64))
    done = tmem("arena", "info", arena)
    assert (done.returncode, done.stderr) == (1, "")
    assert _lines(done.stdout)["damage"] == "the first copy of the header"


def test_each_damage_is_named() -> None:
    struct = ffi.new(
        "struct tmem_arena_report *",
        {
            "damaged_records": 3,
            "damaged_rows": 1,
            "damaged_extents": 2,
            "damaged_contents": 4,
            "header_damaged": 1,
            "stale_records": 1,
        },
    )
    lines = _lines(describe("x", record(ArenaReport, struct), contents=True))
    assert lines["damage"] == (
        "the first copy of the header, 3 records, 1 table row, 2 extents, 4 pages"
    )
    assert lines["stale"] == "1 superseded record"


# ---- what cannot be read: status 1 and one sentence --------------------------------------------


def _fails(tmem: Tmem, path: str | Path, *words: str) -> None:
    for verb in VERBS:
        for arguments in (["arena", verb, path], ["arena", verb, "--json", path]):
            done = tmem(*arguments)
            assert (done.returncode, done.stdout) == (1, "")
            (sentence,) = done.stderr.splitlines()
            assert sentence.startswith("tmem: ")
            assert str(path) in sentence
            for word in words:
                assert word in sentence


def test_not_there(tmem: Tmem, arena_path: Path) -> None:
    _fails(tmem, arena_path, "No such file")


def test_not_a_file(tmem: Tmem, arena_path: Path) -> None:
    arena_path.mkdir()
    _fails(tmem, arena_path, "not a regular file")
    fifo = arena_path / "fifo"
    os.mkfifo(fifo)
    _fails(tmem, fifo, "not a regular file")
    _fails(tmem, "/dev/null", "not a regular file")


@pytest.mark.parametrize("size", [0, 100, 4096, 1 << 20])
def test_not_an_arena(tmem: Tmem, arena_path: Path, size: int) -> None:
    arena_path.write_bytes(os.urandom(size))
    _fails(tmem, arena_path, "not a tmem arena")


def test_a_path_with_a_component_that_is_a_file(tmem: Tmem, arena: str) -> None:
    _fails(tmem, f"{arena}/x", "Not a directory")


def test_no_permission(arena: str) -> None:
    os.chmod(arena, 0)
    program = (
        "import os, sys; from tmem_host.cli import main, parser\n"
        "parser()  # loads what this user may read, and the next may not\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "arena", "info", arena],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("tmem: ")
    assert arena in sentence
    assert "Permission denied" in sentence
