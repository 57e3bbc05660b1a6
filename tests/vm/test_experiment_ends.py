# SPDX-License-Identifier: GPL-2.0-or-later
"""Experiments that end before their time: a sentence that says why, everything cleaned up, and what
was measured until then kept and marked."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.vm import experiments
from tests.vm.experiments import READ, Running
from tmem_host.experiment.records import FILE_NAME
from tmem_host.provision.paths import cache_directory

pytestmark = pytest.mark.timeout(1200)

folder = experiments.folder


def _state() -> Path:
    """Where the experiment that runs has its VMs."""
    return Path(json.loads((cache_directory() / "experiment.lock").read_text())["state"])


def _qemus(state: Path) -> list[int]:
    """Processes of QEMU whose VMs are below that folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if b"qemu" in words and os.fsencode(state) in words:
            found.append(int(path.parent.name))
    return found


def _fails(running: Running, why: str) -> None:
    """It ends with one sentence that says why and where the result is, which says the same."""
    assert running.wait() == 1
    said = running.text()
    assert "Traceback" not in said
    [sentence] = [line for line in said.splitlines() if line.startswith("tmem: ")]
    assert why in sentence
    assert str(running.output) in sentence
    end = running.result().end
    assert end is not None
    assert (end.status, end.reason in sentence) == ("failed", True)


def _is_partial(running: Running, *phases: str) -> None:
    """What was measured until then is there, and its report says that it is not all."""
    assert [run.phase for run in running.result().runs] == list(phases)
    command = (sys.executable, "-m", "tmem_host.cli", "report", str(running.output))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING: Partial result: the experiment " in done.stdout


def test_a_guest_dies(folder: Path) -> None:
    running = Running(folder, READ)
    running.wait_for("second ...")
    os.kill(_qemus(_state())[0], signal.SIGKILL)
    _fails(running, "is gone")
    assert (running.output / "logs/node1.log").stat().st_size > 0
    _is_partial(running, "cold", "settle")


def test_the_service_dies(folder: Path) -> None:
    running = Running(folder, READ, "--arms", "shared")
    running.wait_for("cold ...")
    os.kill(int((_state() / "service.pid").read_text()), signal.SIGKILL)
    _fails(running, "the service at")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_is_interrupted(folder: Path, number: signal.Signals) -> None:
    running = Running(folder, READ)
    running.wait_for("settle ..." if number == signal.SIGINT else "booting ...")
    running.send(number)
    assert running.wait() == 128 + signal.SIGINT
    assert running.text().splitlines()[-1] == "tmem: interrupted"
    end = running.result().end
    assert end is not None
    assert end.status == "interrupted"
    assert f"tmem: what was measured is in {running.output}" in running.text().splitlines()
    _is_partial(running, *(["cold"] if number == signal.SIGINT else []))


def test_it_is_killed_and_the_next_one_cleans_up(folder: Path) -> None:
    killed = Running(folder, READ)
    killed.wait_for("booting ...")
    other = folder / "other"
    other.mkdir()
    second = Running(other, READ)
    assert second.wait() == 1
    assert "another experiment runs, in process" in second.text()
    assert not (second.output / FILE_NAME).exists()
    state = _state()
    while not _qemus(state):
        time.sleep(0.1)
    killed.send(signal.SIGKILL)
    killed.wait()
    assert killed.result().end is None
    assert _qemus(state)
    third = folder / "third"
    third.mkdir()
    next_one = Running(third, READ, "--memory", "1TiB")
    assert next_one.wait() == 1
    said = next_one.text().splitlines()
    assert said[0] == "removing what a killed experiment left"
    assert said[1].startswith("tmem: no memory: 2 guests and the arena may need ")
    assert len(said) == 2
    assert not _qemus(state)
