# SPDX-License-Identifier: GPL-2.0-or-later
"""What the reading commands print of a live service with clients in every state, against golden
files. What differs from run to run stands there as <word>.

After a wanted change: `TMEM_ACCEPT_GOLDEN=1 pytest tests/service/test_printed.py`, and look at the
difference.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from tests.service.states import States

GOLDEN = Path(__file__).parent / "golden"
NAMES = ("expelled", "active", "frozen", "capped", "waiting", "gone", "never-came", "present")
# By the name of the golden file.
COMMANDS: dict[str, tuple[str, ...]] = {
    "list": ("list",),
    "service": ("info",),
    **{f"info-{name}": ("info", name) for name in NAMES},
    "set": ("set", "--all"),
    "stats": ("stats", "-v"),
    "stats-active": ("stats", "active"),
    "freeable": ("freeable",),
    "auth-list": ("auth", "list", "active"),
    "top": ("top", "-n", "1", "-d", "0.01"),
    "events": ("events", "-n", "1000"),
    "arena-info": ("arena", "info", "ARENA"),
    "arena-check": ("arena", "check", "ARENA"),
}
VARYING = {
    r"\d+(?= s\b)": "<n>",  # seconds
    r"(?<=version )\S+(?=,)": "<version>",
    r"(?<=process )\d+": "<pid>",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d": "<time>",
    r"(?<=session )\d+": "<session>",
    r"(?<=last tag )\d+": "<tag>",
    r"(?<=, )\d+(?= requests)": "<n>",
}


def line_of(states: States, line: tuple[str, ...]) -> list[str]:
    return [str(states.live.folder / "arena") if word == "ARENA" else word for word in line]


def told(states: States, line: tuple[str, ...]) -> str:
    """What the command prints, the same in every run."""
    printed = states.tmem(*line_of(states, line), socket=line[0] != "arena")
    printed = printed.replace(str(states.live.folder), "<folder>")
    for pattern, word in VARYING.items():
        printed = re.sub(pattern, word, printed)
    if line[0] == "events":  # the order of what several threads tell is not, nor how often a pool
        lines = {line for line in printed.splitlines(keepends=True) if " pool-" not in line}
        printed = "".join(sorted(lines))
    return re.sub(r" +$", "", printed, flags=re.MULTILINE)


def shape(value: Any) -> Any:
    """A JSON value with kinds in the place of values."""
    match value:
        case dict():
            return {name: shape(item) for name, item in value.items()}
        case list():
            shapes = [shape(item) for item in value]
            return [item for at, item in enumerate(shapes) if item not in shapes[:at]]
        case None:
            return "null"
    return type(value).__name__


def check(name: str, text: str) -> None:
    """Compares with the golden file, or makes it anew."""
    file = GOLDEN / name
    if os.environ.get("TMEM_ACCEPT_GOLDEN") == "1":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), name


def is_as_expected(states: States, name: str, line: tuple[str, ...]) -> bool:
    file = GOLDEN / f"{name}.txt"
    return file.exists() and told(states, line) == file.read_text(encoding="utf-8")


def test_clients_in_every_state_are_printed(states: States) -> None:
    for name, line in COMMANDS.items():
        # on a busy machine the guest that is there may be late with its echo, and be waited for too
        if not any(is_as_expected(states, name, line) for _ in range(20)):
            check(f"{name}.txt", told(states, line))


def test_json_has_what_programs_were_promised(states: States) -> None:
    shapes = {}
    for name, line in COMMANDS.items():
        printed = states.tmem(*line_of(states, line), "--json", socket=line[0] != "arena")
        shapes[name] = shape([json.loads(item) for item in printed.splitlines()])
    check("shapes.json", json.dumps(shapes, indent=1) + "\n")
