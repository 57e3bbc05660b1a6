# SPDX-License-Identifier: GPL-2.0-or-later
"""The long run: python -m tests.vm.torture --minutes 60 --seed 7 --nodes 3"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from random import Random, SystemRandom

from tests.vm.torture.failures import OF_GUESTS, OF_TMEM, Failure
from tests.vm.torture.mix import Mix
from tests.vm.torture.plan import Kernels, Plan
from tests.vm.torture.scenarios import ARMS, Arm, torture, until_told
from tests.vm.torture.site import Site
from tmem_host.provision import ProvisionError, image, kernel
from tmem_host.provision.progress import progress_on
from tmem_host.provision.vm.probe import probe

_MINUTES_A_ROUND = 10
_ATTEMPTS = 3


def main() -> int:
    """Runs rounds until the time is up; 1 as soon as one of them fails."""
    options = _options()
    say = _Said()
    progress = progress_on(sys.stderr)
    patched, unpatched = (
        kernel.build(progress=progress),
        kernel.build(patched=False, progress=progress),
    )
    kernels = Kernels(
        patched=patched,
        unpatched=unpatched,
        image=image.build(kernels=[patched, unpatched], progress=progress),
        accelerator=probe(patched.image).accelerator,
    )
    plan = Plan(kernels=kernels, nodes=options.nodes, memory_mib=options.memory)
    arms = {name: ARMS[name] for name in options.arm}
    until = time.monotonic() + 60 * options.minutes
    seed = options.seed
    while True:
        for name, arm in arms.items():
            left = until - time.monotonic()
            if left <= 0:
                return 0
            say(f"{name}, {options.nodes} nodes: --arm {name} --seed {seed}")
            seconds = min(left, 60 * _MINUTES_A_ROUND)
            _round(
                replace(arm, failures=_chosen(arm, options.failure)),
                name,
                plan,
                seed=seed,
                seconds=seconds,
                say=say,
            )
        seed += 1


def _chosen(arm: Arm, names: list[str] | None) -> Sequence[Failure]:
    return [failure for failure in arm.failures if names is None or failure.__name__ in names]


def _round(arm: Arm, name: str, plan: Plan, *, seed: int, seconds: float, say: "_Said") -> None:
    happens = list(arm.failures)
    Random(f"{seed} order").shuffle(happens)
    # things that happen take about as long as what is between them
    mix = Mix(large_blocks=8192, small=120)

    def do(site: Site) -> None:
        torture(
            site,
            arm,
            seed=seed,
            seconds=seconds / 2,
            mix=mix,
            happens=happens,
            say=say,
            label=name,
        )

    until_told(arm, plan, _ATTEMPTS, say, do)


class _Said:
    """Lines with the time since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, line: str) -> None:
        print(f"{time.monotonic() - self._start:7.1f}  {line}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.vm.torture",
        description="Nodes that share a file system write and read; no read may be old.",
        epilog="Exit status: 0; 1 if a read was wrong or something failed, and then the folder"
        " that the message names has the seed, every operation, serial logs, counters and traces.",
    )
    parser.add_argument("--minutes", type=float, default=60, help="for how long (default: 60)")
    parser.add_argument(
        "--seed",
        type=int,
        default=SystemRandom().randrange(1 << 31),
        help="of the first round; those after it count up (default: any)",
    )
    parser.add_argument("--nodes", type=int, default=2, help="of the cluster (default: 2)")
    parser.add_argument(
        "--memory", type=int, default=160, metavar="MIB", help="of each guest (default: 160)"
    )
    parser.add_argument(
        "--arm",
        action="append",
        choices=list(ARMS),
        help="which cluster; may be given again (default: all)",
    )
    parser.add_argument(
        "--failure",
        action="append",
        choices=[*OF_GUESTS, *OF_TMEM],
        help="what happens meanwhile; may be given again (default: all that the arm knows)",
    )
    options = parser.parse_args()
    options.arm = options.arm or list(ARMS)
    return options


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (AssertionError, ProvisionError) as failure:
        said = "\n".join([str(failure), *getattr(failure, "__notes__", [])])
        print(f"failed: {said}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
