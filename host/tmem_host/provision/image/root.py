# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian root of an image, by mmdebstrap."""

import hashlib
import json
import os
import pwd
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tmem_host.provision import apt
from tmem_host.provision.cache import need_space
from tmem_host.provision.errors import ProvisionError
from tmem_host.provision.image import scratch, squashfs
from tmem_host.provision.image.cache import Root, RootCache
from tmem_host.provision.processes import require, watch
from tmem_host.provision.progress import Progress, Task

SUITE = "bookworm"
# Raise it when the steps below change what comes out of equal inputs.
_RECIPE = 1
# The unpacked root, and its archive with room for the squashfs.
_NEEDED_TEMPORARY_BYTES = 1 << 30
_NEEDED_BYTES = 1 << 29
_STEPS = 11
_TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "mksquashfs": "squashfs-tools",
    "setpriv": "util-linux",
}


def key(folder: Path) -> str:
    """The hash of what decides which packages are in the root, and how they are set up.

    `folder` is vm-configs/image. The packages' versions are not known before it is made.
    """
    parts = {
        "recipe": _RECIPE,
        "suite": SUITE,
        "packages": listed(folder / "packages.txt"),
        "dpkg": listed(folder / "dpkg.txt"),
        "customize": (folder / "customize").read_text(encoding="utf-8"),
        "squashfs": squashfs.OPTIONS,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def listed(path: Path) -> list[str]:
    """The first word of each line; `#` begins a comment."""
    lines = (line.partition("#")[0].split() for line in path.read_text("utf-8").splitlines())
    return [words[0] for words in lines if words]


def make(folder: Path, cache: RootCache, progress: Progress, *, fresh: bool = False) -> Root:
    """The root that `folder` describes, from the cache unless it shall be `fresh`.

    ProvisionError, in one sentence, if a tool, a package or space is missing, or this user may not
    make one.
    """
    hash_ = key(folder)
    if not fresh and (root := cache.find(hash_)):
        return root
    require(_TOOLS)
    if os.geteuid() != 0:
        _require_namespaces()
    found_before = cache.find(hash_)
    with cache.lock(hash_, progress, "makes this Debian root"):
        root = cache.find(hash_)
        # Another process that had the lock may have made it just now.
        if root is not None and (not fresh or root != found_before):
            return root
        need_space("making a Debian root", Path(tempfile.gettempdir()), _NEEDED_TEMPORARY_BYTES)
        need_space("making a Debian root", cache.root, _NEEDED_BYTES)
        log = cache.log(hash_)
        with cache.workplace(hash_) as workplace:
            archive, staged = workplace / "root.tar", workplace / "staged"
            staged.mkdir()
            with progress.task("making the Debian root", _STEPS) as task:
                bootstrap(
                    archive,
                    log,
                    task,
                    name=f"tmem-root-{hash_[:16]}",
                    packages=listed(folder / "packages.txt"),
                    dpkg_options=listed(folder / "dpkg.txt"),
                    # The text and not the path: in a namespace this user's files may be out of
                    # reach.
                    hooks=[(folder / "customize").read_text(encoding="utf-8")],
                )
            with progress.task("compressing the Debian root"):
                squashfs.from_archive(archive, staged / "root.squashfs", log)
            with open(staged / "root.squashfs", "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            made = datetime.now(UTC).isoformat(timespec="seconds")
            return cache.add(staged, hash_, Root(cache.place(hash_), digest, made))


def bootstrap(
    archive: Path,
    log: Path,
    task: Task,
    *,
    name: str,
    packages: Sequence[str],
    dpkg_options: Sequence[str],
    hooks: Sequence[str],
    with_sources: bool = False,
) -> None:
    """Makes a minimal Debian with `packages` as a tar archive; ProvisionError.

    Each of `hooks` is a shell script that is run with the root's path as its argument; they may
    fetch source packages if `with_sources`. `name` is that of a temporary directory.
    """
    sources = apt.sources(SUITE)
    if with_sources:
        sources += [f"deb-src {line.removeprefix('deb ')}" for line in sources]
    command = [
        "mmdebstrap",
        "--variant=minbase",
        "--format=tar",
        # For root too: mounts and processes of an unfinished root vanish with their namespaces.
        "--mode=unshare",
        f"--include={','.join(packages)}",
        *(f"--dpkgopt={option}" for option in dpkg_options),
        *(f"--aptopt={option}" for option in apt.acquire_options()),
        *(f"--customize-hook={hook}" for hook in hooks),
        SUITE,
        str(archive),
        *sources,
    ]
    with open(log, "w", encoding="utf-8") as said:

        def each_line(line: str) -> None:
            print(line, file=said, flush=True)
            if line.startswith("I: "):
                task.advance()

        with scratch.directory(name) as temporary:
            status = watch(
                command,
                each_line,
                cwd=Path("/"),
                env={**os.environ, "LC_ALL": "C", "TMPDIR": str(temporary)},
                complaints=subprocess.STDOUT,
            )
    if status != 0:
        raise ProvisionError(f"cannot make the Debian root: {_reason(log)}; {log} says more")


def _reason(log: Path) -> str:
    """The line of the log that says most."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    tells: list[Callable[[str], bool]] = [
        lambda line: "No space left on device" in line,
        lambda line: line.startswith("E: ") and "failed" not in line,
        lambda line: line.startswith("E: "),
        lambda line: bool(line.strip()),
    ]
    for tell in tells:
        for line in lines:
            if tell(line):
                return line.removeprefix("E: ").strip()
    return "mmdebstrap failed"


def _require_namespaces() -> None:
    """What mmdebstrap needs to work for an ordinary user; ProvisionError if it is not there."""
    name = pwd.getpwuid(os.geteuid()).pw_name
    advice = "or run as root"
    require({"newuidmap": "uidmap", "unshare": "util-linux"})
    for path in ("/etc/subuid", "/etc/subgid"):
        text = Path(path).read_text(encoding="utf-8") if os.path.exists(path) else ""
        if not any(line.split(":")[0] in (name, str(os.geteuid())) for line in text.splitlines()):
            raise ProvisionError(
                f"the user {name} has no range of ids in {path}; run as root:"
                f" usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}, {advice}"
            )
    if subprocess.run(["unshare", "-U", "true"], capture_output=True, check=False).returncode != 0:
        raise ProvisionError(
            f"this system does not let the user {name} make user namespaces; run as root:"
            f" sysctl kernel.unprivileged_userns_clone=1, {advice}"
        )
