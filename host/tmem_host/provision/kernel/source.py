# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a kernel's source comes from."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from tmem_host.provision import apt
from tmem_host.provision.errors import ProvisionError
from tmem_host.provision.processes import require
from tmem_host.provision.progress import Progress

PACKAGE = "linux-source-5.10"
SUITE = "bullseye"
# cleancache left in 5.17; the guest's file systems and hooks are those of 5.10 and later.
FIRST, LAST = (5, 10), (5, 16)


class Source(ABC):
    """A kernel's source as it was published."""

    def __init__(self, name: str, version: str, identity: str) -> None:
        self.name = name
        self.version = version
        self.identity = identity
        """Equal for equal contents."""

    @abstractmethod
    def unpack(self, into: Path) -> None:
        """Copies the source to the directory `into`, which is empty."""


class PackageSource(Source):
    """Debian's package of a kernel's source."""

    def __init__(self, deb: Path) -> None:
        _, version, _ = deb.name.split("_")
        identity = deb.with_suffix(".sha256").read_text(encoding="ascii")
        super().__init__(f"Debian {PACKAGE} {version}", version.rpartition("-")[0], identity)
        self._deb = deb

    def unpack(self, into: Path) -> None:
        """See Source."""
        member = f"./usr/src/{PACKAGE}.tar.xz"
        _pipe(
            ["dpkg-deb", "--fsys-tarfile", str(self._deb)],
            ["tar", "--extract", "--to-stdout", member],
            ["tar", "--extract", "--xz", "--strip-components=1", f"--directory={into}"],
        )


class TreeSource(Source):
    """A source tree of the user's. Of a git work tree, what git knows or would add."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        version = _version_of(tree)
        digest = hashlib.sha256()
        for path in self._files():
            whole = tree / path
            digest.update(os.fsencode(path))
            if whole.is_symlink():
                digest.update(b"\0l" + os.fsencode(os.readlink(whole)))
            else:
                digest.update(b"\0x" if os.access(whole, os.X_OK) else b"\0f")
                with open(whole, "rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        super().__init__(str(tree), version, digest.hexdigest())

    def unpack(self, into: Path) -> None:
        """See Source."""
        for path in self._files():
            target = into / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self._tree / path, target, follow_symlinks=False)

    def _files(self) -> Iterator[Path]:
        """The files of the tree relative to it, in an order that is always the same."""
        if (self._tree / ".git").exists():
            arguments = [
                "git",
                "-C",
                str(self._tree),
                "ls-files",
                "-z",
                "-co",
                "--exclude-standard",
            ]
            listed = subprocess.run(arguments, capture_output=True, check=True).stdout
            names = sorted(set(filter(None, listed.split(b"\0"))))
            paths = (Path(os.fsdecode(name)) for name in names)
            yield from (path for path in paths if os.path.lexists(self._tree / path))
            return
        for folder, folders, names_here in os.walk(self._tree):
            folders.sort()
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            for name in sorted(names_here + links):
                yield Path(folder, name).relative_to(self._tree)


def tree_source(tree: Path) -> TreeSource:
    """The user's `tree`. ProvisionError if it is no kernel of 5.10 to 5.16 that can be built."""
    version = _version_of(tree)
    number = tuple(map(int, version.split(".")[:2]))
    if not FIRST <= number <= LAST:
        raise ProvisionError(
            f"{tree} is Linux {version}, but cleancache and frontswap are those of"
            f" {'.'.join(map(str, FIRST))} to {'.'.join(map(str, LAST))}"
        )
    if (tree / ".config").exists() and not (tree / ".git").exists():
        raise ProvisionError(f"{tree} was built in; run `make mrproper` there first")
    return TreeSource(tree)


def _version_of(tree: Path) -> str:
    try:
        with open(tree / "Makefile", encoding="utf-8", errors="replace") as file:
            head = "".join(line for line, _ in zip(file, range(20), strict=False))
    except OSError as error:
        raise ProvisionError(
            f"{tree} is no kernel's source: {error.filename}: {error.strerror}"
        ) from error
    parts = [
        re.search(rf"^{name} = (\d+)$", head, re.M)
        for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL")
    ]
    if any(part is None for part in parts):
        raise ProvisionError(f"{tree} is no kernel's source: its Makefile names no version")
    return ".".join(part[1] for part in parts if part)


def package_source(folder: Path, progress: Progress) -> PackageSource:
    """Debian's source, kept in `folder`; downloaded if it is not there yet.

    The release is finished, so what was downloaded once stays right. The caller holds the lock of
    the sources. ProvisionError if it cannot be downloaded.
    """
    kept = kept_package(folder)
    if kept is not None:
        return kept
    require({"dpkg-deb": "dpkg"})
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="download-", dir=folder) as temporary,
        progress.task(f"downloading {PACKAGE}"),
    ):
        try:
            deb = apt.download(PACKAGE, SUITE, Path(temporary))
        except ProvisionError as error:
            raise ProvisionError(f"{error}; --source DIR takes a tree of your own") from error
        with open(deb, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        (folder / deb.with_suffix(".sha256").name).write_text(digest, encoding="ascii")
        deb.rename(folder / deb.name)
    return PackageSource(folder / deb.name)


def kept_package(folder: Path) -> PackageSource | None:
    """Debian's source if it was downloaded before."""
    kept = sorted(folder.glob(f"{PACKAGE}_*.deb"))
    return PackageSource(kept[-1]) if kept else None


def _pipe(*commands: list[str]) -> None:
    """Runs commands, each reading what the one before it prints; ProvisionError if one fails."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for number, command in enumerate(commands):
            before = running[-1].stdout if running else None
            last = number == len(commands) - 1
            running.append(
                subprocess.Popen(
                    command,
                    stdin=before or subprocess.DEVNULL,
                    stdout=None if last else subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
            if before is not None:
                before.close()
        said = [_last_line(child) for child in reversed(running)]
    finally:
        for child in running:
            child.kill()
            child.wait()
            assert child.stderr is not None
            child.stderr.close()
    for child, line, command in zip(reversed(running), said, reversed(commands), strict=True):
        if child.returncode != 0:
            raise ProvisionError(f"{command[0]} failed: {line}")


def _last_line(child: "subprocess.Popen[bytes]") -> str:
    assert child.stderr is not None
    lines = child.stderr.read().decode(errors="replace").strip().splitlines()
    child.wait()
    return lines[-1] if lines else f"exit status {child.returncode}"
