# SPDX-License-Identifier: GPL-2.0-or-later
"""An arena in huge pages: made, filled, opened again, shrunk."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.arenas import why_no_mount
from tests.engine.pages import oid, random_page
from tmem_host.native import Encoding, Engine

HUGE_PAGE_BYTES = 2 << 20
HUGE_PAGES = 24
POOL = Path(f"/sys/kernel/mm/hugepages/hugepages-{HUGE_PAGE_BYTES >> 10}kB/nr_hugepages")


@pytest.fixture
def huge(tmp_path: Path) -> Iterator[Path]:
    """A hugetlbfs with HUGE_PAGES pages of its own."""
    reason = why_no_mount() or (None if POOL.exists() else "the kernel has no huge pages of 2 MiB")
    if reason is not None:
        pytest.skip(reason)
    before = int(POOL.read_text())
    POOL.write_text(str(before + HUGE_PAGES))
    try:
        if int(POOL.read_text()) < before + HUGE_PAGES:
            pytest.skip("the host has no room for huge pages")
        options = f"size={HUGE_PAGES * HUGE_PAGE_BYTES}"
        subprocess.run(
            ["mount", "-t", "hugetlbfs", "-o", options, "none", str(tmp_path)], check=True
        )
        try:
            yield tmp_path
        finally:
            subprocess.run(["umount", str(tmp_path)], check=True)
    finally:
        POOL.write_text(str(before))


def test_an_arena_lives_in_huge_pages(huge: Path) -> None:
    pages = 3000
    with Engine(huge / "arena", budget_bytes=HUGE_PAGES * HUGE_PAGE_BYTES) as engine:
        assert engine.usage().extent_bytes == HUGE_PAGE_BYTES
        client = engine.create_client("guest")
        client.set(encoding=Encoding.RAW)
        pool = client.new_pool(persistent=True)
        for index in range(pages):
            assert pool.put(oid(1), index, random_page(index))
    with Engine(huge / "arena", budget_bytes=HUGE_PAGES * HUGE_PAGE_BYTES) as engine:
        assert engine.recovery().pages == pages
        (pool,) = engine.find_client("guest").pools()
        pool.flush_range(oid(1), 100, pages - 100)
        assert engine.shrink(1 << 30).returned_bytes >= 3 * HUGE_PAGE_BYTES
        for index in range(100):
            assert pool.read(oid(1), index) == random_page(index)
        assert engine.scrub(pages) == 100


def test_a_full_huge_page_pool_is_a_counted_refusal(huge: Path) -> None:
    with Engine(huge / "arena", budget_bytes=1 << 30) as engine:
        client = engine.create_client("guest")
        client.set(encoding=Encoding.RAW)
        pool = client.new_pool(persistent=True)
        room = HUGE_PAGES * HUGE_PAGE_BYTES // 4096
        answers = [pool.put(oid(1), index, random_page(index % 50)) for index in range(room)]
        assert not all(answers)
        assert engine.counters().refused_host == answers.count(answers[-1]) > 0
