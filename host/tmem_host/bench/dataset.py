# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages that benchmarks store: those of regular files, as a page cache would hold them."""

import hashlib
import os
import stat
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tmem_host.bench.errors import BenchError
from tmem_host.native import PAGE_BYTES

ROOTS = ("/usr/bin", "/usr/share/doc", "/usr/lib")

_HANDLE = struct.Struct("=II")


@dataclass(frozen=True)
class DataSet:
    """What was gathered. All sizes are in bytes."""

    roots: tuple[str, ...]
    files: int
    pages: int
    content_bytes: int
    """of the files, without the zeros that fill their last pages"""
    sha256: str
    """of the list of files: path, size and SHA-256 of the contents of each, in order"""
    unreadable: int
    """files left out because this user may not read them"""


def files(roots: Sequence[str]) -> Iterator[str]:
    """The regular files below each root, root by root, sorted by the bytes of their paths.

    Links are not followed; of several names for one file the first counts; empty files have no
    pages and are left out.
    """
    seen: set[tuple[int, int]] = set()
    for root in roots:
        found = []
        for folder, _, names in os.walk(root):
            found += [os.path.join(folder, name) for name in names]
        for path in sorted(found, key=os.fsencode):
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                continue
            key = (status.st_dev, status.st_ino)
            if stat.S_ISREG(status.st_mode) and status.st_size > 0 and key not in seen:
                seen.add(key)
                yield path


def gather(folder: Path, size_bytes: int, roots: Sequence[str] = ROOTS) -> DataSet:
    """Writes `size_bytes` of pages to the files `pages` and `handles` of `folder`.

    `handles` has two 32-bit numbers for each page: which file it is from, and which page of it.
    The last page of a file is filled with zeros; the last file is cut where the set is complete.
    Raises BenchError if there are not as many pages.
    """
    wanted = size_bytes // PAGE_BYTES
    pages = count = content_bytes = unreadable = 0
    listing = hashlib.sha256()
    with open(folder / "pages", "wb") as data, open(folder / "handles", "wb") as handles:
        for path in files(roots):
            if pages == wanted:
                break
            try:
                with open(path, "rb") as file:
                    contents = file.read((wanted - pages) * PAGE_BYTES)
            except PermissionError:
                unreadable += 1
                continue
            added = -(-len(contents) // PAGE_BYTES)
            data.write(contents)
            data.write(bytes(added * PAGE_BYTES - len(contents)))
            handles.write(b"".join(_HANDLE.pack(count, index) for index in range(added)))
            digest = hashlib.sha256(contents).hexdigest()
            listing.update(b"%s\0%d\0%s\n" % (os.fsencode(path), len(contents), digest.encode()))
            pages += added
            count += 1
            content_bytes += len(contents)
    if pages < wanted:
        raise BenchError(
            f"the data set is too small: the files of {', '.join(roots)} make {pages} pages,"
            f" {wanted} are needed; ask for less with --size"
        )
    return DataSet(tuple(roots), count, pages, content_bytes, listing.hexdigest(), unreadable)
