# SPDX-License-Identifier: GPL-2.0-or-later
"""What somebody who waits is told, where there is no terminal."""

import io

from tests.experiment.test_plan import SETTINGS
from tmem_host.experiment.plan import plan
from tmem_host.experiment.progress import PointProgress
from tmem_host.provision.progress import Lines


def test_arm_round_phase_and_time_left() -> None:
    stream = io.StringIO()
    points = plan(SETTINGS)
    progress = PointProgress(Lines(stream), points)
    progress.begin(points[0])
    with progress.task("cold"):
        pass
    progress.done(points[0], 60.0)
    progress.begin(points[1])
    first, second, left = stream.getvalue().splitlines()
    assert first == f"[1/36] {points[0]}: cold ..."
    assert second.startswith(f"[1/36] {points[0]}: cold: done in ")
    assert left == "about 35 min left"
    assert str(points[0]) == "none, 96 MiB, native, round 1"


def test_the_last_minute_is_told_in_seconds() -> None:
    stream = io.StringIO()
    points = plan(SETTINGS)[:2]
    progress = PointProgress(Lines(stream), points)
    progress.begin(points[0])
    progress.done(points[0], 20.0)
    progress.begin(points[1])
    assert stream.getvalue() == "about 20 s left\n"
