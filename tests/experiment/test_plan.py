# SPDX-License-Identifier: GPL-2.0-or-later
"""The order of points, and how long the rest takes."""

from itertools import groupby
from pathlib import Path

from tmem_host.experiment import settings
from tmem_host.experiment.plan import TimeLeft, plan

SETTINGS = settings.parse(
    "memory = ['96MiB', '128MiB']\narms = ['none', 'private', 'shared']\n"
    "profiles = ['native', 'contended']\nrounds = 3\n",
    Path("own.toml"),
)


def test_everything_once() -> None:
    points = plan(SETTINGS)
    assert len(set(points)) == len(points) == 3 * 2 * 2 * 3


def test_arms_are_interleaved_and_take_turns() -> None:
    groups = [
        [point.arm for point in group]
        for _, group in groupby(plan(SETTINGS), lambda p: (p.round, p.profile, p.memory_mib))
    ]
    assert all(sorted(group) == ["none", "private", "shared"] for group in groups)
    assert {group[0] for group in groups} == {"none", "private", "shared"}


def test_time_left() -> None:
    points = plan(SETTINGS)
    left = TimeLeft(points)
    assert left.seconds() is None
    native = next(point for point in points if point.profile == "native")
    left.done(native, 10.0)
    assert left.seconds() == 10.0 * (len(points) - 1)
    contended = next(point for point in points if point.profile == "contended")
    left.done(contended, 100.0)
    of_each = len(points) // 2 - 1
    assert left.seconds() == 10.0 * of_each + 100.0 * of_each
    # a mean for each profile, whichever has more points behind it
    left.done(next(point for point in points if point.profile == "native" and point != native), 10)
    assert left.seconds() == 10.0 * (of_each - 1) + 100.0 * of_each
