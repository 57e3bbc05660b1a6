# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem bench service: its figures from known samples, its document, what keeps it from running."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bench.conftest import run_bench
from tests.bench.shape import check_agreement, check_shape
from tmem_host.bench.driver import Measured, Sample, build
from tmem_host.bench.report import describe
from tmem_host.bench.service_fields import SERVERS, SERVICE_FIELDS
from tmem_host.native import PAGE_BYTES

GOLDEN = Path(__file__).with_name("golden_shape_service.json")

# As in docs/performance.md, which is where a reader looks.
TRIPS = ["trips_per_page_miss", "trips_per_page_hit"]
RATES = [
    f"{operation}_{values}_{what}"
    for values in ("incompressible", "real")
    for operation in ("put", "get")
    for what in ("vs_best", "cpu_vs_best", "vs_raw", "depth1_vs_best")
]

FIELD_NAMES = [*RATES, *TRIPS]
FIELDS = {field.name: field for field in SERVICE_FIELDS}

# ns for an operation in three rounds
NS = {
    "raw": (500, 400, 450),
    "tmem_raw": (1000, 800, 500),
    "tmem_lz4": (4000, 5000, 3000),
    "redis": (1000, 1200, 1600),
    "memcached": (2000, 1000, 3000),
}


def _measured(times: float = 1) -> Measured:
    series = {}
    for operation in ("put", "get"):
        for depth in (64, 1):
            for server in SERVERS:
                name = f"{operation}_{depth}_{server}"
                series[name] = [Sample(ns * times, ns * times * 1.25) for ns in NS[server]]
                # the servers' own time: Redis takes most of all
                own = [ns * times * (9 if server == "redis" else 2) for ns in NS[server]]
                series[f"{name}_server"] = [Sample(ns, ns) for ns in own]
    return Measured(series)


@pytest.mark.parametrize("name", RATES)
def test_a_field_is_computed_from_its_samples(name: str) -> None:
    field = FIELDS[name]
    figure = field.figure(_measured())
    slower = field.figure(_measured(4))
    if "cpu" in field.name:
        # memcached takes less of the processor than Redis
        assert (figure.value, figure.ours.median, figure.baseline.median) == (0.4, 1600, 4000)
        assert figure.details["value_lz4"] == 2
        assert figure.spread.min == pytest.approx(1 / 6)
        assert figure.spread.max == 0.8
        assert slower.ours.median == 6400
    else:
        best = {"raw": 450, "best": 1200}["raw" if field.name.endswith("raw") else "best"]
        # by the clock on the wall: a quarter of that time was waited for the processor
        assert figure.value == pytest.approx(best / 800)
        assert figure.ours.median == pytest.approx(1e9 / (800 * 1.25))
        assert figure.baseline.median == pytest.approx(1e9 / (best * 1.25))
        assert figure.details["redis"] == pytest.approx(1e9 / (1200 * 1.25))
        assert figure.details["value_lz4"] == pytest.approx(best / 4000)
        assert slower.ours.median == pytest.approx(1e9 / (800 * 5))
    assert figure.wall is not None
    assert figure.wall.waited_share == pytest.approx(0.2)
    assert slower.value == pytest.approx(figure.value)


@pytest.mark.parametrize("operation", ["put", "get"])
@pytest.mark.parametrize("depth", [64, 1])
def test_a_field_looks_at_its_own_series(operation: str, depth: int) -> None:
    for name in RATES:
        field, measured = FIELDS[name], _measured()
        for server in SERVERS:
            for kind in ("", "_server"):
                del measured.series[f"{operation}_{depth}_{server}{kind}"]
        concerned = field.name.startswith(operation) and (depth == 1) == ("depth1" in field.name)
        if concerned:
            with pytest.raises(KeyError, match=f"{operation}_{depth}_"):
                field.figure(measured)
        else:
            field.figure(measured)


@pytest.mark.parametrize("outcome", ["miss", "hit"])
@pytest.mark.parametrize(("private", "shared"), [(10, 30), (30, 10)])
def test_trips_are_those_of_the_worse_pool(outcome: str, private: int, shared: int) -> None:
    values: dict[str, float] = {}
    for pool, trips in (("private", private), ("shared", shared)):
        for what, times in (("object", 1), ("files", 10)):
            values[f"trips_{pool}_{what}_{outcome}"] = trips * times
            values[f"pages_{pool}_{what}_{outcome}"] = 1000
    figure = FIELDS[f"trips_per_page_{outcome}"].figure(Measured({}, values))
    assert (figure.value, figure.ours.median, figure.baseline.median) == (0.03, 30, 1000)
    assert figure.details["private_object_value"] == private / 1000
    assert figure.details["shared_files_value"] == shared / 100


def test_a_sequential_read_seldom_waits(service_document: dict[str, Any]) -> None:
    """Counted, not timed: so the targets hold on any machine that is not hopelessly slow."""
    for name in TRIPS:
        assert service_document["fields"][name]["met"]


def test_shape(service_document: dict[str, Any]) -> None:
    check_shape(service_document, GOLDEN)


def test_every_field_is_there(service_document: dict[str, Any]) -> None:
    assert list(service_document["fields"]) == FIELD_NAMES


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_a_field_agrees_with_itself(service_document: dict[str, Any], name: str) -> None:
    check_agreement(service_document["fields"][name], rounds=1 if name in TRIPS else 2)


def test_every_figure_was_measured(service_document: dict[str, Any]) -> None:
    fields = [service_document["fields"][name] for name in RATES]
    for field in fields:
        assert all(number > 0 for number in (field["ours"]["median"], *field["details"].values()))
    # of two operations, depths or kinds of pages they are never the same
    rates = {field["ours"]["median"] for field in fields}
    assert len(rates) == len(RATES) - len([name for name in RATES if name.endswith("vs_raw")])


def test_the_other_servers_are_named(service_document: dict[str, Any]) -> None:
    versions = service_document["versions"]
    assert versions["redis"][0].isdigit()
    assert versions["memcached"][0].isdigit()
    assert service_document["data_set"]["pages"] * PAGE_BYTES == 4 << 20


def test_the_table_has_every_field(service_document: dict[str, Any]) -> None:
    lines = describe(service_document).splitlines()
    for name, field in service_document["fields"].items():
        (line,) = (line for line in lines if line.split()[:1] == [name])
        assert ("MISSED" in line) != field["met"]


def test_without_the_other_servers(tmp_path: Path) -> None:
    done = run_bench(what="service", environment={**os.environ, "PATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("tmem: there is no redis-server to compare with")


def test_a_server_that_does_not_start_is_named(arena_path: Path, tmp_path: Path) -> None:
    """A stand-in for Redis that fails at once: its last words are in the sentence."""
    stand_in = tmp_path / "redis-server"
    script = ("#!/bin/sh", '[ "$1" = --version ] && echo 7 && exit', "echo no luck", "exit 1")
    stand_in.write_text("\n".join(script))
    stand_in.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    arguments = ["--size", "4MiB", "--rounds", "1", "--arena", str(arena_path.parent)]
    done = run_bench(*arguments, what="service", environment=environment)
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()
    assert "redis has ended: no luck" in sentence
    assert list(arena_path.parent.iterdir()) == []


def test_servers_end_with_the_program(arena_path: Path) -> None:
    """However it ends: they hold the whole set in memory."""
    folder = arena_path.parent
    program = build("bench_service")
    for name, bytes_ in (("pages", 1024 * PAGE_BYTES), ("handles", 1024 * 8)):
        (folder / name).write_bytes(os.urandom(bytes_))
    process = subprocess.Popen([program, "real", folder, "100000"], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (folder / "memcached.sock").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    children = _children(process.pid)
    assert len(children) == len(SERVERS)
    process.kill()
    process.wait()
    while any(_is_running(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
