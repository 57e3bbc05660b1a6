# SPDX-License-Identifier: GPL-2.0-or-later
"""How tests bring an engine to its limits."""

from __future__ import annotations

from tests.engine.pages import oid, random_page
from tmem_host.native import Pool, Put

TOO_MANY_PAGES = 20_000  # no test's budget has room for so many


def fill(pool: Pool, object_number: int = 10_000) -> list[int]:
    """Puts incompressible pages in one object until one is refused; returns the stored indexes.

    AssertionError if none is refused, as in an ephemeral pool, where a put evicts.
    """
    stored: list[int] = []
    while pool.put(oid(object_number), len(stored), random_page(len(stored))):
        stored.append(len(stored))
        assert len(stored) < TOO_MANY_PAGES, "no put was refused"
    return stored


def fill_to_the_last_byte(pool: Pool) -> None:
    """Fills with pages of every size: not even a page without contents finds room after this."""
    fill(pool)
    for number in range(TOO_MANY_PAGES):
        if pool.put(oid(20_000 + number), 0, number.to_bytes(8, "little") * 512) is not Put.STORED:
            return
    raise AssertionError("no put was refused")


def put_all(pool: Pool, object_number: int, count: int, first: int = 0) -> None:
    """Puts `count` incompressible pages in one object, each of which must be stored."""
    for index in range(first, first + count):
        assert pool.put(oid(object_number), index, random_page(index)) is Put.STORED


def held(pool: Pool, object_number: int, count: int) -> set[int]:
    """Which of the pages that put_all stored are still there; gets of a private ephemeral pool
    remove them. AssertionError if one has other contents.
    """
    found = set()
    for index in range(count):
        page = pool.read(oid(object_number), index)
        if page is not None:
            assert page == random_page(index)
            found.add(index)
    return found
