# SPDX-License-Identifier: GPL-2.0-or-later
"""No node reads an old byte, whatever happens to the cluster, in a size that fits into the tests.

The long run is `python -m tests.vm.torture`; docs/coherency.md says what it does.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.vm.torture import failures
from tests.vm.torture.failures import OF_GUESTS, OF_TMEM, Failure
from tests.vm.torture.mix import Mix
from tests.vm.torture.plan import Kernels, Plan
from tests.vm.torture.scenarios import ARMS, torture, until_told
from tests.vm.torture.site import Site

# A round may have to be begun anew (scenarios.until_told).
pytestmark = pytest.mark.timeout(1800)
SEED = 20110421
MIX = Mix(small=40, large_blocks=2048)
ATTEMPTS = 3


@dataclass(frozen=True)
class Cluster:
    """One of scenarios.ARMS, its load's seconds, and what happens meanwhile."""

    arm: str
    seconds: float
    happens: Sequence[Failure] = ()


CLUSTERS = {
    "slow failures": Cluster(
        "tmem", 10, (failures.reset_guest, failures.stop_service_long, failures.pause_guest)
    ),
    "fast failures": Cluster(
        "tmem",
        20,
        (
            failures.detach_and_attach,
            failures.kill_service,
            failures.stop_service,
            failures.remount,
            failures.kill_guest,
        ),
    ),
    "without tmem": Cluster("control", 10),
    "private pools": Cluster("uncured", 10),
}


@pytest.fixture(scope="module")
def clusters(kernels: Kernels) -> Iterator[Mapping[str, "Future[None]"]]:
    """All of them at a time: what they do most is to wait for clocks."""

    def run(cluster: Cluster) -> None:
        arm = ARMS[cluster.arm]

        def do(site: Site) -> None:
            torture(
                site,
                arm,
                seed=SEED,
                seconds=cluster.seconds,
                mix=MIX,
                happens=cluster.happens,
                say=print,
                label=cluster.arm,
            )

        until_told(arm, Plan(kernels=kernels), ATTEMPTS, print, do)

    with ThreadPoolExecutor(len(CLUSTERS)) as pool:
        yield {name: pool.submit(run, cluster) for name, cluster in CLUSTERS.items()}


def test_without_tmem(clusters: Mapping[str, "Future[None]"]) -> None:
    """What is asked of tmem is no more than what ocfs2 does by itself."""
    clusters["without tmem"].result()


def test_private_pools_on_a_kernel_without_cures(
    clusters: Mapping[str, "Future[None]"],
) -> None:
    clusters["private pools"].result()


@pytest.mark.parametrize("which", ["fast failures", "slow failures"])
def test_shared_pools(clusters: Mapping[str, "Future[None]"], which: str) -> None:
    clusters[which].result()


def test_no_failure_is_left_out() -> None:
    happening = [failure for cluster in CLUSTERS.values() for failure in cluster.happens]
    assert sorted(failure.__name__ for failure in happening) == sorted({**OF_GUESTS, **OF_TMEM})
