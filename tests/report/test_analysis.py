# SPDX-License-Identifier: GPL-2.0-or-later
"""What is computed of a result: the headline, arms beside each other, results put together."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.report.made import MIB, analysis, result
from tests.report.synthetic import Plan
from tmem_host.experiment.errors import BadResult
from tmem_host.experiment.records import Disks
from tmem_host.provision.vm.spec import IoProfile
from tmem_host.report.merge import merge
from tmem_host.report.points import WHOLE

PLAN = Plan(profiles=("native",), rounds=2)


def test_the_headline_is_where_most_is_saved() -> None:
    found = analysis([PLAN])
    (headline,) = found.headlines
    assert (headline.arm, headline.measure) == ("shared-compressed", "read_bytes")
    assert headline.saving is not None
    # 2 x (44 + 96) MiB hold everything; with tmem 2 x 80 MiB and half of the data
    assert headline.saving.saved_bytes.median / MIB == pytest.approx(280 - 160 - 50, abs=3)
    for each in found.compared:
        if each.setting == headline.setting and each.measure == "read_bytes":
            for saving in each.comparison.savings:
                assert saving.saved_bytes.median <= headline.saving.saved_bytes.median


def test_savings_grow_with_the_number_of_guests() -> None:
    plans = [replace(PLAN, guests=guests) for guests in (4, 2, 8)]
    found = analysis(plans)
    assert [headline.setting.guests for headline in found.headlines] == [8, 4, 2]
    saved = [each.saving.saved_bytes.median for each in found.headlines if each.saving]
    assert saved == sorted(saved, reverse=True)
    assert len(saved) == 3
    assert found.rounds == PLAN.rounds


def test_reads_that_each_guest_is_spared() -> None:
    found = analysis([PLAN])
    (headline,) = found.headlines
    beside = found.beside_of(headline.setting, "shared", 80)
    assert beside is not None
    assert beside.guest_reads_avoided == pytest.approx([0.98, 0.98], abs=0.01)
    assert beside.reads_avoided == pytest.approx(0.98, abs=0.01)
    # on a fast disk the channel is slower
    assert beside.times_faster is not None
    assert beside.times_faster < 1
    # where all fits, there is nothing to be spared
    beside = found.beside_of(headline.setting, "shared", 176)
    assert beside is not None
    assert (beside.reads_avoided, beside.guest_reads_avoided) == (None, [None, None])


def test_an_experiment_without_reading_again_is_about_the_whole() -> None:
    plan = Plan(workload="memory", arms=("none", "private", "control"), guests=3, rounds=1)
    found = analysis([plan])
    assert {headline.setting.phase for headline in found.headlines} == {WHOLE}
    assert found.headlines[0].arm == "private"
    # what was swapped in counts as read
    beside = found.beside_of(found.headlines[0].setting, "none", 80)
    assert beside is not None
    assert beside.point.read_bytes.median > 3 * 90 * MIB


def test_the_control_arm() -> None:
    assert all(control.check.passed for control in analysis([PLAN]).controls)
    wrong = analysis([replace(PLAN, control_error_mib=30)])
    assert any(control.check.passed is False for control in wrong.controls)


def test_one_arm_only() -> None:
    (headline,) = analysis([replace(PLAN, arms=("none",))]).headlines
    assert (headline.arm, headline.saving) == (None, None)
    assert "nothing to compare it with" in str(headline.reason)
    (headline,) = analysis([replace(PLAN, arms=("shared",))]).headlines
    assert (headline.arm, headline.saving) == ("shared", None)
    assert 'the arm "none" was not measured' in str(headline.reason)


def test_one_size_only() -> None:
    (headline,) = analysis([replace(PLAN, memory_mib=(80,))]).headlines
    assert headline.saving is None
    assert "a sweep over several sizes is needed" in str(headline.reason)


def test_results_that_are_put_together_are_more_rounds() -> None:
    merged = merge(result(PLAN, replace(PLAN, seed=8)))
    assert {run.round for run in merged.runs} == {1, 2, 3, 4}
    assert merged.differences == []
    assert analysis([PLAN, replace(PLAN, seed=8)]).rounds == 4


def test_results_that_differ_in_more() -> None:
    merged = merge(result(PLAN, replace(PLAN, data_mib=64)))
    (difference,) = merged.differences
    assert difference.startswith("data.size: ")


def test_a_profile_that_is_another_one() -> None:
    one, other = result(PLAN, PLAN)
    both = {"native": IoProfile(), "contended": IoProfile(iops=200)}
    first = replace(one.header, disks=Disks(cache="none", profiles=both))
    for profiles, differ in (
        ({"native": IoProfile()}, []),
        ({"contended": IoProfile(iops=100)}, ["disk profile contended"]),
    ):
        second = replace(other.header, disks=Disks(cache="none", profiles=profiles))
        merged = merge([replace(one, header=first), replace(other, header=second)])
        assert [difference.partition(":")[0] for difference in merged.differences] == differ


def test_results_of_two_experiments() -> None:
    one, other = result(PLAN, PLAN)
    renamed = replace(other.header, experiment="kernel-build")
    other = replace(other, header=renamed, path=Path("there"))
    with pytest.raises(BadResult, match="there is a result of kernel-build"):
        merge([one, other])


def test_one_of_several_that_was_cut_off_makes_all_partial() -> None:
    one, other = result(PLAN, PLAN)
    assert merge([one, other]).end.status == "complete"
    assert merge([one, replace(other, end=None)]).end.status == "cut off"
