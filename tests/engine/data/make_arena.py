# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes `arena-v1.gz`, an arena as this version of the engine writes it, and says what is in it.

    python -m tests.engine.data.make_arena

Run it again only when the format has a new version, under a new name: the point of the old image is
that binaries to come go on opening it. `test_format.py` compares what it opens with CONTENTS.
"""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from typing import Final
from uuid import UUID

from tests.engine.pages import INDEX_MAX, Kind, page
from tests.engine.system import Oid
from tmem_host.native import Client, Encoding, Engine

IMAGE: Final = Path(__file__).with_name("arena-v1.gz")
EXTENT_BYTES: Final = 16 << 10
MAX_BYTES: Final = 16 << 20
SHARED: Final = UUID("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9")

CLIENTS: Final = ("first", "second")
SETTINGS: Final = {
    "first": {"weight": 3, "cap_bytes": 8 << 20, "dedup": True, "trust_group": 7},
    "second": {"persistent_quota_bytes": 4 << 20, "encoding": Encoding.ZSTD, "frozen": True},
}

# (client, position of the pool, oid, index): the page. Pools: persistent, ephemeral, shared.
Handle = tuple[str, int, Oid, int]
CONTENTS: Final[dict[Handle, bytes]] = {
    ("first", 0, (1, 2, 3), 0): page(Kind.SAME, 0),
    ("first", 0, (1, 2, 3), 1): page(Kind.SAME, 42),
    ("first", 0, (1, 2, 3), INDEX_MAX): page(Kind.TINY, 1),
    ("first", 0, (2**64 - 1, 0, 2**63), 5): page(Kind.MEDIUM, 1),
    ("first", 0, (4, 4, 4), 0): page(Kind.RANDOM, 1),
    ("first", 0, (5, 5, 5), 0): page(Kind.MEDIUM, 1),
    ("first", 1, (1, 2, 3), 0): page(Kind.TINY, 2),
    ("first", 2, (6, 6, 6), 0): page(Kind.SMALL, 3),
    ("second", 0, (1, 2, 3), 0): page(Kind.SMALL, 1),
    ("second", 0, (1, 2, 3), 1): page(Kind.SMALL, 2),
    ("second", 1, (1, 2, 3), 2**40): page(Kind.TINY, 3),
    ("second", 2, (6, 6, 6), 1): page(Kind.TINY, 4),
}
# What was there and is not any more.
FLUSHED: Final[tuple[Handle, ...]] = (
    ("first", 0, (1, 2, 3), 2),
    ("second", 0, (9, 9, 9), 0),
    ("second", 1, (9, 9, 9), 0),
)


def furnish(client: Client) -> None:
    """Makes the client's three pools, what was flushed and what is to stay."""
    client.auth_add(SHARED)
    pools = [client.new_pool(persistent=True), client.new_pool(), client.new_pool(shared=SHARED)]
    for name, number, oid, index in FLUSHED:
        if name == client.name:
            assert pools[number].put(oid, index, page(Kind.SMALL, 9))
            pools[number].flush_page(oid, index)
    for (name, number, oid, index), contents in CONTENTS.items():
        if name == client.name:
            assert pools[number].put(oid, index, page(Kind.TINY, 99))  # to be replaced
            assert pools[number].put(oid, index, contents)


def make() -> bytes:
    """The bytes of the arena."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        path = Path(directory) / "arena"
        with Engine(
            path, budget_bytes=1 << 20, max_bytes=MAX_BYTES, extent_bytes=EXTENT_BYTES
        ) as engine:
            for name in CLIENTS:
                client = engine.create_client(name)
                client.set(**{**SETTINGS[name], "frozen": False})  # type: ignore[arg-type]
                furnish(client)
                client.set(**SETTINGS[name])  # type: ignore[arg-type]
        # What lies behind the last extent in use is a hole: no need to carry it.
        return path.read_bytes().rstrip(b"\0")


if __name__ == "__main__":
    IMAGE.write_bytes(gzip.compress(make(), 9, mtime=0))
