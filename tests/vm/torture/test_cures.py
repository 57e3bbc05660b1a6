# SPDX-License-Identifier: GPL-2.0-or-later
"""Each cure of ocfs2 is needed: without the patches, sharing forced, its scenario reads old bytes;
with them it does not. Both kernels do the same at the same time."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.vm.torture.cures import DISK_BYTES_PER_SECOND, SCENARIOS, SERVER, old_blocks
from tests.vm.torture.mix import Mix
from tests.vm.torture.plan import Kernels, Plan
from tests.vm.torture.run import Run, Stale
from tests.vm.torture.site import Site
from tmem_host.provision.vm.provisioner import Provisioner
from tmem_host.provision.vm.spec import IoProfile

SEED = 20110421
# Pages are put, and written over by who has put them.
MIX = Mix(small=12, large_blocks=256, quiet=0.0, operations={"read": 60, "buffered": 20})
LIMIT_S = 300


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


def load_until_wrong(site: Site) -> None:
    until = time.monotonic() + LIMIT_S
    with Run(site, SEED, MIX) as run:
        run.fill()
        run.load.go()
        while not run.ledger.violations and time.monotonic() < until:
            run.go_on(1)


def test_the_load_reads_old_bytes_without_cures(sites: dict[str, Site]) -> None:
    """What finds nothing on a kernel with the cures would find it."""
    site = sites["unpatched"]
    with pytest.raises(Stale, match=f"seed {SEED}; everything is in {site.folder}"):
        load_until_wrong(site)


@pytest.mark.parametrize("cure", SCENARIOS)
def test_old_bytes_are_read_without_the_cure(sites: dict[str, Site], cure: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda site: old_blocks(site, cure), sites.values())
        old = dict(zip(sites, found, strict=True))
    assert old["patched"] == 0
    assert old["unpatched"] > 0
