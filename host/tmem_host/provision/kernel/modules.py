# SPDX-License-Identifier: GPL-2.0-or-later
"""The project's own kernel modules, built for a kernel in the cache."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tmem_host.provision.cache import need_space
from tmem_host.provision.errors import ProvisionError
from tmem_host.provision.kernel.build import compiler, kernel_cache
from tmem_host.provision.kernel.cache import Kernel
from tmem_host.provision.kernel.make import Make
from tmem_host.provision.processes import output_of, require
from tmem_host.provision.progress import Progress, Silent

# Raise it when the steps below change what comes out of equal inputs.
_RECIPE = 1
# What the modules are compiled from; folders of that name below them are for user space alone.
_FOLDERS = ("c/hooks", "c/include", "c/kmod", "c/shim", "c/wire")
_USER_SPACE = "user"
_MODULES = Path("c/kmod")
_NEEDED_BYTES = 64 << 20
_TOOLS = {"make": "make", "setpriv": "util-linux", "strip": "binutils"}


@dataclass(frozen=True)
class ModuleSources:
    """What the modules are compiled from, as it was at one moment."""

    files: Mapping[Path, bytes]
    """The contents by the path in the checkout."""
    key: str
    """The hash of all of it, and of how it is built."""


@dataclass(frozen=True)
class Modules:
    """The modules for one kernel."""

    directory: Path
    hash: str

    @property
    def files(self) -> list[Path]:
        """One file for each module, named after it."""
        return sorted(self.directory.glob("*.ko"))


def module_sources(source_root: Path) -> ModuleSources:
    """Reads the sources of the modules from a checkout."""
    files = {
        path.relative_to(source_root): path.read_bytes() for path in sorted(_sources(source_root))
    }
    digests = {str(path): hashlib.sha256(text).hexdigest() for path, text in files.items()}
    return ModuleSources(files, _hash([_RECIPE, digests]))


def _sources(source_root: Path) -> Iterator[Path]:
    for folder in _FOLDERS:
        for path in (source_root / folder).rglob("*"):
            # the first is what a build within the checkout leaves
            if path.name.endswith(".mod.c") or path.parent.name == _USER_SPACE:
                continue
            if path.suffix in (".c", ".h") or path.name == "Kbuild":
                yield path


def modules_key(kernel: Kernel, sources: ModuleSources) -> str:
    """The hash of everything that decides how the modules for `kernel` come out."""
    return _hash([kernel.hash, sources.key, compiler()])


def build_modules(
    kernel: Kernel,
    sources: ModuleSources,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Modules:
    """The modules for `kernel`, from the cache if they were built before.

    The checkout is not written to, and a warning of the compiler is an error. A second call for
    the same kernel waits for the first. ProvisionError, in one sentence, if a tool or space is
    missing; BuildFailed with the compiler's lines. Whatever happens, modules are in the cache all
    or not at all.
    """
    progress = progress or Silent()
    kernels = kernel_cache()
    cache = kernels.modules
    hash_ = modules_key(kernel, sources)
    built = Modules(cache.place(hash_), hash_)
    if built.directory.is_dir():
        return built
    require(_TOOLS)
    # The lock and the place are the kernel's: objects of the same path come from ccache.
    with cache.lock(kernel.hash, progress, f"builds modules for {kernel.version}"):
        if built.directory.is_dir():
            return built
        need_space("building modules", cache.root, _NEEDED_BYTES)
        log = cache.log(hash_)
        log.unlink(missing_ok=True)
        with (
            cache.workplace(kernel.hash) as workplace,
            progress.task(f"building modules for {kernel.version}"),
        ):
            for path, text in sources.files.items():
                (workplace / path).parent.mkdir(parents=True, exist_ok=True)
                (workplace / path).write_bytes(text)
            make = Make(
                kernel.build,
                log,
                jobs=jobs or len(os.sched_getaffinity(0)),
                ccache=kernels.objects,
                what=f"modules for {kernel.version}",
                writes_to=workplace,
            )
            # Names of source files are in messages and warnings of the kernel.
            flags = f"KCFLAGS=-Werror -ffile-prefix-map={workplace}/="
            make.run(f"M={workplace / _MODULES}", flags, "modules")
            _stage(workplace)
            cache.put(workplace / "modules", hash_)
    return built


def _stage(workplace: Path) -> None:
    staged = workplace / "modules"
    staged.mkdir()
    order = workplace / _MODULES / "modules.order"
    for line in order.read_text(encoding="utf-8").splitlines():
        module = Path(line)
        if (staged / module.name).exists():
            raise ProvisionError(f"two modules are called {module.stem}; see {_MODULES}")
        output_of(["strip", "--strip-debug", "-o", staged / module.name, module])


def _hash(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
