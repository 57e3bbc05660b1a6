# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem image: builds what guests run, lists and removes what was built."""

import argparse
import json
import sys

from tmem_host.cli.output import count, size, table
from tmem_host.cli.stopping import sigterm_interrupts
from tmem_host.provision import ProvisionError
from tmem_host.provision.image import Image, build, image_cache, is_current
from tmem_host.provision.image.cache import in_use
from tmem_host.provision.kernel import Kernel, kernel_cache
from tmem_host.provision.progress import progress_on


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `tmem image build`, `tmem image list` and `tmem image clean`."""
    image = commands.add_parser(
        "image",
        help="build the system of the guests",
        description="Builds the system of the guests, a small Debian, and keeps it in the user's"
        " cache.",
    )
    verbs = image.add_subparsers(metavar="VERB", required=True)

    builder = verbs.add_parser(
        "build",
        help="build it, unless it is in the cache",
        description="Builds the system of the guests, unless it is in the cache, and says where it"
        " is. It holds the modules of all kernels in the cache.",
        epilog="docs/guest-image.md says what is in it. Exit status: 0, or 1 if it cannot be"
        " built.",
    )
    builder.add_argument(
        "--kernel",
        action="append",
        metavar="VERSION",
        help="the modules of this kernel alone; may be given again",
    )
    builder.add_argument(
        "--fresh", action="store_true", help="with new packages, even if there is one in the cache"
    )
    builder.add_argument("--json", action="store_true", help="print one JSON object")
    builder.set_defaults(run=run_build)

    lister = verbs.add_parser("list", help="list the images in the cache")
    lister.add_argument("--json", action="store_true", help="print one JSON object a line")
    lister.set_defaults(run=run_list)

    cleaner = verbs.add_parser(
        "clean",
        help="remove images that are out of date",
        description="Removes what interrupted builds left, and images that would come out"
        " differently today. What a running guest uses stays.",
    )
    cleaner.add_argument("--all", action="store_true", help="all images, and the Debian root")
    cleaner.set_defaults(run=run_clean)


def run_build(options: argparse.Namespace) -> int:
    """Builds; ProvisionError if it cannot."""
    # what was started must not outlive the command
    sigterm_interrupts()
    kernels = _kernels(options.kernel)
    image = build(kernels=kernels, fresh=options.fresh, progress=progress_on(sys.stderr))
    print(json.dumps(_facts(image)) if options.json else _described(image))
    return 0


def _kernels(versions: list[str] | None) -> list[Kernel]:
    kernels = kernel_cache().kernels()
    if not kernels:
        raise ProvisionError("no kernel is in the cache; run `tmem kernel build` first")
    if versions is None:
        return kernels
    by_version = {kernel.version: kernel for kernel in kernels}
    for version in versions:
        if version not in by_version:
            raise ProvisionError(
                f"no kernel {version} is in the cache; `tmem kernel list` shows those that are"
            )
    return [by_version[version] for version in versions]


def run_list(options: argparse.Namespace) -> int:
    """Lists the cache."""
    images = image_cache().images()
    if options.json:
        for image in images:
            print(json.dumps(_facts(image)))
    elif images:
        print("\n\n".join(map(_described, images)))
    else:
        print("no image is in the cache; `tmem image build` makes one", file=sys.stderr)
    return 0


def run_clean(options: argparse.Namespace) -> int:
    """Removes what is out of date, or everything."""
    cache = image_cache()
    current = {image.hash for image in cache.images() if is_current(image)}
    removed = 0
    for hash_ in sorted(cache.hashes() - (set() if options.all else current)):
        image = cache.find(hash_)
        if image is not None and in_use(image.path):
            print(f"{hash_[:8]} is the disk of a running guest and stays", file=sys.stderr)
        elif cache.remove(hash_):
            removed += 1
        else:
            print(f"{hash_[:8]} is being built and stays", file=sys.stderr)
    if options.all:
        for hash_ in sorted(cache.roots.hashes()):
            if not cache.roots.remove(hash_):
                print("a Debian root is being made and stays", file=sys.stderr)
    print(f"{count(removed, 'image')} removed")
    return 0


def _facts(image: Image) -> dict[str, object]:
    return {
        "hash": image.hash,
        "path": str(image.path),
        "bytes": image.path.stat().st_size,
        "kernels": image.kernels,
        "made": image.made,
        "current": is_current(image),
    }


def _described(image: Image) -> str:
    return table(
        [
            ("image", str(image.path)),
            ("size", size(image.path.stat().st_size)),
            ("kernels", ", ".join(image.kernels) or "none"),
            ("made", image.made),
            ("current", "yes" if is_current(image) else "no: `tmem image build` makes a new one"),
        ]
    )
