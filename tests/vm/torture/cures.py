# SPDX-License-Identifier: GPL-2.0-or-later
"""For each cure of ocfs2 the steps that read old bytes without it (docs/coherency.md).

Each is made so that it depends on its own cure alone, also on a kernel that has none:

S1  no lock goes but by EX -> PR; no umount, no death, no direct I/O, no mount without locks
S2  no lock goes but by EX -> NL, which flushes on any kernel; the mount is leaving its pool
S3  no lock is asked for before the death
S4  the mount that puts has no locks at all
S5  nothing was in the pool when the write began, and nothing is left to flush when it ends

The lease would keep S2 short and make S3 needless, with o2cb's times, and it hides anything while a
guest of a busy host is late with its echo. That is not what is asked here, so the host's clock
stands still meanwhile, and no lease lapses.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from os import kill
from signal import SIGKILL, SIGSTOP
from typing import Any

from tests.vm.torture.node import Node
from tests.vm.torture.site import DISK, Site
from tmem_guest.workloads.blocks import Found
from tmem_host.provision.vm.cluster import MOUNT_POINT

BLOCKS = 16
# All are patient: that somebody gives up is not what is tested.
SERVER = "lease = '1s'\nexpel = '40s'\ngiveup = '300s'\n"
# A direct write of these takes two seconds.
DISK_BYTES_PER_SECOND = 4 << 20
_DIRECT_BLOCKS = 2048
_LOOKS = 64
_ATTEMPTS = 20
OLD, NEW = 1, 2


class DidNotTest(AssertionError):
    """A scenario did not come to the point at which a cure matters."""


def old_blocks(site: Site, cure: str) -> int:
    """How many blocks a node finds old; DidNotTest if the scenario did not come to the point."""
    _until_shared(site, f"{cure}-shared")
    with _no_lapse(site):
        return SCENARIOS[cure](site)


def s1_downconvert(site: Site) -> int:
    """Node 0 writes over what it has put; node 1 reads."""
    writer, reader = site.nodes
    _put(site, writer, "s1")
    _write(writer, "s1", NEW)
    return _old(reader, "s1")


def s2_umount(site: Site) -> int:
    """Node 0 writes over what it has put, and umounts; that it leaves the pool has not arrived yet.
    Node 1 takes EX for another block, and reads."""
    leaver, other = site.nodes
    _put(site, leaver, "s2")
    _write(leaver, "s2", NEW)
    valve = site.valves[leaver]
    with ThreadPoolExecutor(2) as pool:
        valve.shut()
        try:
            umount = pool.submit(site.umount, leaver)
            time.sleep(3)
            if umount.done():
                raise DidNotTest("umount did not wait for the host")
            found = pool.submit(_append_and_look, other, "s2")
            # with the cure it waits for the lock, which goes when the pool has been left
            time.sleep(5)
        finally:
            valve.open()
        umount.result()
    site.mount(leaver, "noatime")
    return found.result()


def s3_death(site: Site) -> int:
    """Node 0 writes over what it has put, and stands still for ever; node 1 recovers and reads."""
    writer, reader = site.nodes
    _put(site, writer, "s3")
    _write(writer, "s3", NEW)
    pid = site.pid(writer)
    kill(pid, SIGSTOP)
    try:
        return _old(reader, "s3")
    finally:
        kill(pid, SIGKILL)


def s4_no_locks(site: Site) -> int:
    """Node 1 has mounted read-only, from a disk that it cannot write, and so without locks. It puts
    what it had read before node 0 wrote; node 0 reads again."""
    writer, reader = site.nodes
    _make(writer, "s4", BLOCKS)
    device = f"/dev/disk/by-serial/{DISK}"
    site.umount(reader)
    # such a mount is refused while the journal of another is in use
    site.umount(writer)
    reader.shell(f"blockdev --setro {device}; mount -i -t ocfs2 -o ro {device} {MOUNT_POINT}")
    if _read(reader, "s4") != [OLD] * BLOCKS:
        raise DidNotTest("the reader did not see what was there")
    site.mount(writer, "noatime")
    _write(writer, "s4", NEW)
    writer.call("evict", path="s4")
    # nothing of what it has flushed is still on its way then
    _until_served(site, writer, "s4-served")
    before = _puts(site, reader)
    if _read(reader, "s4", evict=True) != [OLD] * BLOCKS:
        raise DidNotTest("the reader had dropped its pages")
    site.service.wait_for(lambda: _puts(site, reader) >= before + BLOCKS)
    found = _old(writer, "s4")
    site.umount(reader)
    reader.shell(f"blockdev --setrw {device}")
    site.mount(reader, "noatime")
    return found


def s5_direct_write(site: Site) -> int:
    """Node 1 reads in the middle of a direct write of node 0, and puts after its end; node 0 reads
    what it has written."""
    writer, reader = site.nodes
    first = _DIRECT_BLOCKS - _LOOKS
    for attempt in range(_ATTEMPTS):
        path = f"s5-{attempt}"
        _make(writer, path, _DIRECT_BLOCKS)
        # what it takes to find the file would wait behind the write
        _read(reader, path, count=1)
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(_write, writer, path, NEW, count=_DIRECT_BLOCKS, how="direct")
            in_the_middle = _has_begun(reader, path) and (
                _read(reader, path, first=first, count=_LOOKS) == [OLD] * _LOOKS
                and not writing.done()
            )
            writing.result()
        if in_the_middle:
            break
    else:
        raise DidNotTest("each write was over too soon")
    _read(reader, path, first=first, count=_LOOKS, evict=True)
    # whatever was put has arrived when something later has
    _put(site, reader, "s5-later")
    return sum(what == OLD for what in _read(writer, path, first=first, count=_LOOKS))


def _has_begun(reader: Node, path: str) -> bool:
    """Waits until a direct write has reached the disk. What has been read stays in the cache, and
    what is right behind it may, so each look is elsewhere."""
    for block in range(0, _DIRECT_BLOCKS // 2, 8):
        if _read(reader, path, first=block, count=1) == [NEW]:
            return True
        time.sleep(0.05)
    return False


# S3 comes last: a node is lost.
SCENARIOS: dict[str, Callable[[Site], int]] = {
    "s1": s1_downconvert,
    "s5": s5_direct_write,
    "s4": s4_no_locks,
    "s2": s2_umount,
    "s3": s3_death,
}


def _until_shared(site: Site, path: str) -> None:
    """Waits until a node gets what the other has put: whoever has just joined has no lease."""
    one, other = site.nodes
    before = site.hits()[other.name]
    for attempt in range(_ATTEMPTS):
        name = f"{path}-{attempt}"
        _make(one, name, BLOCKS)
        # EX -> PR, which is when what is put stays
        other.run("stat", f"{MOUNT_POINT}/{name}")
        _put_again(site, one, name)
        _read(other, name)
        if site.hits()[other.name] >= before + BLOCKS:
            return
    raise DidNotTest(f"{other.name} does not get what {one.name} has put: {site.facts()}")


def _until_served(site: Site, node: Node, path: str) -> None:
    """Waits until a node gets what it has put itself into the shared pool."""
    _put(site, node, path)
    for _ in range(_ATTEMPTS):
        before = site.counters(node).get("gets_hit", 0)
        _read(node, path, evict=True)
        if site.counters(node).get("gets_hit", 0) >= before + BLOCKS:
            return
        time.sleep(1)
    raise DidNotTest(f"the pool of {node.name} is not served: {site.facts()}")


@contextmanager
def _no_lapse(site: Site) -> Iterator[None]:
    site.clock.stop()
    try:
        yield
    finally:
        site.clock.go()


def _make(node: Node, path: str, count: int) -> None:
    """A file of the old version, on disk and in no cache."""
    node.call("create", path=path)
    _write(node, path, OLD, count=count, how="append")
    node.call("evict", path=path)


def _put(site: Site, node: Node, path: str) -> None:
    """A file of the old version, whose pages a node has put, and the host has taken them."""
    _make(node, path, BLOCKS)
    _put_again(site, node, path)


def _put_again(site: Site, node: Node, path: str) -> None:
    before = _puts(site, node)
    _read(node, path, evict=True)
    site.service.wait_for(lambda: _puts(site, node) >= before + BLOCKS)


def _write(
    node: Node,
    path: str,
    version: int,
    *,
    first: int = 0,
    count: int = BLOCKS,
    how: str = "buffered",
) -> None:
    where: dict[str, Any] = {"path": path, "file": 1, "first": first, "count": count}
    node.call("write", **where, version=version, writer=node.number, how=how, sync=True)


def _append_and_look(node: Node, path: str) -> int:
    _write(node, path, NEW, first=BLOCKS, count=1)
    return _old(node, path)


def _read(
    node: Node, path: str, *, first: int = 0, count: int = BLOCKS, evict: bool = False
) -> list[Found]:
    found = node.call("read", path=path, first=first, count=count, how="buffered", evict=evict)
    assert isinstance(found, list)
    return found


def _old(node: Node, path: str) -> int:
    """How many blocks a node finds old; the others are new."""
    found = _read(node, path)
    assert set(map(str, found)) <= {str(OLD), str(NEW)}, f"{node.name} found {found} in {path}"
    return sum(what == OLD for what in found)


def _puts(site: Site, node: Node) -> int:
    """How many pages of a node the host has taken."""
    counters = site.counters(node)
    return counters.get("puts_stored", 0) + counters.get("puts_replaced", 0)
