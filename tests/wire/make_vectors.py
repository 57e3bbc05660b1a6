# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the golden vectors: `python -m tests.wire.make_vectors` from the top of the tree.

Only a new version of the protocol is a reason to run it again.
"""

import json
from pathlib import Path
from typing import Any

import msgpack

from tests.wire.reference import Message

PATH = Path(__file__).parent / "vectors.json"
BOOT_ID = bytes(range(16))
UUID = bytes.fromhex("a1b2c3d4e5f60718293a4b5c6d7e8f90")
KEY = 0x0123_4567_89AB_CDEF
SESSION = 0x5E55_1014
OID = (0x0000_0000_0001_2345, 0x89AB_CDEF, 0)
PAGE = bytes(index * 7 % 251 for index in range(4096))
REPLY, CUMULATIVE, AHEAD, PRESENCE, TOKEN = 1, 2, 4, 8, 16


def cases() -> dict[str, tuple[Message, int]]:
    """Messages by name, with the key that they are sent with."""
    hello = {
        "version_min": 1,
        "version_max": 1,
        "page_bytes": 4096,
        "boot_id": BOOT_ID,
        "implementation": "kvm-tmem 0.1.0",
    }
    offer = {
        "verdict": 2,
        "version_min": 1,
        "version_max": 1,
        "version": 1,
        "implementation": "kvm-tmem 0.1.0",
        "session": SESSION,
        "key": KEY,
        "epoch": 1,
        "lease_ms": 1000,
        "expel_ms": 2000,
        "giveup_ms": 4000,
        "rejoin": True,
    }

    def of_session(op: int, tag: int, **rest: Any) -> tuple[Message, int]:
        return Message(op, tag=tag, session=SESSION, **rest), KEY

    return {
        "hello": (Message(32, tag=0xC0FF_EE01, payload=msgpack.packb(hello)), 0),
        "hello reply": (
            Message(32, REPLY, tag=0xC0FF_EE01, payload=msgpack.packb(offer)),
            0,
        ),
        "start": of_session(33, 0),
        "start reply": of_session(33, 0, flags=REPLY, status=1),
        "new shared pool": of_session(1, 1, index=1 << 24 | 2, payload=UUID),
        "new shared pool reply": of_session(1, 1, flags=REPLY, pool=7, index=2),
        "put": of_session(4, 2, pool=7, index=9, oid=OID, payload=PAGE),
        "put reply": of_session(4, 2, flags=REPLY | CUMULATIVE, status=1),
        "put refused": of_session(4, 2, flags=REPLY, status=-122),
        "get": of_session(5, 3, flags=PRESENCE, status=8, pool=7, index=9, oid=OID),
        "get hit": of_session(
            5,
            3,
            flags=REPLY | PRESENCE | TOKEN,
            status=1,
            index=9,
            oid=(0x200, 0, 0xFEED_FACE_CAFE_F00D),
            payload=PAGE,
        ),
        "get ahead": of_session(5, 3, flags=REPLY | AHEAD, status=1, index=10, payload=PAGE),
        "flush range": of_session(16, 4, pool=7, status=512, index=1 << 40, oid=OID),
        "echo": of_session(34, 0xFFFF_FFFF, index=0xFEED_FACE_CAFE_F00D),
        "pools reply": of_session(
            37, 5, flags=REPLY, payload=b"".join(n.to_bytes(4, "little") for n in (7, 9, 12))
        ),
        "bye": of_session(35, 41, flags=REPLY, status=-108),
    }


def vectors() -> list[dict[str, Any]]:
    """The vectors as the file has them. A page is told by its beginning; it is PAGE."""
    chain, result = 0, []
    for name, (message, key) in cases().items():
        data = message.encode(key)
        head = data[:64] if message.payload == PAGE else data
        vector: dict[str, Any] = {"name": name, "key": f"{key:#x}", "hex": head.hex()}
        if message.payload == PAGE:
            vector["tail"] = data[-8:].hex()
        if message.op not in (32, 33, 35) and not message.flags & REPLY:
            chain = message.chain(chain)
            vector["chain"] = f"{chain:#x}"
        result.append(vector)
    return result


if __name__ == "__main__":
    PATH.write_text(json.dumps(vectors(), indent=1) + "\n", encoding="utf-8")
