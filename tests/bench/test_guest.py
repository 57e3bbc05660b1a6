# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem bench guest: its figures from known samples, and wrong usage. What it says of a guest is in
tests/vm/test_bench.py."""

import pytest

from tests.bench.conftest import run_bench
from tmem_host.bench.driver import Measured, Sample
from tmem_host.bench.guest_fields import GUEST_FIELDS

# As in docs/performance.md, which is where a reader looks.
ALONE = {
    "get_hit_vs_raw_trip": "get_alone",
    "get_miss_asked_vs_raw_trip": "miss_asked",
    "get_miss_summary_vs_raw_trip": "miss_summary",
    "store_vs_raw_trip": "store",
    "load_vs_raw_trip": "load",
}
MANY = {
    "get_sequential_vs_raw": ("get_sequential", "raw_pull"),
    "put_vs_raw": ("put", "raw_push"),
}
COLD = {"cold_read_vs_off": "cold", "cold_read_evicting_vs_off": "evicting"}
FIELD_NAMES = [*ALONE, *MANY, *COLD, "cold_trips_per_page"]
FIELDS = {field.name: field for field in GUEST_FIELDS}


def _measured(**ns: tuple[int, ...]) -> Measured:
    """Of three rounds in which everything that is not named takes 100 ns."""
    names = {"raw_trip", "raw_trip_get", "raw_trip_interrupt", "put_call"}
    names |= {f"{reading}_{how}" for reading in COLD.values() for how in ("on", "off")}
    names |= {"raw_push_interrupt", "raw_pull_interrupt"}
    names |= {*ALONE.values(), *(name for pair in MANY.values() for name in pair)}
    counted = ("put", "get_sequential", "get_alone", "miss_asked", "miss_summary")
    values = {f"pages_{name}": 1000.0 for name in counted}
    values |= {f"trips_{name}": 20.0 for name in counted}
    values |= {"waited_share": 0.25, "cold_trips": 20, "cold_puts": 0, "cold_pages": 1000}
    values |= {"evicting_trips": 40, "evicting_puts": 500, "evicting_pages": 1000}
    return Measured(
        {name: [Sample(each, each) for each in ns.get(name, (100, 100, 100))] for name in names},
        values,
    )


@pytest.mark.parametrize(("name", "series"), ALONE.items())
def test_an_operation_is_compared_with_a_round_trip(name: str, series: str) -> None:
    figure = FIELDS[name].figure(_measured(**{series: (150, 200, 900)}))
    assert (figure.value, figure.ours.median, figure.baseline.median) == (2, 200, 100)
    assert (figure.spread.min, figure.spread.max) == (1.5, 9)
    assert figure.wall is not None
    assert figure.wall.waited_share == 0.25


@pytest.mark.parametrize(("name", "series"), MANY.items())
def test_throughput_is_compared_with_the_port_in_its_direction(
    name: str, series: tuple[str, str]
) -> None:
    ours, baseline = series
    measured = _measured(**{ours: (200, 400, 250), baseline: (50, 100, 80)})
    figure = FIELDS[name].figure(measured)
    # the way with interrupts takes 100 ns
    assert figure.value == pytest.approx(80 / 250)
    assert figure.ours.median == pytest.approx(1e9 / 250)
    assert figure.details["trips_per_page"] == 0.02
    slower = _measured(**{ours: (200, 400, 250), baseline: (500, 600, 800)})
    assert FIELDS[name].figure(slower).value == pytest.approx(100 / 250)


@pytest.mark.parametrize(
    ("name", "reading", "puts"),
    [("cold_read_vs_off", "cold", 0), ("cold_read_evicting_vs_off", "evicting", 0.5)],
)
def test_a_cold_read_is_compared_with_one_without_tmem(
    name: str, reading: str, puts: float
) -> None:
    measured = _measured(**{f"{reading}_on": (120, 110, 130), f"{reading}_off": (100, 100, 80)})
    figure = FIELDS[name].figure(measured)
    assert figure.value == pytest.approx(1.2)
    assert figure.details["puts_per_page"] == puts
    trips = FIELDS["cold_trips_per_page"].figure(measured)
    assert (trips.value, trips.ours.median, trips.baseline.median) == (0.03, 60, 2000)


def test_every_field_is_there() -> None:
    assert list(FIELDS) == FIELD_NAMES


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--pages", "63"), "not a number from 64 to 16384"),
        (("--memory", "1000"), "not at least 4MiB"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], complaint: str) -> None:
    done = run_bench(*arguments, what="guest")
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
