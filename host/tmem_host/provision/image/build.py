# SPDX-License-Identifier: GPL-2.0-or-later
"""From a Debian root, the project's files and kernels to an image in the cache."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tmem_host.provision.cache import need_space
from tmem_host.provision.errors import ProvisionError
from tmem_host.provision.image import project, root, squashfs
from tmem_host.provision.image.cache import Image, ImageCache
from tmem_host.provision.kernel import Kernel, build_modules, kernel_cache, module_sources
from tmem_host.provision.kernel.build import current_hashes
from tmem_host.provision.paths import cache_directory, source_root
from tmem_host.provision.processes import require
from tmem_host.provision.progress import Progress, Silent

# Raise it when the steps below change what comes out of equal inputs.
_RECIPE = 2
_TOOLS = {"depmod": "kmod", "mksquashfs": "squashfs-tools", "setpriv": "util-linux"}
_NEEDED_BYTES = 1 << 29


def image_cache() -> ImageCache:
    """The cache of this user."""
    return ImageCache(cache_directory() / "image")


def build(
    *, kernels: Sequence[Kernel], fresh: bool = False, progress: Progress | None = None
) -> Image:
    """The image with the modules of all `kernels`, from the cache if it was built before.

    `fresh` makes a new Debian root, with the packages of today. A second call for the same image
    waits for the first. ProvisionError, in one sentence, if a tool, a package or space is missing.
    Whatever happens, an image is in the cache whole or not at all.
    """
    try:
        return _build(kernels, fresh, progress or Silent())
    except OSError as error:
        where = error.filename2 or error.filename or cache_directory()
        raise ProvisionError(f"cannot build an image: {where}: {error.strerror}") from error


def build_for(kernel: Kernel, *, progress: Progress | None = None) -> Image:
    """The image with which `kernel` is booted.

    All kernels that are up to date share one: what became of others is not its business. As build.
    """
    cache = kernel_cache()
    current = current_hashes(cache)
    others = [other for other in cache.kernels() if other.hash in current]
    return build(kernels=[kernel, *others], progress=progress)


def _build(kernels: Sequence[Kernel], fresh: bool, progress: Progress) -> Image:
    cache = image_cache()
    base = root.make(_folder(), cache.roots, progress, fresh=fresh)
    files = project.files(source_root())
    sources = module_sources(source_root())
    chosen = sorted({kernel.hash: kernel for kernel in kernels}.values(), key=lambda k: k.version)
    own = project.key(files, sources)
    hash_ = _key(base.digest, own, chosen)
    if image := cache.find(hash_):
        return image
    require(_TOOLS)
    with_modules = [
        (kernel, build_modules(kernel, sources, progress=progress)) for kernel in chosen
    ]
    with cache.lock(hash_, progress, "builds this image"):
        if image := cache.find(hash_):
            return image
        need_space("building an image", cache.root, _NEEDED_BYTES)
        log = cache.log(hash_)
        log.unlink(missing_ok=True)
        with (
            cache.workplace(hash_) as workplace,
            progress.task("adding the project's files and modules"),
        ):
            folder, staged = workplace / "files", workplace / "staged"
            staged.mkdir()
            project.stage(files, with_modules, folder / "tmem")
            squashfs.with_folder(base.path, folder, staged / "image.squashfs", log)
            image = Image(
                directory=cache.place(hash_),
                hash=hash_,
                root=base.digest,
                project=own,
                kernels=tuple(kernel.version for kernel in chosen),
                made=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            return cache.add(staged, image)


def is_current(image: Image) -> bool:
    """Whether `build` would make it of today's files, for the kernels that it was made for."""
    base = image_cache().roots.find(root.key(_folder()))
    return (
        base is not None
        and image.root == base.digest
        and image.project
        == project.key(project.files(source_root()), module_sources(source_root()))
    )


def _folder() -> Path:
    return source_root() / "vm-configs/image"


def _key(base: str, own: str, kernels: Sequence[Kernel]) -> str:
    parts = [_RECIPE, base, own, [[kernel.version, kernel.hash] for kernel in kernels]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
