# SPDX-License-Identifier: GPL-2.0-or-later
"""The numbers that Python shows are those that the ABI promises."""

import errno

import pytest

from tmem_host.native import INDEX_MAX, PAGE_BYTES, Encoding, PoolFlags, Put


def test_put_results_have_the_values_of_the_abi() -> None:
    assert {result.name: result.value for result in Put} == {
        "STORED": 1,
        "NO_ROOM": -errno.ENOMEM,
        "OVER_LIMIT": -errno.EDQUOT,
        "FROZEN": -1000,
        "UNSERVED": -errno.EAGAIN,
        "DROPPED": -errno.ENOSPC,
    }


@pytest.mark.parametrize("result", Put)
def test_only_a_stored_put_is_true(result: Put) -> None:
    assert bool(result) is (result.name == "STORED")


def test_sizes_and_bits() -> None:
    assert PAGE_BYTES == 4096
    assert INDEX_MAX == 0xFFFF_FFFF_FFFF_FFFF
    assert (PoolFlags.PERSISTENT, PoolFlags.SHARED) == (1, 2)
    assert [encoding.name for encoding in sorted(Encoding)] == ["RAW", "SAME", "LZ4", "ZSTD"]
