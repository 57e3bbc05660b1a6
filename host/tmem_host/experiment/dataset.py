# SPDX-License-Identifier: GPL-2.0-or-later
"""The files that guests read: made from a seed, the same on every machine."""

import io
import json
import random
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tmem_host.experiment.settings import DataSettings

PAGE_BYTES = 4096
# Raise it when the same settings yield other contents.
RECIPE = 1


@dataclass(frozen=True)
class DataFile:
    """A file of a data set."""

    path: str
    contents: bytes


def make(data: DataSettings, seed: int) -> Iterator[DataFile]:
    """The files, one after the other.

    Each page has a random part and zeros, so that it shrinks by its `compressible` share;
    a `duplicates` share of the pages are copies of earlier ones.
    """
    rng = random.Random(f"data {seed}")
    random_bytes = PAGE_BYTES - int(PAGE_BYTES * data.compressible)
    pages = data.size // PAGE_BYTES
    kept: list[bytes] = []
    for number in range(data.files):
        count = pages * (number + 1) // data.files - pages * number // data.files
        contents = io.BytesIO()
        for _ in range(count):
            if kept and rng.random() < data.duplicates:
                page = rng.choice(kept)
            else:
                page = rng.randbytes(random_bytes) + bytes(PAGE_BYTES - random_bytes)
                if data.duplicates:
                    kept.append(page)
            contents.write(page)
        yield DataFile(f"data/{number:05}", contents.getvalue())


def write_tar(data: DataSettings, seed: int, record_bytes: int, tar: Path, manifest: Path) -> None:
    """Writes the files as an archive, and what tmem_guest.workloads.files verifies them by.

    OSError if they cannot be written.
    """
    described: list[dict[str, Any]] = []
    with tarfile.open(tar, "w", format=tarfile.USTAR_FORMAT) as archive:
        for file in make(data, seed):
            member = tarfile.TarInfo(file.path)
            member.size = len(file.contents)
            archive.addfile(member, io.BytesIO(file.contents))
            described.append(
                {
                    "path": file.path,
                    "size_bytes": len(file.contents),
                    "records": [
                        zlib.crc32(file.contents[at : at + record_bytes])
                        for at in range(0, len(file.contents), record_bytes)
                    ],
                }
            )
    manifest.write_text(json.dumps({"record_bytes": record_bytes, "files": described}))
