# SPDX-License-Identifier: GPL-2.0-or-later
"""The answer in one line, what it stands on, and what makes one doubt it."""

from dataclasses import replace

import pytest

from tests.report.made import analysis, result
from tests.report.synthetic import Plan
from tmem_host.experiment.records import End
from tmem_host.report.analysis import analyse
from tmem_host.report.answer import Answer, answers
from tmem_host.report.merge import merge
from tmem_host.report.notices import Notice, limits, notices

PLAN = Plan(profiles=("native",), rounds=2)


def answer(plan: Plan) -> Answer:
    (found,) = answers(analysis([plan]))
    return found


def told(plan: Plan) -> list[Notice]:
    return notices(analysis([plan]))


def warnings(plan: Plan) -> str:
    return "\n".join(notice.text for notice in told(plan) if notice.warns)


def test_a_saving() -> None:
    found = answer(PLAN)
    assert found.sentence == (
        "2 guests, 96 MiB of data: 69 MiB of host memory saved (25 %), 98 % fewer disk reads."
    )
    details = "\n".join(found.details)
    assert "guests without tmem need 279 MiB" in details
    assert "interpolated between 112 and 144" in details
    assert "At equal run time" in details
    assert "slower than without tmem" in details
    assert "for the very first time takes" in details
    assert "that is what putting pages away costs" in details
    assert [figure for figure, _ in found.figures][:2] == ["69 MiB (25 %)", "98 %"]
    assert warnings(PLAN) == ""


def test_putting_away_costs_nothing() -> None:
    (one,) = result(PLAN)
    runs = [
        replace(run, seconds=run.seconds / 10) if run.phase == "cold" and run.arm != "none" else run
        for run in one.runs
    ]
    (found,) = answers(analyse(merge([replace(one, runs=runs)])))
    details = "\n".join(found.details)
    assert "less long than without tmem, so what putting pages away costs is less" in details


def test_nothing_is_saved() -> None:
    """One guest alone keeps in the arena, uncompressed, what it would have kept itself."""
    found = answer(replace(PLAN, guests=1, arms=("none", "control")))
    assert found.sentence == ("1 guest, 96 MiB of data: no saving of host memory can be stated.")
    found = answer(replace(PLAN, arms=("none", "shared"), memory_mib=(176, 208)))
    assert found.sentence == "2 guests, 96 MiB of data: no host memory saved."


def test_more_is_needed() -> None:
    # what the arena takes by itself, where a guest has room for everything
    found = answer(replace(PLAN, guests=1, arms=("none", "shared"), memory_mib=(112, 144)))
    assert "more host memory needed" in found.sentence


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"arms": ("none",)}, 'only the arm "none" was measured'),
        ({"arms": ("shared",)}, 'the arm "none" was not measured'),
        ({"memory_mib": (80,)}, "a sweep over several sizes is needed"),
    ],
)
def test_no_saving_can_be_stated(change: dict[str, tuple[str, ...]], why: str) -> None:
    found = answer(replace(PLAN, **change))  # type: ignore[arg-type]
    assert "no saving of host memory can be stated" in found.sentence
    assert why in found.details[0]


def test_several_disk_profiles_and_numbers_of_guests() -> None:
    plans = [replace(PLAN, guests=guests, profiles=("native", "contended")) for guests in (2, 4)]
    sentences = [each.sentence for each in answers(analysis(plans))]
    assert [sentence.partition(":")[0] for sentence in sentences] == [
        "4 guests, 96 MiB of data, disk profile native",
        "4 guests, 96 MiB of data, disk profile contended",
        "2 guests, 96 MiB of data, disk profile native",
        "2 guests, 96 MiB of data, disk profile contended",
    ]


def test_nothing_was_measured() -> None:
    (one,) = result(PLAN)
    failed = End(status="failed", reason="node2 does not answer.", seconds=1)
    (found,) = answers(analyse(merge([replace(one, runs=[], samples=[], end=failed)])))
    assert found.sentence == "Nothing was measured: node2 does not answer."


# ---- doubts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (None, ("cut off", "was stopped before")),
        (End(status="interrupted", reason="somebody ended it", seconds=1), ("interrupted",)),
        (End(status="failed", reason="no space", seconds=1), ("the experiment failed (no space)",)),
    ],
)
def test_a_partial_result_is_marked_first(end: End | None, words: tuple[str, ...]) -> None:
    (one,) = result(PLAN)
    first, *_ = notices(analyse(merge([replace(one, end=end)])))
    assert first.warns
    for word in ("Partial result", *words):
        assert word in first.text


def test_a_control_that_saves() -> None:
    assert "savings of that order cannot be trusted" in warnings(
        replace(PLAN, control_error_mib=30)
    )
    assert "other arms may save more than is said here" in warnings(
        replace(PLAN, control_error_mib=-30)
    )
    assert any("saves about nothing" in notice.text for notice in told(PLAN))
    without = replace(PLAN, arms=("none", "shared"))
    assert any('There is no arm "control"' in notice.text for notice in told(without))


def test_a_control_that_cannot_be_compared() -> None:
    assert "never did the same work" in warnings(replace(PLAN, memory_mib=(80,)))


def test_points_that_are_missing() -> None:
    (one,) = result(PLAN)
    runs = [
        run
        for run in one.runs
        if not (run.arm == "shared" and (run.memory_mib == 144 or run.round == 2))
    ]
    found = notices(analyse(merge([replace(one, runs=runs)])))
    doubts = "\n".join(notice.text for notice in found if notice.warns)
    assert "Not measured: shared with 144 MiB (2 guests, native, cold)" in doubts
    assert ", and 2 more" in doubts
    assert "fewer than 2 rounds" in doubts


def test_one_round_and_one_size() -> None:
    texts = "\n".join(notice.text for notice in told(replace(PLAN, rounds=1, memory_mib=(80,))))
    assert "one round only" in texts
    assert "Only one guest RAM, 80 MiB" in texts


def test_a_shared_pool_that_was_not_served() -> None:
    doubts = warnings(replace(PLAN, served=0.6))
    assert "was served 60 % of the time only" in doubts
    assert "node1 kept it from that for" in doubts


@pytest.mark.parametrize(("phase_seconds", "warned"), [(0.2, False), (4.0, True)])
def test_a_single_look_at_a_short_phase_is_no_reason_to_doubt(
    phase_seconds: float, warned: bool
) -> None:
    (one,) = result(replace(PLAN, served=0.75))
    runs = [replace(run, seconds=phase_seconds) for run in one.runs]
    texts = [notice.text for notice in notices(analyse(merge([replace(one, runs=runs)])))]
    assert ("was served 75 % of the time only" in "\n".join(texts)) == warned


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_sharing_that_was_not_put_to_the_test(rounds: int) -> None:
    """In so many of two rounds; one in which it was is enough."""
    (one,) = result(replace(PLAN, rounds=2))
    runs = [
        replace(run, guest=[replace(guest, hits_other=0) for guest in run.guest])
        if run.round <= rounds
        else run
        for run in one.runs
    ]
    found = notices(analyse(merge([replace(one, runs=runs)])))
    told = any("sharing was not put to the test" in notice.text for notice in found)
    assert told == (rounds == 2)


def test_emulation_is_said() -> None:
    (one,) = result(PLAN)
    assert any("emulated (TCG)" in text for text in limits(analyse(merge([one]))))
    host = replace(one.header.host, accelerator="KVM")
    one = replace(one, header=replace(one.header, host=host))
    assert not any("TCG" in text for text in limits(analyse(merge([one]))))
