# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs that guests run, run here: they read what was made, and find every wrong byte."""

import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from tmem_guest.workloads import files
from tmem_guest.workloads.errors import WorkloadError, WrongBytes
from tmem_guest.workloads.memory import Memory
from tmem_host.experiment import dataset, settings
from tmem_host.experiment.settings import DataSettings
from tmem_host.experiment.workloads import phases

DATA = DataSettings(size=1 << 20, files=7, duplicates=0.2)
RECORD = 16 << 10
GUEST = (sys.executable, "-m", "tmem_guest.cli")


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path]:
    """A data set: its folder, and its manifest."""
    tar, manifest = tmp_path / "tar", tmp_path / "manifest"
    dataset.write_tar(DATA, 5, RECORD, tar, manifest)
    with tarfile.open(tar) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path, manifest


def guest(*line: str) -> "subprocess.CompletedProcess[str]":
    """What `tmem-guest LINE` does."""
    main = "import sys; from tmem_guest.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", main, *line], capture_output=True, text=True, check=False
    )


def test_a_data_set_is_the_seeds(tmp_path: Path) -> None:
    sets = [list(dataset.make(DATA, seed)) for seed in (5, 5, 6)]
    assert sets[0] == sets[1] != sets[2]
    assert sum(len(file.contents) for file in sets[0]) == DATA.size
    assert all(len(file.contents) % 4096 == 0 for file in sets[0])
    pages = [
        file.contents[at : at + 4096]
        for file in sets[0]
        for at in range(0, len(file.contents), 4096)
    ]
    copies = len(pages) - len(set(pages))
    assert 0.1 < copies / len(pages) < 0.3
    assert all(page[2048:] == bytes(2048) for page in pages)


@pytest.mark.parametrize("pattern", files.PATTERNS)
def test_every_record_is_read_once_a_pass(made: tuple[Path, Path], pattern: str) -> None:
    root, path = made
    wanted = files.manifest(json.loads(path.read_text()))
    order = list(files.order(wanted, pattern, 1, 0))
    assert len(order) == len(set(order)) == sum(len(file.records) for file in wanted.files)
    again = list(files.order(wanted, pattern, 1, 0))
    assert order == again
    assert (list(files.order(wanted, pattern, 2, 0)) == order) == (pattern == "sequential")
    figures = files.read(wanted, str(root), pattern=pattern, seed=1, passes=2)
    assert figures == files.Figures(2 * DATA.size, 2 * len(order))


def test_one_wrong_byte_anywhere_is_found(made: tuple[Path, Path]) -> None:
    root, path = made
    wanted = files.manifest(json.loads(path.read_text()))
    for seed in range(20):
        rng = random.Random(seed)
        file = rng.choice(wanted.files)
        at = rng.randrange(file.size_bytes)
        whole = (root / file.path).read_bytes()
        (root / file.path).write_bytes(
            whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :]
        )
        with pytest.raises(WrongBytes, match=file.path):
            files.read(wanted, str(root), pattern="random", seed=seed, passes=1)
        (root / file.path).write_bytes(whole)


def test_what_is_dropped_is_read_again_as_it_was(made: tuple[Path, Path]) -> None:
    root, path = made
    wanted = files.manifest(json.loads(path.read_text()))
    records = sum(len(file.records) for file in wanted.files)
    assert files.drop(wanted, str(root)) == files.Figures(DATA.size, records)
    files.read(wanted, str(root), pattern="sequential", seed=0, passes=1)
    (root / wanted.files[1].path).unlink()
    with pytest.raises(WorkloadError, match="cannot open"):
        files.drop(wanted, str(root))


def test_each_part_is_dropped(made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    root, path = made
    wanted = files.manifest(json.loads(path.read_text()))
    dropped = []

    def advise(_: int, offset: int, length: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_DONTNEED
        dropped.append((offset, length))

    monkeypatch.setattr(os, "posix_fadvise", advise)
    files.drop(wanted, str(root))
    starts = [at for at, (offset, _) in enumerate(dropped) if offset == 0]
    assert len(starts) == len(wanted.files)
    assert sum(length for _, length in dropped) == DATA.size


def test_no_pass_has_the_order_of_another(made: tuple[Path, Path]) -> None:
    wanted = files.manifest(json.loads(made[1].read_text()))
    passes = [list(files.order(wanted, "random", 7, number)) for number in (0, 1)]
    assert passes[0] != passes[1]
    assert sorted(passes[0], key=str) == sorted(passes[1], key=str)
    assert passes[0] == list(files.order(wanted, "random", 7, 0))


def test_a_file_that_is_cut_or_missing(made: tuple[Path, Path]) -> None:
    root, path = made
    wanted = files.manifest(json.loads(path.read_text()))
    file = wanted.files[3]
    os.truncate(root / file.path, file.size_bytes - 1)
    with pytest.raises(WrongBytes, match="ends at"):
        files.read(wanted, str(root), pattern="sequential", seed=0, passes=1)
    with pytest.raises(WrongBytes, match="ends at"):
        files.drop(wanted, str(root))
    (root / file.path).unlink()
    with pytest.raises(WorkloadError, match="cannot open"):
        files.read(wanted, str(root), pattern="sequential", seed=0, passes=1)


def test_the_command_reads(made: tuple[Path, Path]) -> None:
    root, path = made
    done = guest("workload", "read", str(path), str(root), "--pattern", "random", "--seed", "3")
    assert done.returncode == 0, done.stderr
    begin, end, figures = done.stdout.splitlines()
    assert (begin, end) == ("begin", "end")
    assert json.loads(figures)["bytes"] == DATA.size
    (root / "data/00002").write_bytes(b"")
    done = guest("workload", "read", str(path), str(root))
    assert done.returncode == 1
    assert done.stderr.startswith("tmem-guest: data/00002 ends at 0")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"record_bytes": 0, "files": [{}]}'])
def test_what_is_no_manifest(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest"
    path.write_text(text)
    done = guest("workload", "read", str(path), str(tmp_path))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_memory_is_verified() -> None:
    with Memory(1 << 20, seed=1, compressible=0.5) as memory:
        memory.verify(0)
        memory.verify(1)
        assert memory.figures.verified_bytes == 2 << 20
        pages = {bytes(memory._map[at : at + 4096]) for at in range(0, 1 << 20, 4096)}
        assert len(pages) == 256
        memory._map[77 * 4096 + 5] ^= 1
        with pytest.raises(WrongBytes, match="page 77 "):
            memory.verify(2)


def test_memory_is_held_until_it_is_asked_for(tmp_path: Path) -> None:
    state = tmp_path / "state"
    main = "import sys; from tmem_guest.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", main, "workload", "hold", str(state), "--size", "65536"]
    )
    try:
        while not state.exists() or state.read_text() != "held\n":
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        assert state.read_text() == "verified\n"
    finally:
        process.kill()
        process.wait()


def test_phases_have_the_same_seeds_in_every_arm_and_others_in_every_round() -> None:
    wanted = settings.parse("guests = 3\n", Path("own.toml"))
    names = ["node1", "node2", "node3"]
    first, again, later = (list(phases(wanted, names, round_)) for round_ in (1, 1, 2))
    assert first == again != later
    assert [phase.name for phase in first] == ["cold", "settle", "second", "warm", "reread"]
    assert set(first[2].commands) == {"node2", "node3"}
    assert len({argv for phase in first for argv in phase.commands.values()}) == 1 + 1 + 2 + 1 + 3


def test_phases_of_peaks() -> None:
    wanted = settings.parse("workload = 'memory'\narms = ['none']\nguests = 2\n", Path("own.toml"))
    found = list(phases(wanted, ["node1", "node2"], 1))
    assert [phase.name for phase in found] == ["hold", "peak-node1", "peak-node2", "release"]
