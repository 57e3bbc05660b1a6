# SPDX-License-Identifier: GPL-2.0-or-later
"""Images for the tests: the guests' own, and one whose Debian root is made in a moment."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.provision.tiny_build import TinyBuild
from tmem_host.provision.image import Image, ImageCache, build, image_cache
from tmem_host.provision.image import root as root_module
from tmem_host.provision.image.cache import Root
from tmem_host.provision.kernel import Kernel, KernelCache, find, kernel_cache
from tmem_host.provision.paths import source_root

PARTS = ("vm-configs/image", "guest", "shim", "c")
MODULES = ("tmem_hooks", "tmem_transport")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageCache:
    """An empty cache, which the code under test finds by itself."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return image_cache()


@pytest.fixture
def tiny_root(cache: ImageCache, tmp_path: Path) -> Root:
    """A root with one file, in the cache in place of Debian's."""
    folder, staged = tmp_path / "root", tmp_path / "staged"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/hostname").write_text("tiny\n")
    staged.mkdir()
    squashfs = str(staged / "root.squashfs")
    subprocess.run(["mksquashfs", str(folder), squashfs, "-quiet", "-no-progress"], check=True)
    hash_ = root_module.key(source_root() / "vm-configs/image")
    return cache.roots.add(staged, hash_, Root(cache.roots.place(hash_), "tiny", "today"))


@pytest.fixture
def make_kernel(cache: ImageCache, tmp_path: Path) -> Callable[[str], Kernel]:
    """Adds a kernel of the given version, with one module and a build folder, to the cache."""
    kernels: KernelCache = kernel_cache()

    def make(version: str) -> Kernel:
        staged = kernels.root / "staged"
        modules = staged / "modules/lib/modules" / version
        modules.mkdir(parents=True)
        (modules / "modules.dep").touch()
        (modules / "module.txt").write_text(f"a module of {version}")
        TinyBuild(staged / "build", tmp_path / "notes", MODULES)
        hash_ = f"hash-of-{version}"
        place = kernels.place(hash_)
        return kernels.add(staged, Kernel(place, hash_, version, True, False, "nothing", ()))

    return make


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources of an image, to be changed, in the place of the real ones."""
    tree = tmp_path / "tree"
    for part in PARTS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source_root() / part, tree / part, ignore=ignored)
    monkeypatch.setattr(sys.modules[build.__module__], "source_root", lambda: tree)
    return tree


def listing(image: Path) -> dict[str, str]:
    """The files of a squashfs: what `ls -l` says before each path."""
    done = subprocess.run(
        ["unsquashfs", "-lln", str(image)], capture_output=True, text=True, check=True
    )
    lines = (line.split("squashfs-root", 1) for line in done.stdout.splitlines())
    return {parts[1]: parts[0] for parts in lines if len(parts) == 2}


def contents(image: Path, path: str) -> str:
    """What is in a file of a squashfs."""
    done = subprocess.run(
        ["unsquashfs", "-cat", str(image), path], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture(scope="session")
def kernel() -> Kernel:
    """The kernel that guests boot; built by `make kernel`."""
    kernel = find()
    if kernel is None:
        pytest.skip("the guest kernel is not in the cache; make kernel builds it")
    return kernel


@pytest.fixture(scope="session")
def guest_image(kernel: Kernel) -> Image:
    """What guests run, from the user's cache; a minute or two if it is not there."""
    return build(kernels=[kernel])


@pytest.fixture
def unattended() -> Iterator[None]:
    """Nothing of a root that was not finished may stay mounted."""
    before = _mounts()
    yield
    assert _mounts() == before


def _mounts() -> set[str]:
    with open("/proc/self/mounts") as mounts:
        return {line.split()[1] for line in mounts if "mmdebstrap" in line}


def works_in(folder: Path) -> bool:
    """Whether a process has its root or working directory below `folder`."""
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cwd", "root"):
            try:
                # a zombie has none
                if Path(os.readlink(process / name)).is_relative_to(folder):
                    return True
            except OSError:
                continue
    return False
