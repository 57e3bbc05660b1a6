# SPDX-License-Identifier: GPL-2.0-or-later
import pytest

from tmem_host.cli.output import count, size, table


@pytest.mark.parametrize(
    ("bytes_", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (1500, "1.5 KiB"),
        (4096, "4 KiB"),
        (1024**2 - 1, "1 MiB"),
        (256 * 1024**2, "256 MiB"),
        (int(1.25 * 1024**3), "1.2 GiB"),
        (2**50, "1 PiB"),
        (2**64, "16384 PiB"),
    ],
)
def test_size(bytes_: int, text: str) -> None:
    assert size(bytes_) == text


def test_count() -> None:
    assert [count(n, "page") for n in (0, 1, 2)] == ["0 pages", "1 page", "2 pages"]


def test_table() -> None:
    assert table([("a", "x"), ("long", "y z")]) == "a     x\nlong  y z"
