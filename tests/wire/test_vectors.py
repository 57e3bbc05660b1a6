# SPDX-License-Identifier: GPL-2.0-or-later
"""The golden vectors: what every version of every end must send and understand, byte by byte."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.wire import native
from tests.wire.make_vectors import PAGE, PATH, cases, vectors
from tests.wire.reference import Message, decode
from tmem_host.native._engine import lib

GOLDEN: list[dict[str, Any]] = json.loads(PATH.read_text(encoding="utf-8"))
CASES = cases()
PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"
by_name = pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden["name"])


def stream(golden: dict[str, Any]) -> bytes:
    """All bytes of a vector."""
    head = bytes.fromhex(golden["hex"])
    return head + PAGE + bytes.fromhex(golden["tail"]) if "tail" in golden else head


def test_the_file_is_what_the_reference_makes() -> None:
    assert vectors() == GOLDEN


@by_name
def test_the_c_code_sends_it(golden: dict[str, Any]) -> None:
    message, key = CASES[golden["name"]]
    assert native.encode(message, key) == stream(golden)


@by_name
def test_both_understand_it(golden: dict[str, Any]) -> None:
    message, key = CASES[golden["name"]]
    assert decode(stream(golden), key) == message
    decoder = native.Decoder(replies=bool(message.flags & 1))
    if message.op == lib.TMEM_OP_START:
        decoder.offer(message.session, key)
    elif message.session:
        decoder.begin(message.session, key)
    data = stream(golden)
    assert decoder.next(data) == (lib.TMEM_WIRE_FOUND, message, len(data))


def test_the_digest_is_chained() -> None:
    chain = 0
    for golden in GOLDEN:
        if "chain" in golden:
            message, _ = CASES[golden["name"]]
            chain = native.chain(message, chain)
            assert chain == int(golden["chain"], 16), golden["name"]


def test_the_digest_is_the_same_in_every_session() -> None:
    message, _ = CASES["put"]
    other = Message(**{**vars(message), "session": 1})
    assert native.chain(message, 5) == native.chain(other, 5) != native.chain(message, 6)


def test_the_document_shows_the_vectors() -> None:
    """Each worked example of docs/protocol.md is a vector."""
    text = PROTOCOL.read_text(encoding="utf-8")
    examples = re.findall(r"<!-- (.+?) -->\n```\n(.+?)```", text, re.DOTALL)
    golden = {vector["name"]: vector for vector in GOLDEN}
    assert [name for name, _ in examples] == ["hello", "start", "put", "put reply", "get"]
    for name, dump in examples:
        digits = "".join(re.findall(r"^[0-9a-f]{4}  ([0-9a-f ]+?)(?:  .*)?$", dump, re.MULTILINE))
        assert digits.replace(" ", "") == golden[name]["hex"], name
