# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory saved at equal work: what may be said of two curves, and what may not."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.report.made import MIB, point
from tmem_host.report.points import Point, Spread
from tmem_host.report.saving import (
    NEGLIGIBLE_READ_BYTES,
    TOLERANCE,
    Comparison,
    Need,
    Saving,
    check_control,
    compare,
    measures,
)

READS, SECONDS = measures(2)
SIZES = (64, 96, 128, 160, 192, 224)


def against(base: list[Point], arm: list[Point], sizes: list[int] | None = None) -> Comparison:
    swept = sizes or sorted({each.memory_mib for each in [*base, *arm]})
    return compare(base, arm, SECONDS, swept)


# ---- by hand ---------------------------------------------------------------------------------


def test_measured_in_both() -> None:
    base = [point(96, 200, 50), point(192, 400, 10)]
    arm = [point(96, 260, 10.3), point(192, 450, 9.9)]
    (saving,) = against(base, arm).savings
    assert saving.saved_bytes.median == 140 * MIB
    assert saving.share == pytest.approx(0.35)
    assert saving.base.not_with_mib == 96
    assert (saving.base.memory_mib, saving.arm.memory_mib) == (192, 96)
    assert (saving.base.between_mib, saving.arm.between_mib) == (None, None)


def test_half_way_between_two_sizes() -> None:
    base = [point(96, 200, 50), point(192, 400, 10)]
    arm = [point(96, 210, 30)]
    comparison = against(base, arm)
    (saving,) = comparison.savings
    assert saving.base.between_mib == (96, 192)
    assert saving.base.host_bytes.median == 300 * MIB
    assert saving.base.memory_mib == 144
    assert saving.saved_bytes.median == 90 * MIB
    assert comparison.reason is None


def test_nothing_is_said_beyond_what_was_measured() -> None:
    base = [point(96, 200, 50), point(192, 400, 10)]
    comparison = against(base, [point(96, 210, 5), point(192, 410, 4)])
    assert comparison.savings == []
    assert [each.memory_mib for each in comparison.not_comparable] == [192, 96][::-1]
    assert {each.closest_memory_mib for each in comparison.not_comparable} == {192}
    assert comparison.reason is not None


def test_nothing_is_said_across_a_size_that_is_missing() -> None:
    base = [point(96, 200, 50), point(192, 400, 10)]
    comparison = against(base, [point(96, 210, 30), point(144, 300, 28)])
    assert comparison.savings == []
    assert "nor between two" in str(comparison.reason)


def test_one_size_only() -> None:
    comparison = against([point(96, 200, 50)], [point(96, 210, 5)])
    assert comparison.savings == []
    assert "a sweep over several sizes is needed" in str(comparison.reason)
    # equal work at one size needs no sweep
    (saving,) = against([point(96, 200, 50)], [point(96, 210, 51)]).savings
    assert saving.saved_bytes.median == -10 * MIB


@pytest.mark.parametrize("empty", ["base", "arm"])
def test_an_arm_that_is_missing(empty: str) -> None:
    curve = [point(96, 200, 50)]
    comparison = against([] if empty == "base" else curve, [] if empty == "arm" else curve)
    assert comparison.savings == []
    assert "nothing to compare" in str(comparison.reason)


def test_no_arm_is_charged_for_memory_that_it_does_not_need() -> None:
    """Where the curve is flat, the smallest size counts."""
    base = [point(96, 200, 50), point(192, 400, 10), point(224, 480, 10)]
    arm = [point(96, 250, 10), point(192, 390, 10), point(224, 470, 10)]
    (saving,) = against(base, arm).savings
    assert (saving.base.memory_mib, saving.arm.memory_mib) == (192, 96)
    assert saving.saved_bytes.median == 150 * MIB


def test_the_spread_is_that_of_both_arms() -> None:
    base = [point(96, 400, 10, rounds_mib=4)]
    arm = [point(96, 300, 10, rounds_mib=3)]
    (saving,) = against(base, arm).savings
    assert saving.saved_bytes == Spread(100 * MIB, 93 * MIB, 107 * MIB, 3)


def test_the_heartbeat_of_a_cluster_is_no_work() -> None:
    base = [replace(point(96, 400, 0), read_bytes=Spread.of([0.0]))]
    little = 2 * NEGLIGIBLE_READ_BYTES
    arm = [replace(point(96, 300, 0), read_bytes=Spread.of([little]))]
    assert len(compare(base, arm, READS, [96]).savings) == 1
    arm = [replace(point(96, 300, 0), read_bytes=Spread.of([little + 1]))]
    assert compare(base, arm, READS, [96]).savings == []


# ---- the control arm -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held_mib", "rounds_mib", "passes"),
    [(400, 0, True), (381, 0, True), (379, 0, False), (379, 25, True), (430, 0, False)],
)
def test_control(held_mib: float, rounds_mib: float, passes: bool) -> None:
    base = [replace(point(96, 400, 99, rounds_mib=rounds_mib))]
    control = [point(96, held_mib, 99, rounds_mib=rounds_mib)]
    check = check_control(compare(base, control, READS, [96]), READS)
    assert check.passed is passes
    assert check.saving is not None


def test_a_control_may_be_slow() -> None:
    comparison = against([point(96, 400, 10)], [point(96, 500, 10)])
    assert check_control(comparison, SECONDS).passed is True
    assert check_control(comparison, READS).passed is False


def test_a_control_that_says_nothing() -> None:
    comparison = against([point(96, 400, 10)], [point(96, 400, 99)])
    assert check_control(comparison, SECONDS).passed is None


# ---- properties ------------------------------------------------------------------------------


@st.composite
def curves(draw: st.DrawFn) -> list[Point]:
    sizes = sorted(draw(st.sets(st.sampled_from(SIZES), min_size=1)))
    host, points = 0.0, []
    for size in sizes:
        host += draw(st.floats(1, 200))
        work = draw(st.floats(0.1, 1000))
        points.append(point(size, host, work, rounds_mib=draw(st.floats(0, 5))))
    return points


def works(curve: list[Point]) -> list[float]:
    return [SECONDS.of(each) for each in curve]


@given(curves(), curves())
def test_savings_are_at_equal_work(base: list[Point], arm: list[Point]) -> None:
    for saving in against(base, arm, list(SIZES)).savings:
        assert SECONDS.equal(saving.base.work, saving.arm.work)
        assert SECONDS.equal(saving.base.work, saving.work)
        saved = saving.saved_bytes
        assert saved.low <= saved.median <= saved.high
        assert saved.median == pytest.approx(
            saving.base.host_bytes.median - saving.arm.host_bytes.median
        )


@given(curves(), curves())
def test_needs_are_measured_or_between_neighbours(base: list[Point], arm: list[Point]) -> None:
    def check(need: Need, curve: list[Point]) -> None:
        by_size = {each.memory_mib: each for each in curve}
        if need.between_mib is None:
            found = by_size[int(need.memory_mib)]
            assert (need.host_bytes, need.work) == (found.host_bytes, SECONDS.of(found))
            return
        lower, upper = (by_size[size] for size in need.between_mib)
        assert SIZES.index(upper.memory_mib) - SIZES.index(lower.memory_mib) == 1
        assert lower.memory_mib < need.memory_mib < upper.memory_mib
        assert min(works([lower, upper])) < need.work < max(works([lower, upper]))
        ends = lower.host_bytes.median, upper.host_bytes.median
        assert ends[0] <= need.host_bytes.median <= ends[1]

    for saving in against(base, arm, list(SIZES)).savings:
        check(saving.base, base)
        check(saving.arm, arm)
        # the work was measured, in one of the two
        assert saving.work in works([*base, *arm])


@given(curves(), curves())
def test_every_point_of_the_arm_is_compared_or_said_not_to_be(
    base: list[Point], arm: list[Point]
) -> None:
    comparison = against(base, arm, list(SIZES))
    missed = {each.memory_mib for each in comparison.not_comparable}
    for each in arm:
        equal = any(SECONDS.equal(SECONDS.of(each), saving.work) for saving in comparison.savings)
        assert equal or each.memory_mib in missed
    for miss in comparison.not_comparable:
        assert not any(SECONDS.equal(miss.work, work) for work in works(base))
    assert (comparison.reason is None) == bool(comparison.savings)


@given(curves())
def test_an_arm_saves_nothing_against_itself(curve: list[Point]) -> None:
    comparison = against(curve, curve, list(SIZES))
    assert comparison.not_comparable == []
    for saving in comparison.savings:
        assert saving.saved_bytes.median == pytest.approx(0, abs=1e-3)
    check = check_control(comparison, READS)
    assert check.passed is True


@given(curves(), st.floats(0.5, 90))
def test_an_arm_that_holds_less_saves_exactly_that(curve: list[Point], share: float) -> None:
    amounts = sorted(works(curve))
    assume(all(not SECONDS.equal(*pair) for pair in pairwise(amounts)))
    less = share / 100 * curve[0].host_bytes.low
    arm = [replace(each, host_bytes=_less(each.host_bytes, less)) for each in curve]
    for saving in against(curve, arm, list(SIZES)).savings:
        assert saving.saved_bytes.median == pytest.approx(less)


def _less(spread: Spread, bytes_: float) -> Spread:
    return Spread(spread.median - bytes_, spread.low - bytes_, spread.high - bytes_, 3)


@given(curves(), curves(), st.sampled_from([1 / 1024, 0.5, 4, 2**20]))
def test_units_do_not_matter(base: list[Point], arm: list[Point], factor: float) -> None:
    def scaled(curve: list[Point]) -> list[Point]:
        return [
            replace(
                each,
                host_bytes=Spread(
                    each.host_bytes.median * factor,
                    each.host_bytes.low * factor,
                    each.host_bytes.high * factor,
                    3,
                ),
            )
            for each in curve
        ]

    def saved(savings: list[Saving]) -> list[float]:
        return [saving.saved_bytes.median for saving in savings]

    before = against(base, arm, list(SIZES))
    after = against(scaled(base), scaled(arm), list(SIZES))
    assert saved(after.savings) == pytest.approx(
        [bytes_ * factor for bytes_ in saved(before.savings)], rel=1e-6, abs=1e-3
    )


@given(st.floats(1e-6, 1e9), st.floats(1e-6, 1e9))
def test_equal_is_within_five_percent(one: float, other: float) -> None:
    assert SECONDS.equal(one, other) == SECONDS.equal(other, one)
    assert SECONDS.equal(one, one * (1 - TOLERANCE * 0.99))
    assert not SECONDS.equal(one, one * (1 + TOLERANCE * 1.2))
