# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem kernel: builds the guest kernel and its modules, lists and removes what was built."""

import argparse
import json
import sys
from pathlib import Path

from tmem_host.cli.output import count, table
from tmem_host.cli.stopping import sigterm_interrupts
from tmem_host.provision import ProvisionError
from tmem_host.provision.cache import Cache
from tmem_host.provision.kernel import (
    Kernel,
    Modules,
    build,
    build_modules,
    kernel_cache,
    module_sources,
    modules_key,
)
from tmem_host.provision.kernel.build import current_hashes
from tmem_host.provision.paths import source_root
from tmem_host.provision.progress import progress_on


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `tmem kernel build`, `modules`, `list` and `clean`."""
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

    modules = verbs.add_parser(
        "modules",
        help="build the project's modules for the kernels in the cache",
        description="Builds the project's modules for the kernels in the cache, unless they are in"
        " it too, and says where they are. An image build does so by itself.",
        epilog="Exit status: 0, or 1 if they cannot be built.",
    )
    modules.add_argument(
        "--jobs", metavar="N", type=_jobs, help="at a time (default: one for each processor)"
    )
    modules.add_argument("--json", action="store_true", help="print one JSON object a line")
    modules.set_defaults(run=run_modules)

    lister = verbs.add_parser("list", help="list the kernels in the cache")
    lister.add_argument("--json", action="store_true", help="print one JSON object a line")
    lister.set_defaults(run=run_list)

    cleaner = verbs.add_parser(
        "clean",
        help="remove kernels and modules that are out of date",
        description="Removes what interrupted builds left, kernels that the present configuration"
        " and patches would not yield from Debian's source, and modules that the present source"
        " would not yield for the kernels that stay.",
    )
    cleaner.add_argument(
        "--all",
        action="store_true",
        help="all kernels and modules, downloaded sources and compiled objects",
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


def run_modules(options: argparse.Namespace) -> int:
    """Builds the modules for each kernel; ProvisionError if it cannot."""
    sigterm_interrupts()
    progress = progress_on(sys.stderr)
    sources = module_sources(source_root())
    kernels = kernel_cache().kernels()
    if not kernels:
        raise ProvisionError("no kernel is in the cache; run `tmem kernel build` first")
    built = [
        (kernel, build_modules(kernel, sources, jobs=options.jobs, progress=progress))
        for kernel in kernels
    ]
    for kernel, modules in built:
        if options.json:
            print(json.dumps(_module_facts(kernel, modules)))
        else:
            print(*modules.files, sep="\n")
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
    kernels = _remove(cache, set() if options.all else current_hashes(cache))
    current: set[str] = set()
    if not options.all:
        sources = module_sources(source_root())
        current = {modules_key(kernel, sources) for kernel in cache.kernels()}
    modules = _remove(cache.modules, current)
    if options.all:
        cache.remove_inputs()
    print(f"{count(kernels, 'kernel')} and {count(modules, 'build')} of modules removed")
    return 0


def _remove(cache: Cache, kept: set[str]) -> int:
    removed = 0
    for hash_ in sorted(cache.hashes() - kept):
        if cache.remove(hash_):
            removed += 1
        else:
            print(f"{hash_[:8]} is being built and stays", file=sys.stderr)
    return removed


def _module_facts(kernel: Kernel, modules: Modules) -> dict[str, object]:
    return {
        "version": kernel.version,
        "hash": modules.hash,
        "modules": {path.stem: str(path) for path in modules.files},
    }


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
