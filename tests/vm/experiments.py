# SPDX-License-Identifier: GPL-2.0-or-later
"""`tmem experiment run` in a process of its own. A test module that uses the fixture imports it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.provision.vm.skips import needs_libvirt, needs_qemu
from tmem_host.experiment.records import Result, read
from tmem_host.provision.image import Image

_LIMIT_S = 1000.0

READ = """
title = "small"
guests = 2
memory = ["112MiB"]
arms = ["none"]
arena = "64MiB"
[data]
size = "16MiB"
files = 3
"""


class Running:
    """`tmem experiment run` in a process of its own."""

    def __init__(self, folder: Path, text: str, *options: str) -> None:
        file = folder / "own.toml"
        file.write_text(text)
        self.output = folder / "result"
        self.said = folder / "said"
        with self.said.open("wb") as said:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tmem_host.cli", "experiment", "run", str(file)),
                    *("--output", str(self.output), *options),
                ],
                stdout=said,
                stderr=said,
            )

    def wait(self) -> int:
        """Its exit status."""
        return self._process.wait(_LIMIT_S)

    def wait_for(self, words: str) -> None:
        """Until it says so."""
        deadline = time.monotonic() + _LIMIT_S
        while words not in self.text():
            assert self._process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.2)

    def text(self) -> str:
        return self.said.read_text()

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def result(self) -> Result:
        return read(self.output)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def nothing_left(image: Image) -> Iterator[None]:
    """Nothing of an experiment that the body runs is left anywhere but in its result."""
    needs_libvirt()
    needs_qemu()
    assert image.path.exists()
    before = _places()
    yield
    left = _places() - before
    assert not left


@pytest.fixture
def folder(tmp_path: Path, image: Image) -> Iterator[Path]:
    """Where an experiment may be run."""
    with nothing_left(image):
        yield tmp_path


def _places() -> set[Path]:
    """What experiments have on disk and in memory."""
    return {
        path
        for parent in ("/var/tmp", "/dev/shm")
        for path in Path(parent).glob("tmem-x-*")
        if path.is_dir()
    }
