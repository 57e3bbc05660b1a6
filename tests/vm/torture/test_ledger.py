# SPDX-License-Identifier: GPL-2.0-or-later
"""The ledger finds what is wrong, and nothing that is right."""

import pytest

from tests.vm.torture.history import Change, File, Name
from tests.vm.torture.ledger import Ledger
from tmem_guest.workloads.blocks import ABSENT, GARBAGE, ZEROS, Found

BLOCKS = 4


@pytest.fixture
def ledger() -> Ledger:
    return Ledger({"a": BLOCKS, "b": BLOCKS})


def begin(ledger: Ledger, node: int = 0, path: str = "a", *, direct: bool = False) -> Change:
    name = ledger.names[path]
    change = ledger.begin(node, "write", [name], None, direct=direct)
    if name.file is None:
        ledger.makes(change, name)
    return change


def write(
    ledger: Ledger, node: int = 0, *, block: int = 0, durable: bool = False, direct: bool = False
) -> int:
    """A write of one block, from its beginning to its end; its version."""
    change = begin(ledger, node, direct=direct)
    ledger.leaves(change, file_of(ledger), range(block, block + 1), change.version)
    ledger.end(change, [ledger.names["a"]], durable)
    return change.version


def file_of(ledger: Ledger, path: str = "a") -> File:
    file = ledger.names[path].file
    assert file is not None
    return file


def read(
    ledger: Ledger,
    *found: Found,
    node: int = 1,
    path: str = "a",
    first: int = 0,
    how: str = "buffered",
) -> list[str]:
    """What is wrong with a read that was sent now and returned `found`."""
    sent = ledger.begin_read(ledger.names[path], node, first, len(found), how)
    return [str(violation) for violation in ledger.end_read(sent, found)]


def die(ledger: Ledger) -> None:
    """Node 0 does."""
    ledger.dies(0)
    ledger.died(0)


def missing(ledger: Ledger, name: Name) -> bool:
    """Whether that there is no such file is right."""
    return not ledger.end_read(ledger.begin_read(name, 1, 0, 1, "buffered"), None)


def test_a_read_returns_the_last_write(ledger: Ledger) -> None:
    old, new = write(ledger), write(ledger)
    assert read(ledger, new, ABSENT) == []
    (wrong,) = read(ledger, old)
    # whoever reads this knows where to look
    assert wrong.startswith("node 1 read a at offset 0 (buffered, sent at ")
    assert f"found version {old} (node 0, write," in wrong
    assert f"it could be: {new} by version {new} (node 0, write," in wrong


def test_the_offset_is_that_of_the_block(ledger: Ledger) -> None:
    old = write(ledger, block=2)
    write(ledger, block=2)
    (wrong,) = read(ledger, ABSENT, old, first=1)
    assert " at offset 8192 " in wrong


def test_a_write_that_goes_on_may_be_seen_or_not(ledger: Ledger) -> None:
    old = write(ledger)
    change = begin(ledger)
    ledger.leaves(change, file_of(ledger), range(1), change.version)
    assert read(ledger, old) == []
    assert read(ledger, change.version) == []
    assert read(ledger, [old, change.version]) == []
    assert ledger.mixtures == 1
    assert read(ledger, ZEROS) != []


def test_what_ended_after_the_read_was_sent_may_be_missed(ledger: Ledger) -> None:
    old = write(ledger)
    sent = ledger.begin_read(ledger.names["a"], 1, 0, 1, "buffered")
    new = write(ledger)
    assert ledger.end_read(sent, [old]) == []
    sent = ledger.begin_read(ledger.names["a"], 1, 0, 1, "buffered")
    assert ledger.end_read(sent, [new]) == []


def clone(ledger: Ledger) -> None:
    """From a to b."""
    names = [ledger.names["a"], ledger.names["b"]]
    change = ledger.begin(0, "reflink", names, None)
    ledger.makes(change, names[1], like=file_of(ledger))
    ledger.end(change, names, True)


@pytest.mark.parametrize("path", ["a", "b"])
@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("what", [ZEROS, [GARBAGE], 1])
def test_a_direct_read_beside_a_write_may_find_a_clone_uncopied(
    ledger: Ledger, path: str, direct: bool, what: Found
) -> None:
    """Also blocks beside those that are written; they have what was there before. Nothing else
    excuses that."""
    assert write(ledger) == 1
    kept = write(ledger, durable=True)
    clone(ledger)
    assert read(ledger, what, node=0, path=path, how="direct") != []
    change = begin(ledger, path=path, direct=direct)
    ledger.leaves(change, file_of(ledger, path), range(1, 2), change.version)
    assert read(ledger, what, what, node=0, path=path, how="direct") == []
    assert ledger.uncopied == 2
    assert read(ledger, kept, change.version, node=0, path=path, how="direct") == []
    assert read(ledger, ABSENT, node=0, path=path, how="direct") != []
    assert read(ledger, what, node=0, path=path) != []
    assert read(ledger, what, node=1, path=path, how="direct") != []
    ledger.end(change, [ledger.names[path]], True)
    assert read(ledger, what, node=0, path=path, how="direct") != []
    assert ledger.uncopied == 2


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("what", [ZEROS, [GARBAGE]])
def test_they_are_wrong_in_a_file_that_was_not_cloned(
    ledger: Ledger, direct: bool, what: Found
) -> None:
    write(ledger, durable=True)
    change = begin(ledger, direct=direct)
    ledger.leaves(change, file_of(ledger), range(1), change.version)
    assert read(ledger, what, node=0, how="direct") != []


@pytest.mark.parametrize("found", [[1, 2], [GARBAGE], [2, GARBAGE], ZEROS, ABSENT, 7])
def test_nothing_but_what_was_written(ledger: Ledger, found: Found) -> None:
    write(ledger)
    write(ledger)
    assert read(ledger, found) != []


def test_a_file_that_is_removed_and_made_again(ledger: Ledger) -> None:
    a = ledger.names["a"]
    assert missing(ledger, a)
    old = write(ledger)
    assert not missing(ledger, a)
    change = begin(ledger)
    ledger.binds(change, a, None)
    assert missing(ledger, a)
    assert read(ledger, old) == []
    ledger.end(change, [a], durable=False)
    assert missing(ledger, a)
    assert read(ledger, old) != []
    # the inode is used again: nothing of the old file may be in the new one
    new = write(ledger, block=1)
    assert read(ledger, old, new) != []
    assert read(ledger, ABSENT, new) == []


def test_a_file_keeps_its_blocks_under_another_name(ledger: Ledger) -> None:
    version = write(ledger)
    names = [ledger.names["a"], ledger.names["b"]]
    change = ledger.begin(0, "rename", names, None)
    ledger.binds(change, names[1], names[0].file)
    ledger.binds(change, names[0], None)
    ledger.end(change, names, durable=False)
    assert missing(ledger, names[0])
    assert read(ledger, version, path="b") == []


def test_a_reflink_has_the_blocks_of_then(ledger: Ledger) -> None:
    version = write(ledger)
    names = [ledger.names["a"], ledger.names["b"]]
    change = ledger.begin(0, "reflink", names, None)
    ledger.makes(change, names[1], like=names[0].file)
    ledger.end(change, names, durable=False)
    new = write(ledger)
    assert file_of(ledger, "b").size == 1
    assert read(ledger, version, path="b") == []
    assert read(ledger, new, path="b") != []


def test_sizes_follow_the_changes(ledger: Ledger) -> None:
    write(ledger, block=2)
    file = file_of(ledger)
    assert file.size == 3
    change = begin(ledger)
    ledger.leaves(change, file, range(1, 3), ABSENT)
    assert file.size == 1
    ledger.undo(change, [ledger.names["a"]], [file])
    assert file.size == 3


def test_changes_of_one_block_do_not_overlap(ledger: Ledger) -> None:
    write(ledger)
    a = ledger.names["a"]
    change = ledger.begin(0, "write", [a], range(1, 3))
    assert ledger.free(a, range(1))
    assert not ledger.free(a, range(2, 4))
    assert not ledger.free(a, None)
    ledger.abandon(change, [a])
    assert ledger.free(a, None)
    key = ledger.hold(a, range(1))
    assert not ledger.free(a, None)
    del a.busy[key]


def test_behind_a_direct_write(ledger: Ledger) -> None:
    old = write(ledger)
    write(ledger, direct=True)
    read(ledger, old)
    assert [violation.direct_only for violation in ledger.violations] == [True]
    write(ledger)
    read(ledger, old)
    assert [violation.direct_only for violation in ledger.violations] == [True, False]


class TestDeath:
    """Node 0 dies."""

    def test_what_was_not_durable_may_be_there(self, ledger: Ledger) -> None:
        write(ledger, 1)
        durable = write(ledger, durable=True)
        lost = write(ledger)
        die(ledger)
        assert ledger.unsettled() == [ledger.names["a"]]
        assert read(ledger, durable) == []
        assert read(ledger, lost) == []
        assert read(ledger, 1) != []

    def test_what_a_survivor_has_found_stays(self, ledger: Ledger) -> None:
        durable = write(ledger, durable=True)
        lost = write(ledger)
        die(ledger)
        assert ledger.settle(ledger.names["a"], [durable])
        assert ledger.unsettled() == []
        assert read(ledger, durable) == []
        assert read(ledger, lost) != []

    def test_what_cannot_be_is_not_settled(self, ledger: Ledger) -> None:
        old = write(ledger, durable=True)
        durable = write(ledger, durable=True)
        write(ledger)
        die(ledger)
        assert not ledger.settle(ledger.names["a"], [old])
        assert not ledger.settle(ledger.names["a"], None)
        assert ledger.settle(ledger.names["a"], [durable])

    def test_others_may_find_out_before_it_is_known(self, ledger: Ledger) -> None:
        durable = write(ledger, durable=True)
        before = write(ledger)
        ledger.dies(0)
        meanwhile = write(ledger)
        for version in (durable, before, meanwhile):
            assert read(ledger, version) == []
        ledger.died(0)
        assert ledger.settle(ledger.names["a"], [durable])
        # it is there again, and what it does now stays
        write(ledger)
        assert read(ledger, durable) != []

    def test_what_is_made_durable_meanwhile_is(self, ledger: Ledger) -> None:
        old = write(ledger, durable=True)
        ledger.dies(0)
        durable = write(ledger, durable=True)
        ledger.died(0)
        assert read(ledger, old) != []
        assert read(ledger, durable) == []

    def test_what_another_node_has_read_is_durable(self, ledger: Ledger) -> None:
        version = write(ledger)
        assert read(ledger, version, node=0) == []
        assert read(ledger, version, node=1) == []
        die(ledger)
        assert ledger.unsettled() == []
        assert read(ledger, ABSENT) != []

    def test_what_was_synced_is_durable(self, ledger: Ledger) -> None:
        version = write(ledger)
        ledger.synced(0, ledger.tick())
        die(ledger)
        assert read(ledger, version) == []
        assert read(ledger, ABSENT) != []

    def test_a_file_may_have_gone_with_it(self, ledger: Ledger) -> None:
        write(ledger)
        a = ledger.names["a"]
        die(ledger)
        assert missing(ledger, a)
        assert ledger.settle(a, None)
        assert a.file is None
        assert missing(ledger, a)

    def test_a_write_that_never_ended(self, ledger: Ledger) -> None:
        old = write(ledger, durable=True)
        change = begin(ledger)
        ledger.leaves(change, file_of(ledger), range(2), change.version)
        ledger.abandon(change, [ledger.names["a"]])
        die(ledger)
        assert ledger.settle(ledger.names["a"], [old, change.version])
        assert file_of(ledger).size == 2
        assert read(ledger, old, change.version) == []
        assert read(ledger, old, ABSENT) != []
