# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem kernel: builds the guest kernel, lists and removes what was built."""

import argparse
import json
import sys
from pathlib import Path

from tmem_host.cli.output import count, table
from tmem_host.cli.stopping import sigterm_interrupts
from tmem_host.provision.kernel import Kernel, build, kernel_cache
from tmem_host.provision.kernel.build import current_hashes
from tmem_host.provision.progress import progress_on


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `tmem kernel build`, `tmem kernel list` and `tmem kernel clean`."""
    kernel = commands.add_parser(
        "kernel",
        help="build the kernel of the guests",
        description="Builds the kernel of the guests and keeps it in the user's cache.",
    )
    verbs = kernel.add_subparsers(metavar="VERB", required=True)

    builder = verbs.add_parser(
        "build",
        help="build it, unless it is in the cache",
        description="Builds the kernel of the guests, unless it is in the cache, and says where"
        " it is.",
        epilog="docs/kernel.md says what is in it. Exit status: 0, or 1 if it cannot be built.",
    )
    builder.add_argument("--unpatched", action="store_true", help="without the project's patches")
    builder.add_argument("--debug", action="store_true", help="with the kernel's own checks")
    builder.add_argument(
        "--source", metavar="DIR", type=Path, help="a source tree of Linux 5.10 to 5.16"
    )
    builder.add_argument(
        "--jobs", metavar="N", type=_jobs, help="at a time (default: one for each processor)"
    )
    builder.add_argument("--json", action="store_true", help="print one JSON object")
    builder.set_defaults(run=run_build)

    lister = verbs.add_parser("list", help="list the kernels in the cache")
    lister.add_argument("--json", action="store_true", help="print one JSON object a line")
    lister.set_defaults(run=run_list)

    cleaner = verbs.add_parser(
        "clean",
        help="remove kernels that are out of date",
        description="Removes what interrupted builds left, and kernels that the present"
        " configuration and patches would not yield from Debian's source.",
    )
    cleaner.add_argument(
        "--all", action="store_true", help="all kernels, downloaded sources and compiled objects"
    )
    cleaner.set_defaults(run=run_clean)


def _jobs(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least one job")
    return number


def run_build(options: argparse.Namespace) -> int:
    """Builds; ProvisionError if it cannot."""
    # make and its children must not outlive the command
    sigterm_interrupts()
    kernel = build(
        patched=not options.unpatched,
        debug=options.debug,
        source=options.source,
        jobs=options.jobs,
        progress=progress_on(sys.stderr),
    )
    print(json.dumps(_facts(kernel)) if options.json else _described(kernel))
    return 0


def run_list(options: argparse.Namespace) -> int:
    """Lists the cache."""
    kernels = kernel_cache().kernels()
    if options.json:
        for kernel in kernels:
            print(json.dumps(_facts(kernel)))
    elif kernels:
        print("\n\n".join(map(_described, kernels)))
    else:
        print("no kernel is in the cache; `tmem kernel build` makes one", file=sys.stderr)
    return 0


def run_clean(options: argparse.Namespace) -> int:
    """Removes what is out of date, or everything."""
    cache = kernel_cache()
    removed = 0
    for hash_ in sorted(cache.hashes() - (set() if options.all else current_hashes(cache))):
        if cache.remove(hash_):
            removed += 1
        else:
            print(f"{hash_[:8]} is being built and stays", file=sys.stderr)
    if options.all:
        cache.remove_inputs()
    print(f"{count(removed, 'kernel')} removed")
    return 0


def _facts(kernel: Kernel) -> dict[str, object]:
    return {
        "version": kernel.version,
        "hash": kernel.hash,
        "patched": kernel.patched,
        "debug": kernel.debug,
        "source": kernel.source,
        "markers": kernel.markers,
        "image": str(kernel.image),
        "modules": str(kernel.modules),
        "build": str(kernel.build),
    }


def _described(kernel: Kernel) -> str:
    return table(
        [
            ("version", kernel.version),
            ("source", kernel.source),
            ("cures", ", ".join(kernel.markers) or "none"),
            ("checks", "KASAN, lockdep and others" if kernel.debug else "none"),
            ("image", str(kernel.image)),
            ("modules", str(kernel.modules)),
            ("build", str(kernel.build)),
        ]
    )
