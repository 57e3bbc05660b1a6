# SPDX-License-Identifier: GPL-2.0-or-later
"""Each cure of ocfs2 is needed: without the patches, sharing forced, its scenario reads old bytes;
with them it does not. Both kernels do the same at the same time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.vm.torture.cures import DISK_BYTES_PER_SECOND, SCENARIOS, SERVER, sharing_works
from tests.vm.torture.plan import Kernels, Plan
from tests.vm.torture.site import Site
from tmem_host.provision.vm.provisioner import Provisioner
from tmem_host.provision.vm.spec import IoProfile


@pytest.fixture(scope="module")
def sites(kernels: Kernels, vms: Provisioner) -> Iterator[dict[str, Site]]:
    """Two pairs of nodes that share a pool, one pair with the cures, one without."""
    made = {
        name: Site(
            Plan(
                kernels=kernels,
                patched=name == "patched",
                disk_io=IoProfile(bytes_per_second=DISK_BYTES_PER_SECOND),
                force_shared=name != "patched",
                tmem=True,
                server=SERVER,
                name=name,
            ),
            vms,
        )
        for name in ("patched", "unpatched")
    }
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        list(pool.map(stack.enter_context, made.values()))
        yield made


# The summaries (T) may hide what the others leave in the pool: a get that is sure to miss asks
# nobody. The two are to be told apart first.
CERTAIN = [cure for cure in SCENARIOS if cure in ("s1", "s5")]


@pytest.mark.parametrize("cure", CERTAIN)
def test_old_bytes_are_read_without_the_cure(sites: dict[str, Site], cure: str) -> None:
    def old_blocks(site: Site) -> int:
        sharing_works(site, f"{cure}-shared")
        return SCENARIOS[cure](site)

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(sites, pool.map(old_blocks, sites.values()), strict=True))
    assert found["patched"] == 0
    assert found["unpatched"] > 0
