# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem bench engine: what keeps it from running is one sentence."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench.conftest import Bench
from tmem_host.bench import ENGINE, BenchError, Settings, run
from tmem_host.bench.driver import build, measure


def _fails(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("tmem: ")
    for word in words:
        assert word in sentence


def test_too_little_room(bench: Bench) -> None:
    _fails(bench("--size", "1048576GiB"), "/dev/shm has", "MiB free", "--size")


def test_not_a_tmpfs(bench: Bench, tmp_path: Path) -> None:
    with open("/proc/self/mountinfo") as mounts:
        device = os.stat(tmp_path).st_dev
        number = f" {os.major(device)}:{os.minor(device)} "
        if any(number in line and " - tmpfs " in line for line in mounts):
            pytest.skip("the folder for temporary files is on a tmpfs")
    _fails(bench("--arena", tmp_path), str(tmp_path), "not on a tmpfs", "--arena")


def test_no_such_folder(bench: Bench) -> None:
    _fails(bench("--arena", "/dev/shm/there-is-no-such-folder"), "No such file")


def test_no_data_set(tmp_path: Path, arena_path: Path) -> None:
    folder = arena_path.parent
    settings = Settings(size_bytes=4 << 20, rounds=1, roots=(str(tmp_path),), arena=folder)
    with pytest.raises(BenchError, match="data set is too small"):
        run(ENGINE, settings)
    assert list(folder.iterdir()) == []


def test_a_driver_that_cannot_be_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = tmp_path / "make"
    make.write_text(
        "#!/bin/sh\n"
        "echo 'bench.c:1: undefined reference to `lost`' >&2\n"
        "echo 'collect2: error: ld returned 1 exit status' >&2\n"
        "exit 2\n"
    )
    make.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(BenchError, match=r"bench.c:1.* make .*VARIANT=release bench$"):
        build()


def test_the_driver_says_what_is_wrong(arena_path: Path) -> None:
    driver = build()
    with pytest.raises(BenchError, match=r"put: .*pages: No such file"):
        measure(driver, "put", arena_path.parent, 1)
    with pytest.raises(BenchError, match=r"nonsense: no such group"):
        measure(driver, "nonsense", arena_path.parent, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--size", "1KiB"),
        ("--size", "5"),
        ("--size", "many"),
        ("--size", "8MiBKi"),
        ("--rounds", "0"),
        ("--rounds", "-1"),
        ("--fields", "put_raw_vs_memcpy,nonsense"),
        ("--fields", ""),
        ("extra",),
    ],
)
def test_wrong_usage(bench: Bench, arguments: tuple[str, ...]) -> None:
    done = bench(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(r"^tmem bench engine: error: ", done.stderr, re.MULTILINE) or re.search(
        r"^tmem: error: unrecognized", done.stderr, re.MULTILINE
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_it_leaves_nothing(number: signal.Signals, arena_path: Path) -> None:
    folder = arena_path.parent
    command = Path(sys.executable).with_name("tmem")
    arguments = ["bench", "engine", "--size", "64MiB", "--arena", str(folder)]
    process = subprocess.Popen(
        [command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list(folder.glob("*/pages")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    output, error = process.communicate(timeout=120)
    assert (process.returncode, output, error) == (1, "", "tmem: stopped\n")
    assert list(folder.iterdir()) == []
