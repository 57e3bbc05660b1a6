# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with a cluster is found, and told such that one can look at it. The nodes here are
one directory of the host; one of them may have a cache that nobody tells of changes."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.vm.torture import load, scenarios
from tests.vm.torture.complaints import GuestBroke
from tests.vm.torture.cures import DidNotTest
from tests.vm.torture.mix import OPERATIONS, Mix
from tests.vm.torture.node import Node, NodeGone
from tests.vm.torture.run import Run, Stale
from tests.vm.torture.scenarios import ARMS, torture
from tests.vm.torture.site import Site
from tmem_guest.workloads.blocks import Found
from tmem_guest.workloads.worker import do

SEED = 20110421
# What every file system can, and what is done to files only.
_NOT_HERE = ("direct", "reflink", "drop")
MIX = Mix(
    clients=2,
    small=8,
    large_blocks=64,
    quiet=0.0,
    operations={name: weight for name, weight in OPERATIONS.items() if name not in _NOT_HERE},
)
_OLD_BYTES = re.compile(
    r"node 1 read \S+ at offset \d+ \(.*\) and found version \d+ \(node .*; it could be: .*version"
)


class DirectoryNode(Node):
    """Works in a directory. With `forgetful` false it returns what it has read before, for ever."""

    def __init__(self, number: int, directory: Path, *, forgetful: bool = True) -> None:
        super().__init__(number, f"node{number}", "/nowhere", 1)
        self.ending = ""
        self._directory = str(directory)
        self._forgetful = forgetful
        self._cache: dict[tuple[str, int], Found] = {}

    def call(self, operation: str, limit_s: float | None = None, **arguments: Any) -> Any:
        if operation == "sync":
            return None
        if arguments.get("how") == "direct":
            # not every file system can
            arguments["how"] = "buffered"
        answer = do(self._directory, {"id": 0, "operation": operation, **arguments})
        if "error" in answer:
            raise OSError(*answer["error"])
        if operation == "read" and not self._forgetful:
            keys = [(arguments["path"], arguments["first"] + n) for n in range(arguments["count"])]
            return [
                self._cache.setdefault(key, found)
                for key, found in zip(keys, answer["result"], strict=True)
            ]
        return answer["result"]


class DirectorySite:
    """What a Run needs of a Site."""

    def __init__(self, folder: Path, *, coherent: bool) -> None:
        self.folder = folder
        files = folder / "files"
        files.mkdir()
        self.nodes = [DirectoryNode(0, files), DirectoryNode(1, files, forgetful=coherent)]
        self.plan = SimpleNamespace(kernel=SimpleNamespace(version="none"))

    def hits(self) -> dict[str, int]:
        return {}

    def outside_of_pools(self) -> list[Node]:
        return []

    def look_at_guests(self) -> None:
        pass

    def explain_hang(self) -> None:
        raise GuestBroke(self.nodes[1], "node 0 up while restarting")


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Site]:
    return lambda *, coherent: cast(Site, DirectorySite(tmp_path, coherent=coherent))


def run(site: Site, arm: str) -> str:
    return torture(site, ARMS[arm], seed=SEED, seconds=1, mix=MIX, happens=(), say=print, label=arm)


def test_nodes_that_agree(site: Callable[..., Site]) -> None:
    done = run(site(coherent=True), "control")
    assert " 0 reads wrong" in done


def test_a_node_that_reads_old_bytes(site: Callable[..., Site], tmp_path: Path) -> None:
    with pytest.raises(Stale) as caught:
        run(site(coherent=False), "control")
    said = str(caught.value)
    assert f"seed {SEED}; everything is in {tmp_path}" in said
    wrong = (tmp_path / "control.violations").read_text().splitlines()
    assert wrong[0] in said
    assert all(violation.startswith("node 1 read ") for violation in wrong)
    assert any(map(_OLD_BYTES.match, wrong))
    # every operation is there, and what the clients chose from
    head, *operations = map(
        json.loads, (tmp_path / "control.ledger.jsonl").read_text().splitlines()
    )
    assert head["seed"] == SEED
    assert [violation for each in operations for violation in each.get("wrong", [])] == wrong
    assert {"change", "ended", "read"} <= {key for each in operations for key in each}


def test_where_nodes_should_share_and_do_not(
    site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenarios, "_PATIENCE_S", 1.0)
    with pytest.raises(DidNotTest, match="no node got a page that another had put") as caught:
        run(site(coherent=True), "tmem")
    assert caught.value.__notes__ == [f"tmem: seed {SEED}"]


def test_other_failures_name_the_seed(site: Callable[..., Site]) -> None:
    with pytest.raises(ZeroDivisionError) as caught, Run(site(coherent=True), SEED, MIX):
        raise ZeroDivisionError
    assert caught.value.__notes__ == [f"run: seed {SEED}"]


def test_nodes_that_only_read(site: Callable[..., Site]) -> None:
    cluster = site(coherent=True)
    with Run(cluster, SEED, MIX) as run:
        run.load.only_read(cluster.nodes[0])
        run.load.go(cluster.nodes[0])
        run.go_on(1)
        assert run.load.done["read"] > 0
        assert set(run.load.done) <= {"read", "evict"}
        run.load.pause()
        run.load.only_read()
        run.load.go()
        run.go_on(1)
        assert run.load.done["create"] > 0


class HungNode(DirectoryNode):
    """Answers nothing until the test is over."""

    def __init__(self, directory: Path) -> None:
        super().__init__(0, directory)
        self.asked, self.over = Event(), Event()

    def call(self, operation: str, limit_s: float | None = None, **arguments: Any) -> Any:
        self.asked.set()
        self.over.wait()
        raise NodeGone


def pause_a_hung_node(site: Site, node: HungNode) -> None:
    site.nodes[0] = node
    with Run(site, SEED, MIX) as run:
        run.load.go(node)
        assert node.asked.wait(60)
        run.load.pause(node)


def test_operations_that_do_not_end(
    site: Callable[..., Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(load, "_SHORT_PATIENCE_S", 0.1)
    node = HungNode(tmp_path / "files")
    try:
        with pytest.raises(GuestBroke, match="up while restarting") as caught:
            pause_a_hung_node(site(coherent=True), node)
    finally:
        node.over.set()
    assert caught.value.known == "the master of a lock was being chosen when a node joined"
