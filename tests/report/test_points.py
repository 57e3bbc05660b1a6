# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs become points: medians, the most memory at one moment, all phases together."""

from dataclasses import replace

from tests.experiment.made_up import GUEST, RUN, SAMPLE
from tmem_host.report.points import WHOLE, Setting, Spread, curves

MIB = 1 << 20
OTHER = replace(GUEST, name="node2", disk_read_bytes=10 * MIB, swap_read_bytes=5 * MIB)
COLD = replace(RUN, guests=2, guest=[GUEST, OTHER])
SETTING = Setting("native", 2, "cold")


def test_median_least_and_most_over_rounds() -> None:
    runs = [replace(COLD, round=n, seconds=float(n**2)) for n in (1, 2, 3)]
    (point,) = curves(runs, [])[SETTING]["shared"]
    assert point.seconds == Spread(4, 1, 9, 3)
    assert point.read_bytes == Spread(111 * MIB, 111 * MIB, 111 * MIB, 3)
    assert [each.median for each in point.guest_read_bytes] == [96 * MIB, 15 * MIB]


def test_points_are_by_rising_size() -> None:
    runs = [replace(COLD, memory_mib=size) for size in (192, 96, 128)]
    curve = curves(runs, [])[SETTING]["shared"]
    assert [point.memory_mib for point in curve] == [96, 128, 192]


def test_host_memory_is_the_most_at_one_moment() -> None:
    held = {"node1": 200 * MIB, "node2": 190 * MIB}
    sample = replace(SAMPLE, guest_resident_bytes=held, arena_resident_bytes=60 * MIB)
    others = [
        replace(sample, round=2, arena_resident_bytes=900 * MIB),
        replace(sample, phase="reread", arena_resident_bytes=900 * MIB),
        replace(sample, guest_resident_bytes={"node1": 900 * MIB}),
        replace(sample, arena_resident_bytes=1 * MIB),
    ]
    (point,) = curves([COLD], [sample, *others])[SETTING]["shared"]
    assert point.host_bytes.median == 450 * MIB
    # without samples, at the end
    (point,) = curves([COLD], [])[SETTING]["shared"]
    assert point.host_bytes.median == 400 * MIB


def test_all_phases_together() -> None:
    reread = replace(
        COLD,
        phase="reread",
        seconds=2.5,
        arena_resident_bytes=50 * MIB,
        shared_served_ratio=0.5,
        blocked_by={"node2": 1.0},
    )
    (point,) = curves([COLD, reread], [])[Setting("native", 2, WHOLE)]["shared"]
    assert point.seconds.median == 15
    assert point.read_bytes.median == 222 * MIB
    assert point.host_bytes.median == 400 * MIB
    assert point.arena_bytes.median == 50 * MIB
    assert point.service_cpu_seconds.median == 3
    assert point.gets.median == 160
    served = point.served_share
    assert served is not None
    assert round(served.median, 6) == round((0.99 * 12.5 + 0.5 * 2.5) / 15, 6)
    blocked = {client: each.median for client, each in point.blocked_seconds.items()}
    assert blocked == {"node1": 0.1, "node2": 1.0}


def test_not_all_together_when_a_phase_is_missing() -> None:
    reread = replace(COLD, phase="reread")
    cut_off = replace(COLD, arm="none")
    found = curves([COLD, reread, cut_off], [])
    assert list(found[Setting("native", 2, WHOLE)]) == ["shared"]
    # two of three are not the whole either
    found = curves(
        [COLD, reread, replace(reread, phase="third"), cut_off, replace(reread, arm="none")], []
    )
    assert list(found[Setting("native", 2, WHOLE)]) == ["shared"]
    # nor is one phase alone a whole
    assert list(curves([COLD], [])) == [SETTING]


def test_getting_ready_is_no_phase_but_takes_its_time() -> None:
    found = curves([COLD, replace(COLD, phase="settle")], [])
    assert [setting.phase for setting in found] == ["cold", WHOLE]
    (point,) = found[Setting("native", 2, WHOLE)]["shared"]
    assert point.seconds.median == 25


def test_shares_that_were_never_served_are_not_zero() -> None:
    (point,) = curves([replace(COLD, shared_served_ratio=None)], [])[SETTING]["shared"]
    assert point.served_share is None
