# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures are written so that nobody misreads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmem_host.report.points import Spread
from tmem_host.report.words import mebibytes, percent, percents, seconds, spread, times

MIB = 1 << 20


@pytest.mark.parametrize(
    ("mib", "text"),
    [
        (0, "0 MiB"),
        (0.01, "<0.1 MiB"),
        (-0.01, "0 MiB"),
        (3.94, "3.9 MiB"),
        (9.97, "10 MiB"),
        (73.4, "73 MiB"),
        (-41.2, "-41 MiB"),
        (24576, "24,576 MiB"),
    ],
)
def test_sizes(mib: float, text: str) -> None:
    assert mebibytes(mib * MIB) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.984, "98 %"),
        (0.0612, "6.1 %"),
        (0.0996, "10 %"),
        (-0.0001, "0 %"),
        (0.994, "99 %"),
        (0.9999, "99.9 %"),
        (-0.9951, "-99.5 %"),
        (1, "100 %"),
        (None, "-"),
    ],
)
def test_shares(share: float | None, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("factor", "text"), [(1, "1.00x"), (0.567, "0.57x"), (9.96, "10.0x"), (123.4, "123x")]
)
def test_factors(factor: float, text: str) -> None:
    assert times(factor) == text


def test_shares_of_guests() -> None:
    assert percents([0.98, 0.5]) == "98 %, 50 %"
    assert percents([0.98] * 8) == "98 %"
    assert percents([0.98, 0.5, 0.7, 0.9]) == "50 % to 98 %"
    assert percents([0.98, None]) == "98 %, -"


def test_a_spread() -> None:
    assert spread(Spread(5 * MIB, 5 * MIB, 5 * MIB, 1)) == "one round"
    assert spread(Spread(5 * MIB, 4 * MIB, 6 * MIB, 3)) == "4 to 6 MiB"
    assert spread(Spread(5 * MIB, 5 * MIB, 5 * MIB, 3)) == "5 MiB"


@given(st.floats(-1e15, 1e15))
def test_the_sign_of_a_size_is_right(value: float) -> None:
    text = mebibytes(value)
    assert text.startswith("-") == (float(f"{value / MIB:.1f}") < 0)


@given(st.floats(0, 1e9))
def test_seconds_keep_digits_that_mean_something(value: float) -> None:
    assert float(seconds(value).removesuffix(" s")) == pytest.approx(value, rel=0.06, abs=0.01)
