# SPDX-License-Identifier: GPL-2.0-or-later
"""Medians, spread and verdicts, from samples whose figures are known."""

import pytest

from tmem_host.bench.driver import Measured, Sample, read
from tmem_host.bench.fields import CHURNS, FIELDS, LRU_SHAPES, METADATA_SHAPES
from tmem_host.bench.figures import Figure, Spread, contest, counted, waited_share

BY_NAME = {field.name: field for field in FIELDS}


def _samples(*own_ns: float, waited_ns: float = 0) -> list[Sample]:
    return [Sample(own, own + waited_ns) for own in own_ns]


def test_spread() -> None:
    assert Spread.of([5, 1, 2, 4, 3]) == Spread(3, 1, 2, 4, 5)
    assert Spread.of([7]) == Spread(7, 7, 7, 7, 7)


def test_lines_of_the_driver() -> None:
    measured = read(
        '{"series": "put", "round": 1, "wall_ns": 1000, "waited_ns": 400, "pages": 10}\n'
        '{"name": "x", "value": 1.5}\n'
        '{"series": "put", "round": 2, "wall_ns": 2000, "waited_ns": 0, "pages": 10}\n'
    )
    assert measured.series == {"put": [Sample(60, 100), Sample(200, 200)]}
    assert measured.values == {"x": 1.5}


def test_a_contest_is_the_ratio_of_medians() -> None:
    figure = contest(_samples(10, 30, 20), _samples(5, 10, 40))
    assert figure.value == 2
    assert (figure.ours.median, figure.baseline.median) == (20, 10)
    # round by round it was 2, 3 and a half
    assert (figure.spread.min, figure.spread.median, figure.spread.max) == (0.5, 2, 3)
    assert figure.rounds == 3


def test_waiting_is_not_in_the_value_but_beside_it() -> None:
    figure = contest(_samples(20, waited_ns=20), _samples(10, waited_ns=0))
    assert figure.value == 2
    assert figure.wall is not None
    assert (figure.wall.ours, figure.wall.baseline, figure.wall.value) == (40, 10, 4)
    assert figure.wall.waited_share == pytest.approx(20 / 50)
    assert waited_share(_samples(1, waited_ns=0)) == 0


def test_rounds_without_a_partner_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        contest(_samples(1, 2), _samples(1))


def test_counted() -> None:
    figure = counted(3, 4, "bytes", {"x": 1})
    assert figure == Figure(
        0.75, "bytes", Spread.of([3]), Spread.of([4]), Spread.of([0.75]), 1, None, {"x": 1}
    )


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_target_itself_is_met(field: object) -> None:
    target = BY_NAME[field.name]  # type: ignore[attr-defined]
    above, below = target.target * 1.001, target.target * 0.999
    assert target.met(target.target)
    assert target.met(below) != target.met(above)
    assert target.met(above) == (target.better.value == "higher")


def test_scaling_is_a_ratio_of_speedups() -> None:
    measured = Measured(
        {
            "put_alone": _samples(400, 400),
            "put_both": _samples(250, 250),
            "copy_alone": _samples(200, 200),
            "copy_both": _samples(100, 100),
        }
    )
    figure = BY_NAME["put_scaling_vs_memcpy_scaling"].figure(measured)
    assert (figure.ours.median, figure.baseline.median) == (1.6, 2)
    assert figure.value == pytest.approx(0.8)
    assert figure.spread.median == pytest.approx(0.8)


def test_the_worse_encoding_counts() -> None:
    series = {
        "put_room_raw": _samples(100),
        "put_full_raw": _samples(120),
        "put_room_lz4": _samples(1000),
        "put_full_lz4": _samples(1500),
    }
    values = {
        f"{what}_{encoding}": 0.0
        for what in ("refused_share", "evictions_per_put")
        for encoding in ("raw", "lz4")
    }
    values |= {"max_evictions_raw": 3, "max_evictions_lz4": 7}
    measured = Measured(series, values)
    figure = BY_NAME["put_full_vs_put"].figure(measured)
    assert (figure.value, figure.ours.median) == (1.5, 1500)
    assert figure.details["value_raw"] == pytest.approx(1.2)
    assert BY_NAME["max_evictions_per_put"].figure(measured).value == 7


def test_the_worst_shape_counts_since_a_quarter_of_the_set() -> None:
    values: dict[str, float] = {}
    for kind in ("plain", "dedup"):
        for number, shape in enumerate(METADATA_SHAPES):
            name = f"{kind}_{shape}"
            values |= {f"{name}_process_bytes_per_page": 1, f"{name}_empty_heap_bytes": 1}
            for part in (64, 16, 4, 1):
                bytes_ = 100 * (number + 1) + part
                values |= {
                    f"{name}_from_1_{part}_bytes": bytes_,
                    f"{name}_from_1_{part}_pages": 10,
                    f"{name}_from_1_{part}_bytes_per_page": bytes_ / 10,
                }
    for field in ("metadata_bytes_per_page", "metadata_bytes_per_page_dedup"):
        figure = BY_NAME[field].figure(Measured({}, values))
        assert figure.value == (100 * len(METADATA_SHAPES) + 4) / 10
        assert figure.details["files_from_1_64_bytes_per_page"] == 16.4


def test_idle_extents_hide_nothing() -> None:
    values: dict[str, float] = {}
    for number, name in enumerate(CHURNS):
        values |= {
            f"{name}_wasted_bytes": 10 * (number + 1),
            f"{name}_held_bytes": 100,
            f"{name}_idle_bytes": 100,
            f"{name}_metadata_bytes_per_page": 90,
        }
    figure = BY_NAME["arena_waste_ratio_churned"].figure(Measured({}, values))
    assert figure.value == pytest.approx(0.1 * len(CHURNS))
    assert figure.details[f"{CHURNS[0]}_value_with_idle"] == 110 / 200


def test_hits_lost_are_a_share_of_those_of_exact_lru() -> None:
    values: dict[str, float] = {}
    for shape in LRU_SHAPES:
        values |= {
            f"{shape}_hit_ratio": 0.4,
            f"{shape}_exact_hit_ratio": 0.5,
            f"{shape}_capacity_pages": 100,
        }
    values["pools_hit_ratio"] = 0.3
    figure = BY_NAME["lru_hit_loss"].figure(Measured({}, values))
    assert figure.value == pytest.approx(0.4)
