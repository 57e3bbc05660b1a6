# SPDX-License-Identifier: GPL-2.0-or-later
"""The project's own files of an image, and the kernels' modules: what is below /tmem."""

import compileall
import hashlib
import json
import os
import py_compile
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tmem_host.provision.errors import ProvisionError
from tmem_host.provision.kernel import Kernel, Modules, ModuleSources
from tmem_host.provision.processes import output_of

# The Python of Debian 12. Another one's compiled files are of no use there.
_GUEST_PYTHON = "cpython-311"
_PACKAGES = {"tmem_guest": "guest/tmem_guest", "tmem_shim": "shim/tmem_shim"}
_MOUNT_POINTS = ("overlay", "root")


@dataclass(frozen=True)
class File:
    """A file of the source tree, and where it goes below /tmem."""

    target: Path
    source: Path

    def identity(self) -> list[str | bool]:
        """What decides how it comes out."""
        executable = os.access(self.source, os.X_OK)
        digest = hashlib.sha256(self.source.read_bytes()).hexdigest()
        return [str(self.target), executable, digest]


def files(source_root: Path) -> list[File]:
    """The project's files in an image: init and its helpers, and the guest's Python packages with
    the shim's extension once that is built. The engine is none of them."""
    return sorted(_files(source_root), key=lambda file: file.target)


def _files(source_root: Path) -> Iterator[File]:
    scripts = source_root / "vm-configs/image/tmem"
    for path in scripts.rglob("*"):
        if path.is_file():
            yield File(path.relative_to(scripts), path)
    for name, folder in _PACKAGES.items():
        package = source_root / folder
        for path in package.rglob("*"):
            if path.suffix == ".py" or path.name.endswith(".abi3.so"):
                yield File(Path("python", name) / path.relative_to(package), path)


def key(files_: Sequence[File], modules: ModuleSources) -> str:
    """The hash of the files, and of what the project's modules are built from."""
    parts = [_compiles(), modules.key, *(file.identity() for file in files_)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def stage(files_: Sequence[File], kernels: Sequence[tuple[Kernel, Modules]], folder: Path) -> None:
    """Makes `folder`, which must be new, what /tmem of the image shall be; `kernels` each with
    the project's modules for it."""
    for name in _MOUNT_POINTS:
        (folder / name).mkdir(parents=True)
    for file in files_:
        target = folder / file.target
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.source, target)
        target.chmod(0o755 if os.access(file.source, os.X_OK) else 0o644)
    if _compiles():
        # A guest could not keep what it compiles, and compiling takes it a second.
        compileall.compile_dir(
            folder / "python",
            quiet=2,
            stripdir=folder,
            prependdir="/tmem",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    (folder / "modules").mkdir()
    for kernel, own in kernels:
        modules = kernel.modules / "lib/modules" / kernel.version
        if not (modules / "modules.dep").is_file():
            raise ProvisionError(
                f"the kernel {kernel.version} has no modules in {modules};"
                " remove it with `tmem kernel clean --all` and build it again"
            )
        staged = folder / "modules" / kernel.version
        shutil.copytree(modules, staged, symlinks=True)
        (staged / "extra").mkdir()
        for module in own.files:
            shutil.copyfile(module, staged / "extra" / module.name)
        _find_dependencies(folder / "modules", kernel)


def _find_dependencies(modules: Path, kernel: Kernel) -> None:
    """Writes what modprobe reads. depmod knows modules by the place that guests have them in."""
    with tempfile.TemporaryDirectory(prefix="tmem-depmod-") as base:
        (Path(base) / "lib").mkdir()
        (Path(base) / "lib/modules").symlink_to(modules.absolute())
        output_of(["depmod", "--basedir", base, kernel.version])


def _compiles() -> bool:
    return sys.implementation.cache_tag == _GUEST_PYTHON
