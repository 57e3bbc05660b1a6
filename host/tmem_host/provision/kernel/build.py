# SPDX-License-Identifier: GPL-2.0-or-later
"""From source, configuration and patches to a kernel in the cache."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tmem_host.provision.cache import need_space
from tmem_host.provision.errors import ProvisionError
from tmem_host.provision.kernel import config, patches
from tmem_host.provision.kernel.cache import Kernel, KernelCache
from tmem_host.provision.kernel.make import Make
from tmem_host.provision.kernel.patches import Patch
from tmem_host.provision.kernel.source import Source, kept_package, package_source, tree_source
from tmem_host.provision.paths import cache_directory, source_root
from tmem_host.provision.processes import output_of, require
from tmem_host.provision.progress import Progress, Silent

# Raise it when the steps below change what comes out of equal inputs.
RECIPE = 2
TARGETS = ("bzImage", "modules")
# An unpacked source, its objects and what is kept of them, with room to spare.
NEEDED_BYTES = 2 << 30
NEEDED_DEBUG_BYTES = 3 << 30

_COMPILER = {"gcc": "gcc", "ld": "binutils"}
_TOOLS = {
    "bc": "bc",
    "bison": "bison",
    "depmod": "kmod",
    "flex": "flex",
    "lz4": "lz4",
    "make": "make",
    "patch": "patch",
    "setpriv": "util-linux",
    "tar": "tar",
    "xz": "xz-utils",
}


def kernel_cache() -> KernelCache:
    """The cache of this user."""
    return KernelCache(cache_directory() / "kernel")


def build(
    *,
    patched: bool = True,
    debug: bool = False,
    source: Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Kernel:
    """The guest kernel, from the cache if it was built before.

    `patched` with the cures of vm-configs/kernel/patches; `debug` with the kernel's own checks;
    `source` a tree of 5.10 to 5.16 instead of Debian's package; `jobs` at a time, by default one
    for each processor. A second call for the same kernel waits for the first.
    ProvisionError, in one sentence, if a tool, a patch, an option or space is missing; BuildFailed
    with the compiler's lines. Whatever happens, a kernel is in the cache whole or not at all.
    """
    progress = progress or Silent()
    cache = kernel_cache()
    origin = _source(source, cache, progress)
    options = wanted(debug=debug)
    cures = patches.series(_folder() / "patches") if patched else []
    hash_ = key(origin, options, cures)
    if kernel := cache.find(hash_):
        return kernel
    require(_TOOLS)
    _require_libelf()
    with cache.lock(hash_, progress, "builds this kernel"):
        if kernel := cache.find(hash_):
            return kernel
        needed_bytes = NEEDED_DEBUG_BYTES if debug else NEEDED_BYTES
        need_space("building a kernel", cache.root, needed_bytes)
        log = cache.log(hash_)
        log.unlink(missing_ok=True)
        with cache.workplace(hash_) as workplace:
            tree, staged = workplace / "tree", workplace / "kernel"
            tree.mkdir()
            staged.mkdir()
            make = Make(tree, log, jobs=jobs or len(os.sched_getaffinity(0)), ccache=cache.objects)
            with progress.task(f"unpacking {origin.name}"):
                origin.unpack(tree)
            patches.apply(cures, tree)
            # The hash makes the version unlike any other's: one image holds modules of many
            # kernels. A file and no option, since all objects are compiled with the options.
            flavour = "-tmem" + ("" if patched else "-unpatched") + ("-debug" if debug else "")
            (tree / "localversion").write_text(f"{flavour}-{hash_[:8]}\n", encoding="ascii")
            _configure(make, options, workplace)
            _compile(make, progress)
            _stage(make, tree, staged)
            return cache.add(
                staged,
                Kernel(
                    directory=cache.place(hash_),
                    hash=hash_,
                    version=_release(tree),
                    patched=patched,
                    debug=debug,
                    source=origin.name,
                    markers=tuple(marker for cure in cures for marker in cure.markers),
                ),
            )


def find(*, patched: bool = True, debug: bool = False) -> Kernel | None:
    """The kernel that `build` would make of Debian's source, if it is in the cache already."""
    cache = kernel_cache()
    source = kept_package(cache.sources)
    if source is None:
        return None
    cures = patches.series(_folder() / "patches") if patched else []
    return cache.find(key(source, wanted(debug=debug), cures))


def _require_libelf() -> None:
    # Without it the kernel's build only warns, and leaves out what its objtool would have done.
    program = subprocess.run(
        ["gcc", "-xc", "-o", os.devnull, "-", "-lelf"],
        input=b"#include <gelf.h>\nint main(void) { return elf_version(EV_CURRENT); }",
        capture_output=True,
        check=False,
    )
    if program.returncode != 0:
        raise ProvisionError("gelf.h is missing; run as root: apt-get install libelf-dev")


def _folder() -> Path:
    return source_root() / "vm-configs" / "kernel"


def _source(tree: Path | None, cache: KernelCache, progress: Progress) -> Source:
    if tree is not None:
        with progress.task(f"reading {tree}"):
            return tree_source(tree.resolve())
    if kept := kept_package(cache.sources):
        return kept
    with cache.lock("sources", progress, "downloads the kernel's source"):
        return package_source(cache.sources, progress)


def wanted(*, debug: bool) -> dict[str, str]:
    """The options that a kernel is asked to have."""
    names = ["guest.config", "debug.config"] if debug else ["guest.config"]
    return config.merged(config.read_fragment(_folder() / name) for name in names)


def key(source: Source, options: Mapping[str, str], cures: Sequence[Patch]) -> str:
    """The hash of everything that decides how the kernel comes out.

    Comments in the configuration, the order of its options and the stories of patches do not.
    """
    parts = {
        "recipe": RECIPE,
        "targets": TARGETS,
        "source": source.identity,
        "options": dict(options),
        "patches": [[cure.name, cure.diff] for cure in cures],
        "tools": compiler(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def compiler() -> list[str]:
    """The versions of what turns source into objects; ProvisionError if it is missing."""
    require(_COMPILER)
    return [output_of([tool, "--version"]).partition("\n")[0] for tool in _COMPILER]


def current_hashes(cache: KernelCache) -> set[str]:
    """The hashes of the kernels that `build` would make of Debian's source today."""
    source = kept_package(cache.sources)
    if source is None:
        return set()
    series = patches.series(_folder() / "patches")
    return {
        key(source, wanted(debug=debug), cures) for debug in (False, True) for cures in (series, [])
    }


def _configure(make: Make, options: Mapping[str, str], workplace: Path) -> None:
    fragment = workplace / "wanted.config"
    config.write(options, fragment)
    make.run(f"KCONFIG_ALLCONFIG={fragment}", "allnoconfig")
    config.verify(options, workplace / "tree" / ".config")


def _compile(make: Make, progress: Progress) -> None:
    with progress.task("preparing the kernel's build"):
        make.run("prepare", "modules_prepare")
        objects = make.count_objects()
    with progress.task("compiling the kernel", objects) as task:
        make.run(*TARGETS, on_object=task.advance)


def _stage(make: Make, tree: Path, staged: Path) -> None:
    """Copies what is kept of a tree that was built."""
    shutil.copy2(tree / "arch/x86/boot/bzImage", staged / "bzImage")
    shutil.copy2(tree / ".config", staged / "config")
    shutil.copy2(tree / "System.map", staged / "System.map")
    modules = staged / "modules"
    make.run(f"INSTALL_MOD_PATH={modules}", "INSTALL_MOD_STRIP=1", "modules_install")
    for link in modules.glob("lib/modules/*/*"):
        # They name the tree, which goes.
        if link.is_symlink():
            link.unlink()
    for path in _needed_by_modules(tree):
        target = staged / "build" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(tree / path, target, follow_symlinks=False)


def _needed_by_modules(tree: Path) -> Iterator[Path]:
    """The files of a built tree that building modules of other sources needs, relative to it."""
    single = ("Makefile", ".config", "Module.symvers", "tools/objtool/objtool")
    yield from (Path(name) for name in single if (tree / name).is_file())
    yield from (path.relative_to(tree) for path in tree.glob("arch/x86/Makefile*"))
    for top in ("include", "scripts", "arch/x86/include", "arch/x86/scripts"):
        for folder, _, names in os.walk(tree / top):
            for name in names:
                # objects are of no use, but for those that modules are linked with
                if not name.endswith((".o", ".cmd")) or name == "module-common.o":
                    yield Path(folder, name).relative_to(tree)


def _release(tree: Path) -> str:
    path = tree / "include/config/kernel.release"
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ProvisionError(f"the kernel's build left no {path.name}") from error
