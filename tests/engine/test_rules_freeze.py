# SPDX-License-Identifier: GPL-2.0-or-later
"""Rule 48 and its neighbours: what a frozen client may still do.

The numbers are those of docs/semantics.md.
"""

from __future__ import annotations

import pytest

from tests.engine.conftest import SHARED
from tests.engine.filling import put_all
from tests.engine.pages import Kind, oid, page, random_page
from tmem_host.native import Client, FrozenError, Pool, Put

A, B = random_page(1), random_page(2)


def test_rule_48_a_frozen_client_puts_no_new_page(client: Client, pool: Pool) -> None:
    """The put is refused with a reason of its own, and nothing is stored."""
    client.freeze()
    assert pool.put(oid(1), 0, A) is Put.FROZEN
    assert pool.read(oid(1), 0) is None
    assert pool.counters().refused_frozen == 1
    assert pool.info().pages == 0
    client.thaw()
    assert pool.put(oid(1), 0, A) is Put.STORED


@pytest.mark.parametrize("kind", Kind)
def test_rule_48_a_duplicate_put_of_a_frozen_client_replaces(
    client: Client, pool: Pool, kind: Kind
) -> None:
    """Leaving the old page would be wrong, and dropping it a loss; so it is replaced, in place or
    in another size class."""
    assert pool.put(oid(1), 0, page(Kind.SMALL, 1))
    client.freeze()
    assert pool.put(oid(1), 0, page(kind, 2)) is Put.STORED
    assert pool.read(oid(1), 0) == page(kind, 2)
    assert pool.counters().refused_frozen == 0


def test_rule_48_a_failing_duplicate_put_of_a_frozen_client_drops(
    client: Client, persistent: Pool
) -> None:
    """Frozen or not, B holds."""
    assert persistent.put(oid(1), 0, page(Kind.TINY, 1))
    client.set(persistent_quota_bytes=1, frozen=True)
    assert persistent.put(oid(1), 0, B) is Put.DROPPED
    assert persistent.read(oid(1), 0) is None
    assert persistent.counters().refused_quota == 1


def test_rule_48_gets_and_flushes_of_a_frozen_client_work(client: Client, pool: Pool) -> None:
    """A flush answers success, where Xen did it and answered that the client is frozen."""
    for number in range(4):
        put_all(pool, number, 4)
    client.freeze()
    assert pool.read(oid(0), 0) == random_page(0)
    pool.flush_page(oid(0), 1)
    pool.flush_range(oid(1), 0, 2)
    pool.flush_object(oid(2))
    assert [pool.read(oid(number), 1) for number in range(3)] == [None] * 3
    assert pool.read(oid(1), 2) == random_page(2)
    pool.flush()
    assert pool.info().pages == 0


def test_rule_48_a_frozen_client_makes_no_pool(client: Client) -> None:
    """Xen let it (B21), though what froze it counted on its pools staying as they are."""
    client.auth_add(SHARED)
    client.freeze()
    for persistent in (False, True):
        with pytest.raises(FrozenError):
            client.new_pool(persistent=persistent)
    with pytest.raises(FrozenError):
        client.new_pool(shared=SHARED)
    assert client.pools() == []
    client.thaw()
    client.new_pool(shared=SHARED)


def test_rule_48_freezing_one_client_freezes_no_other(
    client: Client, shared: tuple[Pool, Pool]
) -> None:
    """Not even in a pool that the frozen client owns."""
    mine, theirs = shared
    client.freeze()
    assert theirs.put(oid(1), 0, A) is Put.STORED
    assert mine.put(oid(1), 0, B) is Put.STORED
    assert mine.put(oid(1), 1, B) is Put.FROZEN
