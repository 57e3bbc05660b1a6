# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to a cluster while it is under load. Each returns when all nodes are there again.

While something is done to a node its own clients may have to rest; the others never do, but for
the moment in which a survivor finds out what a dead node has left.
"""

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

from tests.vm.torture.node import Node, NodeGone
from tests.vm.torture.run import Run
from tests.vm.torture.site import DEAD_S

Failure = Callable[[Run, Node], None]
_OPTIONS = ("relatime", "noatime")


def remount(run: Run, node: Node) -> None:
    """Umount and mount, with the other atime option."""
    mount_again(run, node, away_s=5)


def mount_again(run: Run, node: Node, away_s: float = 0) -> None:
    """The same, after so long."""
    run.load.pause(node)
    run.site.umount(node)
    run.go_on(away_s)
    run.turns += 1
    run.site.mount(node, _OPTIONS[run.turns % 2])
    run.load.go(node)


def detach_and_attach(run: Run, node: Node) -> None:
    """The transport goes and comes; the file system stays mounted."""
    run.site.detach(node)
    run.go_on(5)
    run.site.attach(node)


def kill_service(run: Run, node: Node) -> None:
    """kill -9 of the service, which is started again some seconds later."""
    run.site.kill_service()
    run.go_on(3)
    run.site.start_service()


def stop_service(run: Run, node: Node, seconds: float = 3) -> None:
    """The host does not answer for a while."""
    run.site.service.send_signal(signal.SIGSTOP)
    try:
        run.go_on(seconds)
    finally:
        run.site.service.send_signal(signal.SIGCONT)


def stop_service_long(run: Run, node: Node) -> None:
    """The host does not answer for longer than guests wait and the cluster lives."""
    stop_service(run, node, 90)


def kill_guest(run: Run, node: Node) -> None:
    """kill -9 of QEMU, in mid-operation, with whatever locks the guest holds."""
    _die(run, node, run.site.kill)
    _come_back(run, node, run.site.boot)


def reset_guest(run: Run, node: Node) -> None:
    """The reset button, in mid-operation. The guest may be there again before its node is dead."""
    _die(run, node, run.site.reset)
    _come_back(run, node, run.site.rejoin)


def pause_guest(run: Run, node: Node) -> None:
    """A guest stands still until the cluster takes it for dead, and goes on as if nothing had been,
    with puts on their way. It has nothing to write back, not even when files were read: ocfs2
    itself does not survive that.

    What it reads then is nobody's promise, so nobody looks; it is killed and boots again.
    """
    run.load.pause(node)
    run.site.keep_no_access_times(node)
    run.sync(node)
    puts = Thread(target=_puts_until_gone, args=(run, node))
    puts.start()
    time.sleep(1)
    run.site.pause(node)
    run.go_on(DEAD_S + 15)
    run.site.given_up.add(node)
    run.site.resume(node)
    run.go_on(10)
    _die(run, node, run.site.kill)
    puts.join()
    run.site.given_up.remove(node)
    _come_back(run, node, run.site.boot)


def _puts_until_gone(run: Run, node: Node) -> None:
    try:
        while True:
            for name in run.names_that_exist():
                try:
                    node.call("read", path=name, first=0, count=8, how="buffered", evict=True)
                except OSError:
                    # what the others have removed; or whatever befalls a node that was given up
                    continue
    except NodeGone:
        return


def _die(run: Run, node: Node, how: Callable[[Node], None]) -> None:
    """Ends a node while it works and the others read, from before its end until they have its
    locks."""
    others = [other for other in run.site.nodes if other is not node]
    run.load.pause(*others)
    run.load.only_read(*others)
    run.load.go(*others)
    run.load.dies(node)
    how(node)
    run.load.died(node)


def _come_back(run: Run, dead: Node, how: Callable[[Node, str], None]) -> None:
    """A node is gone. Waits until the survivors have its locks and one of them has told what is
    there; the guest boots meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        back = pool.submit(how, dead, run.options)
        run.load.pause()
        survivors = [node for node in run.site.nodes if node is not dead and node.there]
        run.load.settle(survivors[0])
        run.load.only_read()
        run.load.go(*survivors)
        back.result()
    run.load.go(dead)


# Those that need nothing of tmem, and those that do.
OF_GUESTS: dict[str, Failure] = {
    failure.__name__: failure for failure in (remount, kill_guest, reset_guest, pause_guest)
}
OF_TMEM: dict[str, Failure] = {
    failure.__name__: failure
    for failure in (detach_and_attach, kill_service, stop_service, stop_service_long)
}
