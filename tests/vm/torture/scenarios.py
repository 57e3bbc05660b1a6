# SPDX-License-Identifier: GPL-2.0-or-later
"""The arms of the torture: on which kernel, with or without tmem, under which failures."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from random import Random

from tests.vm.torture import failures
from tests.vm.torture.complaints import GuestBroke
from tests.vm.torture.cures import DidNotTest
from tests.vm.torture.failures import Failure
from tests.vm.torture.mix import Mix
from tests.vm.torture.plan import Plan
from tests.vm.torture.run import Run
from tests.vm.torture.site import Site

Say = Callable[[str], None]
_PATIENCE_S = 120.0
_LOOK_AGAIN_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One kind of cluster.

    `shares` says that nodes must get pages of each other, else nothing was tested. With
    `tolerate_direct` what ocfs2 itself does behind a direct write is counted and not an error.
    """

    patched: bool
    tmem: bool
    shares: bool = False
    tolerate_direct: bool = False
    failures: Sequence[Failure] = ()


ARMS = {
    # what the kernel with the cures does by itself
    "control": Arm(patched=True, tmem=False, failures=tuple(failures.OF_GUESTS.values())),
    # what Linux 5.10 does by itself
    "plain": Arm(patched=False, tmem=False, tolerate_direct=True),
    "tmem": Arm(
        patched=True,
        tmem=True,
        shares=True,
        failures=(*failures.OF_TMEM.values(), *failures.OF_GUESTS.values()),
    ),
    # the cures are missing, so hooks gives ocfs2 a private pool
    "uncured": Arm(
        patched=False, tmem=True, tolerate_direct=True, failures=(failures.detach_and_attach,)
    ),
}


def site_of(arm: Arm, plan: Plan) -> Site:
    """A site for an arm, not open yet; `plan` says the rest."""
    return Site(replace(plan, patched=arm.patched, tmem=arm.tmem))


def until_told(arm: Arm, plan: Plan, attempts: int, say: Say, do: Callable[[Site], None]) -> None:
    """Does it on a site of its own; once more, up to so many times, if ocfs2 itself breaks in a way
    that is known to have nothing to do with tmem."""
    for left in reversed(range(attempts)):
        try:
            with site_of(arm, plan) as site:
                say(f"the cluster is up, in {site.folder}")
                do(site)
            return
        except GuestBroke as broke:
            if broke.known is None or left == 0:
                raise
            say(f"ocfs2 broke by itself, once more: {broke.known}")


def torture(
    site: Site,
    arm: Arm,
    *,
    seed: int,
    seconds: float,
    mix: Mix,
    happens: Sequence[Failure],
    say: Say,
    label: str = "run",
) -> str:
    """A load of so many seconds, in which these things happen, each to a node that the seed
    chooses; what was done. Stale if a read was wrong, DidNotTest if nothing was shared."""
    random = Random(f"{seed} failures")
    with Run(site, seed, mix, tolerate_direct=arm.tolerate_direct, label=label) as run:
        run.fill()
        run.load.go()
        part = seconds / (len(happens) + 1)
        _go_on(run, arm, part, say)
        for failure in happens:
            node = random.choice(site.nodes)
            say(f"{failure.__name__.replace('_', ' ')}: {node.name}")
            failure(run, node)
            _go_on(run, arm, part, say)
        run.load.pause()
        done = run.summary()
        say(done)
    return done


def _go_on(run: Run, arm: Arm, seconds: float, say: Say) -> None:
    """Lets the load run for so long; where nodes share, also until they have got pages of each
    other since, or DidNotTest. Whoever is out of the pool mounts again."""
    before = run.other_hits()
    _let_in(run, arm, say)
    run.go_on(seconds)
    until = time.monotonic() + _PATIENCE_S
    while arm.shares and run.other_hits() <= before:
        if time.monotonic() > until:
            raise DidNotTest(f"no node got a page that another had put: {run.summary()}")
        _let_in(run, arm, say)
        run.go_on(_LOOK_AGAIN_S)


def _let_in(run: Run, arm: Arm, say: Say) -> None:
    outside = run.site.outside_of_pools() if arm.shares else []
    if not outside:
        return
    names = " and ".join(node.name for node in outside)
    say(f"out of the shared pool until the next mount: {names}")
    with ThreadPoolExecutor(len(outside)) as pool:
        list(pool.map(lambda node: failures.mount_again(run, node), outside))
