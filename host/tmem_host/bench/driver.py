# SPDX-License-Identifier: GPL-2.0-or-later
"""The C programs that measure: building them, running them, reading what they say."""

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tmem_host.bench.errors import BenchError

SOURCE_TREE = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Sample:
    """One contender in one round. Times are nanoseconds for a page."""

    own_ns: float
    """without the time in which it was ready and others had the processor"""
    wall_ns: float


@dataclass
class Measured:
    """What one run of the driver found: timed series, a sample for each round, and values."""

    series: dict[str, list[Sample]] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)


def build(program: str = "bench_engine") -> Path:
    """Builds the programs from the sources of this tree, if not up to date; the path of one.

    Raises BenchError without a source tree, or with the compiler's first complaint.
    """
    if not (SOURCE_TREE / "c/bench").is_dir():
        raise BenchError("the benchmark needs the source tree of tmem: run it from there")
    # a make that runs us would hand its own flags down
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    command = ["make", "--no-print-directory", "-C", "c", "VARIANT=release", "bench"]
    try:
        done = subprocess.run(
            command, cwd=SOURCE_TREE, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise BenchError("the benchmark's driver cannot be built: there is no make") from None
    if done.returncode != 0:
        signs = ("error", "undefined reference")
        complaints = (line for line in done.stderr.splitlines() if any(s in line for s in signs))
        raise BenchError(
            f"the benchmark's driver cannot be built: {next(complaints, 'make failed')};"
            f" the rest is shown by: {' '.join(command)}"
        )
    return SOURCE_TREE / "build/release" / program


def versions(driver: Path) -> dict[str, str]:
    """Of the libraries and the compiler that the driver was built with."""
    found: dict[str, str] = json.loads(_output([str(driver), "versions"]))
    return found


def measure(driver: Path, group: str, folder: Path, rounds: int) -> Measured:
    """Runs one group over the data set in `folder`; BenchError with the driver's own sentence."""
    return read(_output([str(driver), group, str(folder), str(rounds)]))


def read(output: str) -> Measured:
    """What the driver's lines say."""
    measured = Measured()
    for line in output.splitlines():
        entry = json.loads(line)
        if "series" in entry:
            pages = entry["pages"]
            wall_ns = entry["wall_ns"] / pages
            own_ns = (entry["wall_ns"] - entry["waited_ns"]) / pages
            measured.series.setdefault(entry["series"], []).append(Sample(own_ns, wall_ns))
        else:
            measured.values[entry["name"]] = entry["value"]
    return measured


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip() or f"it ended with status {done.returncode}"
        raise BenchError(f"{' '.join(command[1:2])}: {said}")
    return done.stdout
