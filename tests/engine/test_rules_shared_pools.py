# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules 27-40: shared pools. Leaving one is R(1), in place of rules 34-36.

The numbers are those of docs/semantics.md.
"""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from tests.engine.arenas import copy_arena
from tests.engine.conftest import SHARED, OpenEngine
from tests.engine.filling import held, put_all
from tests.engine.pages import oid, random_page
from tmem_host.native import Client, Engine, Pool, PoolFlags, UnknownPool

A, B = random_page(1), random_page(2)
NO_UUID = UUID(int=2**128 - 1)


def test_rule_27_members_have_one_store_under_ids_of_their_own(
    engine: Engine, client: Client, other: Client
) -> None:
    """Two authorised clients that name one uuid get the same pages."""
    for _ in range(5):
        client.new_pool()  # so that the two ids differ
    for member in (client, other):
        member.auth_add(SHARED)
    mine, theirs = client.new_pool(shared=SHARED), other.new_pool(shared=SHARED)
    assert mine.granted_shared
    assert theirs.granted_shared
    assert mine.id != theirs.id
    assert mine.put(oid(1), 0, A)
    assert theirs.read(oid(1), 0) == A
    assert theirs.put(oid(1), 0, B)
    assert mine.read(oid(1), 0) == B
    assert engine.usage().shared_pools == 1
    assert mine.info().members == theirs.info().members == 2


def test_rule_28_a_uuid_of_all_ones_is_none(engine: Engine, client: Client, other: Client) -> None:
    """A shared request with it yields a private pool, even where everybody may share all."""
    engine.shared_auth_all = True
    mine, theirs = client.new_pool(shared=NO_UUID), other.new_pool(shared=NO_UUID)
    for made in (mine, theirs):
        assert not made.granted_shared
        assert made.info().uuid is None
    assert mine.put(oid(1), 0, A)
    assert theirs.read(oid(1), 0) is None
    assert mine.read(oid(1), 0) == A
    assert mine.read(oid(1), 0) is None


def test_rule_29_an_unauthorised_join_gets_a_private_empty_pool(
    engine: Engine, client: Client, other: Client
) -> None:
    """It is no error, and the answer says that the pool is private."""
    client.auth_add(SHARED)
    mine = client.new_pool(shared=SHARED)
    assert mine.put(oid(1), 0, A)
    stranger = other.new_pool(shared=SHARED)
    assert not stranger.granted_shared
    info = stranger.info()
    assert PoolFlags.SHARED not in info.flags
    assert (info.uuid, info.members, info.pages) == (None, 1, 0)
    assert stranger.read(oid(1), 0) is None
    assert stranger.put(oid(1), 0, B)
    stranger.flush()
    assert mine.read(oid(1), 0) == A
    assert mine.info().members == 1


def test_rule_30_joining_needs_the_right_or_the_switch(
    engine: Engine, client: Client, other: Client
) -> None:
    """The uuid must be in the client's own list, unless the host lets all share all."""
    neighbour = UUID(int=SHARED.int ^ 1)
    client.auth_add(SHARED)
    client.auth_add(neighbour)
    assert client.new_pool(shared=SHARED).granted_shared
    other.auth_add(neighbour)
    assert not other.new_pool(shared=SHARED).granted_shared
    assert other.new_pool(shared=neighbour).granted_shared
    engine.shared_auth_all = True
    assert other.new_pool(shared=SHARED).granted_shared
    engine.shared_auth_all = False
    assert not other.new_pool(shared=SHARED).granted_shared


def test_rule_32_taking_the_right_back_does_not_expel(
    client: Client, other: Client, shared: tuple[Pool, Pool]
) -> None:
    """Who has joined stays a member; to join again it needs the right again."""
    mine, theirs = shared
    assert mine.put(oid(1), 0, A)
    other.auth_remove(SHARED)
    assert theirs.read(oid(1), 0) == A
    assert theirs.put(oid(1), 0, B)
    assert mine.read(oid(1), 0) == B
    assert not other.new_pool(shared=SHARED).granted_shared


def test_rule_33_a_flush_by_any_member_is_for_all(shared: tuple[Pool, Pool]) -> None:
    """Page, range, object and pool, whoever put the pages."""
    mine, theirs = shared
    put_all(mine, 1, 8)
    put_all(mine, 2, 2)
    put_all(mine, 3, 2)
    theirs.flush_page(oid(1), 0)
    theirs.flush_range(oid(1), 4, 2)
    assert held(mine, 1, 8) == {1, 2, 3, 6, 7}
    theirs.flush_object(oid(1))
    assert held(mine, 1, 8) == set()
    assert held(mine, 2, 2) == {0, 1}
    theirs.flush()
    assert held(mine, 2, 2) == held(mine, 3, 2) == set()


@pytest.mark.parametrize("leaver", [0, 1])
def test_rule_r1_leaving_empties_the_pool_for_all(
    engine: Engine, shared: tuple[Pool, Pool], leaver: int
) -> None:
    """A guest that is gone no longer tells which of its pages became old, so all go (in place
    of rules 34 and 36)."""
    for number, pool in enumerate(shared):
        put_all(pool, number, 3)
    left, stays = shared[leaver], shared[1 - leaver]
    assert left.destroy()
    assert (stays.info().pages, stays.info().members) == (0, 1)
    for number in range(2):
        assert held(stays, number, 3) == set()
    assert engine.usage().ephemeral_pages == 0
    with pytest.raises(UnknownPool):
        left.read(oid(0), 0)
    put_all(stays, 1, 3)
    assert held(stays, 1, 3) == {0, 1, 2}


def test_rule_r1_the_owner_hands_over_to_the_member_that_joined_first(
    engine: Engine, client: Client, other: Client, shared: tuple[Pool, Pool]
) -> None:
    """Somebody is charged at every moment (in place of rule 35)."""
    mine, theirs = shared
    third = engine.create_client("third")
    third.auth_add(SHARED)
    last = third.new_pool(shared=SHARED)
    put_all(last, 1, 4)
    assert last.info().owner == client.uid
    assert client.info().ephemeral_pages == 4
    mine.destroy()
    assert last.info().owner == other.uid
    put_all(last, 1, 4)
    assert (other.info().ephemeral_pages, third.info().ephemeral_pages) == (4, 0)
    theirs.destroy()
    assert last.info().owner == third.uid
    put_all(last, 1, 4)
    assert third.info().ephemeral_pages == 4
    assert (client.info().ephemeral_bytes, other.info().ephemeral_bytes) == (0, 0)


def test_rule_r1_the_last_to_leave_ends_the_pool(
    engine: Engine, client: Client, shared: tuple[Pool, Pool]
) -> None:
    """Its uuid is free, and who joins later starts with nothing."""
    mine, theirs = shared
    put_all(mine, 1, 3)
    mine.destroy()
    theirs.destroy()
    assert (engine.usage().shared_pools, engine.usage().pools) == (0, 0)
    again = client.new_pool(shared=SHARED)
    assert (again.info().pages, again.info().members) == (0, 1)
    assert held(again, 1, 3) == set()


def test_rule_37_each_join_counts(engine: Engine, client: Client) -> None:
    """A client may join one pool more than once; the pool lasts until the last join is left."""
    client.auth_add(SHARED)
    first, second = client.new_pool(shared=SHARED), client.new_pool(shared=SHARED)
    assert first.id != second.id
    assert first.info().members == 2
    assert first.put(oid(1), 0, A)
    assert second.read(oid(1), 0) == A
    first.destroy()
    assert second.info().members == 1
    assert engine.usage().shared_pools == 1
    assert second.put(oid(1), 0, B)
    assert second.read(oid(1), 0) == B
    second.destroy()
    assert engine.usage().shared_pools == 0


def test_rule_38_pages_are_charged_to_the_owner_whoever_puts_them(
    client: Client, other: Client, shared: tuple[Pool, Pool]
) -> None:
    """The pages another member puts count for the owner's share and cap."""
    mine, theirs = shared
    put_all(theirs, 1, 10)
    assert theirs.info().owner == client.uid
    assert (client.info().ephemeral_pages, other.info().ephemeral_pages) == (10, 0)
    assert client.info().ephemeral_bytes == mine.info().bytes > 10 * 4096
    assert other.info().ephemeral_bytes == 0
    client.set(cap_bytes=client.info().ephemeral_bytes)
    put_all(theirs, 2, 10)
    assert client.info().ephemeral_bytes <= client.settings().cap_bytes


def test_rule_39_rights_go_where_the_arena_goes(
    open_engine: OpenEngine, arena_path: Path, shared: tuple[Pool, Pool], client: Client
) -> None:
    """Xen's migration lost who may share what; here it is in the arena with the pages."""
    neighbour = UUID(int=5)
    client.auth_add(neighbour)
    moved = arena_path.with_name("moved")
    copy_arena(arena_path, moved)
    engine = open_engine(path=moved)
    assert set(engine.find_client("guest").auth_list()) == {SHARED, neighbour}
    assert engine.find_client("other").auth_list() == [SHARED]
    assert not engine.shared_auth_all


def test_rule_40_a_cluster_lock_that_moves_never_lets_old_data_be_read(
    shared: tuple[Pool, Pool],
) -> None:
    """What ocfs2 does: whoever gives the lock up flushes the inode's object, whoever has it may
    read and put. The node that has the lock never sees what another node has overwritten."""
    nodes = shared
    inode = oid(7)
    on_disk = {index: random_page(index) for index in range(8)}
    for turn in range(1, 40):
        node = nodes[turn % 2]
        for index, page in on_disk.items():
            found = node.read(inode, index)
            assert found in (None, page)
            if found is None:
                assert node.put(inode, index, page)
        index = turn % len(on_disk)
        on_disk[index] = random_page(1000 + turn)
        node.flush_object(inode)
