# SPDX-License-Identifier: GPL-2.0-or-later
"""Host pressure: the control law, and what is read from the kernel."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmem_host.service.config import PressureConfig
from tmem_host.service.pressure import Pressure
from tmem_host.service.signs import Signs, available_bytes

MIB = 1 << 20
CONFIG = PressureConfig(step=0.25, floor=30 * MIB, calm=10_000)


def test_each_sign_is_a_step_down_to_the_floor() -> None:
    law = Pressure(CONFIG, 100 * MIB, now=0)
    assert [law.pressed(now) // MIB for now in range(4)] == [75, 50, 30, 30]


def test_calm_is_a_step_up_each_time_it_has_lasted() -> None:
    law = Pressure(CONFIG, 100 * MIB, now=0)
    law.pressed(now=1)
    law.pressed(now=2)
    assert law.calm(now=11.9) is None
    assert law.calm(now=12) == 75 * MIB
    assert law.calm(now=21) is None
    assert law.calm(now=22) == 100 * MIB
    assert law.calm(now=99) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20_000)), max_size=60))
def test_the_budget_stays_between_floor_and_what_is_wanted(steps: list[tuple[bool, int]]) -> None:
    law, now, pressed_at = Pressure(CONFIG, 100 * MIB, now=0), 0.0, 0.0
    for pressed, later_ms in steps:
        now += later_ms / 1000
        before = law.budget_bytes
        if pressed:
            assert law.pressed(now) <= before
            pressed_at = now
        elif law.calm(now) is not None:
            assert law.budget_bytes > before
            assert now - pressed_at >= CONFIG.calm / 1000
        assert CONFIG.floor <= law.budget_bytes <= 100 * MIB


def test_a_floor_above_what_is_wanted_changes_nothing() -> None:
    assert Pressure(CONFIG, 10 * MIB, now=0).pressed(now=1) == 10 * MIB


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """Files as the kernel has them: 500 MiB are available, the cgroup has no limits."""
    (tmp_path / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable: {500 * 1024} kB\n")
    (tmp_path / "memory.current").write_text(f"{90 * MIB}\n")
    (tmp_path / "memory.high").write_text("max\n")
    (tmp_path / "memory.max").write_text("max\n")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "limit", "sign"),
    [
        ("memory.high", 94 * MIB, "90 MiB of memory.high 94 MiB are used"),
        ("memory.max", 94 * MIB, "90 MiB of memory.max 94 MiB are used"),
        ("memory.max", 100 * MIB, None),
    ],
)
def test_a_limit_of_the_cgroup_that_comes_near_is_a_sign(
    kernel: Path, name: str, limit: int, sign: str | None
) -> None:
    (kernel / name).write_text(f"{limit}\n")
    assert Signs(CONFIG, kernel, kernel).look() == sign


def test_little_available_memory_is_a_sign(kernel: Path) -> None:
    assert available_bytes(kernel) == 500 * MIB
    config = PressureConfig(available_min=501 * MIB)
    assert Signs(config, kernel, kernel).look() == "MemAvailable is 500 MiB"
    assert Signs(PressureConfig(available_min=500 * MIB), kernel, kernel).look() is None


def test_a_kernel_without_psi_leaves_the_other_signs(kernel: Path) -> None:
    (kernel / "memory.max").write_text(f"{90 * MIB}\n")
    signs = Signs(CONFIG, kernel, kernel)
    assert signs.open_triggers() == []
    assert signs.wait(0.01) == "90 MiB of memory.max 90 MiB are used"


def test_the_kernel_takes_the_trigger() -> None:
    """On this host, if it has PSI and lets this user ask."""
    signs = Signs(PressureConfig())
    try:
        if not signs.open_triggers():
            assert not Path("/proc/pressure/memory").exists() or not _may_ask()
    finally:
        signs.close()


def _may_ask() -> bool:
    try:
        with Path("/proc/pressure/memory").open("r+b", buffering=0) as trigger:
            trigger.write(b"some 100000 2000000\0")
    except OSError:
        return False
    return True
