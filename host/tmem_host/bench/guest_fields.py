# SPDX-License-Identifier: GPL-2.0-or-later
"""The fields of the guest kernel's benchmark, and their targets."""

import dataclasses
from collections.abc import Callable, Sequence
from statistics import median

from tmem_host.bench.driver import Measured, Sample
from tmem_host.bench.figures import Better, Field, Figure, Spread, Wall, contest, counted

GROUP = "guest"
WAITED = "waited_share"
"""A value beside those of the guest: for which share of the time the thread of QEMU or service that
waited most was ready to run, and others had the processor."""
_COUNTED = ("put", "get_sequential", "get_alone", "miss_asked", "miss_summary")


def _alone(ours: str, **details: str) -> Callable[[Measured], Figure]:
    """The median time of an operation, against that of a round trip of the bare port. Of the series
    in `details` the median is told beside it."""

    def figure(measured: Measured) -> Figure:
        found = contest(measured.series[ours], measured.series["raw_trip"])
        assert found.wall is not None
        return dataclasses.replace(
            found,
            unit="ns",
            wall=dataclasses.replace(found.wall, waited_share=measured.values[WAITED]),
            details={
                f"{name}_ns": _median(measured.series[series]) for name, series in details.items()
            },
        )

    return figure


def _many(ours: str, *baselines: str, **details: str) -> Callable[[Measured], Figure]:
    """Pages a second, against the better of the ways of the bare port in the same direction."""

    def figure(measured: Measured) -> Figure:
        mine = _rates(measured.series[ours])
        its = max((_rates(measured.series[name]) for name in baselines), key=median)
        value = median(mine) / median(its)
        return Figure(
            value=value,
            unit="pages_per_s",
            ours=Spread.of(mine),
            baseline=Spread.of(its),
            spread=Spread.of([one / other for one, other in zip(mine, its, strict=True)]),
            rounds=len(mine),
            wall=Wall(value, median(mine), median(its), measured.values[WAITED]),
            details={
                f"{name}_ns": _median(measured.series[series]) for name, series in details.items()
            }
            | {"trips_per_page": _trips_per_page(measured, ours)},
        )

    return figure


def _cold(reading: str) -> Callable[[Measured], Figure]:
    """Nanoseconds for a page of the file, with tmem and without."""

    def figure(measured: Measured) -> Figure:
        found = contest(measured.series[f"{reading}_on"], measured.series[f"{reading}_off"])
        assert found.wall is not None
        pages = measured.values[f"{reading}_pages"]
        return dataclasses.replace(
            found,
            wall=dataclasses.replace(found.wall, waited_share=measured.values[WAITED]),
            details={
                "puts_per_page": measured.values[f"{reading}_puts"] / pages,
                "trips_per_page": measured.values[f"{reading}_trips"] / pages,
            },
        )

    return figure


def _cold_trips(measured: Measured) -> Figure:
    details = {name: _trips_per_page(measured, name) for name in _COUNTED}
    trips, pages = (
        measured.values[f"cold_{what}"] + measured.values[f"evicting_{what}"]
        for what in ("trips", "pages")
    )
    return counted(trips, pages, "trips, pages", details)


def _trips_per_page(measured: Measured, name: str) -> float:
    return measured.values[f"trips_{name}"] / measured.values[f"pages_{name}"]


def _rates(samples: Sequence[Sample]) -> list[float]:
    return [1e9 / sample.wall_ns for sample in samples]


def _median(samples: Sequence[Sample]) -> float:
    return median(sample.wall_ns for sample in samples)


_LOWER, _HIGHER = Better.LOWER, Better.HIGHER

GUEST_FIELDS = (
    Field(
        "get_hit_vs_raw_trip",
        GROUP,
        1.25,
        _LOWER,
        _alone("get_alone", raw_trip_interrupt="raw_trip_interrupt", raw_trip_get="raw_trip_get"),
    ),
    Field("get_miss_asked_vs_raw_trip", GROUP, 1.25, _LOWER, _alone("miss_asked")),
    Field("get_miss_summary_vs_raw_trip", GROUP, 0.02, _LOWER, _alone("miss_summary")),
    Field("store_vs_raw_trip", GROUP, 1.25, _LOWER, _alone("store")),
    Field("load_vs_raw_trip", GROUP, 1.25, _LOWER, _alone("load")),
    Field(
        "get_sequential_vs_raw",
        GROUP,
        0.7,
        _HIGHER,
        _many("get_sequential", "raw_pull", "raw_pull_interrupt"),
    ),
    Field(
        "put_vs_raw",
        GROUP,
        0.8,
        _HIGHER,
        _many("put", "raw_push", "raw_push_interrupt", call="put_call"),
    ),
    Field("cold_read_vs_off", GROUP, 1.05, _LOWER, _cold("cold")),
    Field("cold_read_evicting_vs_off", GROUP, 1.05, _LOWER, _cold("evicting")),
    Field("cold_trips_per_page", GROUP, 0.02, _LOWER, _cold_trips),
)
