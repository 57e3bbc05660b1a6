# SPDX-License-Identifier: GPL-2.0-or-later
"""No node reads an old byte, whatever happens to the cluster, in a size that fits into the tests.

The long run is `python -m tests.vm.torture`; docs/coherency.md says what it does.
"""

from collections.abc import Callable, Sequence

import pytest

from tests.vm.torture import failures
from tests.vm.torture.failures import Failure
from tests.vm.torture.mix import Mix
from tests.vm.torture.plan import Kernels, Plan
from tests.vm.torture.scenarios import ARMS, torture, until_told
from tests.vm.torture.site import Site

# A round may have to be begun anew (scenarios.until_told).
pytestmark = pytest.mark.timeout(1800)
SEED = 20110421
MIX = Mix(small=40, large_blocks=2048)
ATTEMPTS = 3


@pytest.fixture
def run_arm(kernels: Kernels) -> Callable[..., None]:
    """Runs one of scenarios.ARMS: run_arm(name, seconds, *what happens)."""

    def run(name: str, seconds: float, *happens: Failure) -> None:
        arm = ARMS[name]

        def do(site: Site) -> None:
            torture(
                site,
                arm,
                seed=SEED,
                seconds=seconds,
                mix=MIX,
                happens=happens,
                say=print,
                label=name,
            )

        until_told(arm, Plan(kernels=kernels), ATTEMPTS, print, do)

    return run


def test_without_tmem(run_arm: Callable[..., None]) -> None:
    """What is asked of tmem is no more than what ocfs2 does by itself."""
    run_arm("control", 10)


def test_shared_pools(run_arm: Callable[..., None]) -> None:
    happens: Sequence[Failure] = (
        failures.detach_and_attach,
        failures.kill_service,
        failures.stop_service,
        failures.remount,
        failures.kill_guest,
    )
    run_arm("tmem", 30, *happens)


def test_private_pools_on_a_kernel_without_cures(run_arm: Callable[..., None]) -> None:
    run_arm("uncured", 10)
