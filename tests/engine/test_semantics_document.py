# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/semantics.md names every letter, rule and defect, and only tests that exist."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DOCUMENT = (ROOT / "docs" / "semantics.md").read_text()
EXCLUDED = {5, 22, 31, 34, 35, 36, 44, 45}


@functools.cache
def rows() -> dict[str, str]:
    """The rest of each table row by its first cell."""
    found = re.findall(r"^\| (\w[\w-]*) \|(.*)\|$", DOCUMENT, re.MULTILINE)
    first: dict[str, str] = {}
    for name, rest in found:
        first.setdefault(name, rest)  # later tables use rule numbers again
    return first


def named_tests(text: str) -> list[str]:
    return re.findall(r"`(test_\w+)`", text)


@functools.cache
def all_tests() -> list[str]:
    return [
        name
        for path in sorted(HERE.glob("test_*.py"))
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)
    ]


def test_every_test_that_it_names_exists() -> None:
    named = named_tests(DOCUMENT)
    assert len(named) > 100
    assert sorted(set(named) - set(all_tests())) == []


def test_test_names_are_unique() -> None:
    """The document does not say which file a test is in."""
    names = all_tests()
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_every_file_that_it_names_exists() -> None:
    for path in re.findall(r"`((?:c|docs|tests)/[\w./]+)`", DOCUMENT):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`(test_\w+\.c)`", DOCUMENT):
        assert (ROOT / "tests" / "c" / name).exists(), name


@pytest.mark.parametrize("letter", "ABCDEFGHIJ")
def test_every_guarantee_has_tests(letter: str) -> None:
    assert named_tests(rows()[letter])


@pytest.mark.parametrize("number", range(1, 49))
def test_every_rule_has_a_test_or_a_reason(number: int) -> None:
    """And the test carries the rule's number."""
    row = rows()[str(number)]
    if number in EXCLUDED:
        assert "excluded: " in row
        return
    assert "excluded" not in row
    own = [name for name in named_tests(row) if f"_rule_{number:02}_" in name]
    assert own
    everywhere = {name for name in all_tests() if f"_rule_{number:02}_" in name}
    assert everywhere - set(named_tests(DOCUMENT)) == set()


@pytest.mark.parametrize("number", range(1, 30))
def test_every_defect_has_a_test_or_a_reason(number: int) -> None:
    row = rows()[f"B{number}"]
    own = [name for name in named_tests(row) if f"b{number:02}_" in name]
    assert own or "cannot exist: " in row or "not the engine's" in row
    everywhere = {name for name in all_tests() if re.search(rf"test_b{number:02}_", name)}
    assert everywhere <= set(named_tests(row))
