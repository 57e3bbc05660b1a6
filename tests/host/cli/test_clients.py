# SPDX-License-Identifier: GPL-2.0-or-later
"""What the commands print, for clients in every state, against golden files.

After a wanted change: `TMEM_ACCEPT_GOLDEN=1 pytest tests/host/cli/test_clients.py`, and look at
the difference.
"""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tmem_host.cli import auth, clients, host, parser
from tmem_host.cli.top import Look
from tmem_host.control import CallRefused

GOLDEN = Path(__file__).parent / "golden"
UUID = "a1b2c3d4-e5f6-0718-293a-4b5c6d7e8f90"


def client(uid: int, name: str, state: str, **settings: Any) -> dict[str, Any]:
    """A client as client.list tells it."""
    base = {
        "weight": 0,
        "trust_group": 0,
        "cap_bytes": 0,
        "persistent_quota_bytes": 0,
        "encoding": "lz4",
        "zstd_level": 0,
        "dedup": False,
        "frozen": False,
    }
    return {
        "name": name,
        "uid": uid,
        "pools": uid + 1,
        "settings": base | settings,
        "ephemeral_pages": 1000 * uid,
        "persistent_pages": 10 * uid,
        "ephemeral_bytes": 2_500_000 * uid,
        "persistent_bytes": 30_000 * uid,
        "share_bytes": 8 << 20 if settings.get("weight") else 0,
        "resumed": True,
        "state": state,
    }


CLIENTS = [
    client(0, "fresh", "none"),
    client(1, "web", "active", weight=5, cap_bytes=64 << 20),
    client(2, "db", "awaited", encoding="zstd", zstd_level=3, dedup=True, trust_group=7),
    client(3, "cut-off", "expelled", frozen=True),
    client(4, "web/user", "active", cap_bytes=1 << 20, frozen=True),
]
SESSION = {
    "state": "active",
    "epoch": 3,
    "requests": 1,
    "implementation": "kvm-tmem 0.1.0 linux 5.10.223",
    "since_seconds": 12.3,
}
POOL = {
    "id": 0,
    "flags": ["persistent"],
    "uuid": None,
    "members": 1,
    "pages": 1,
    "objects": 1,
    "waits_for": [],
    "silent_seconds": {},
}


class Service:
    """Answers as a service with these clients would."""

    def call(self, method: str, **arguments: Any) -> Any:
        return getattr(self, method.replace(".", "_"))(**arguments)

    def client_list(self) -> list[dict[str, Any]]:
        return CLIENTS

    def client_info(self, client: str) -> dict[str, Any]:
        whole = next(item for item in CLIENTS if item["name"] == client)
        session = None if whole["state"] == "none" else SESSION | {"state": whole["state"]}
        shared = POOL | {"id": 9, "flags": ["shared"], "uuid": UUID, "members": 2, "pages": 40}
        waiting = shared | {"id": 10, "waits_for": ["cut-off", "db"], "silent_seconds": {"db": 7.0}}
        pools = [POOL, shared, waiting] if session else []
        return whole | {"session": session, "uuids": [UUID], "pool_list": pools, "counters": {}}

    def stats(self, client: str | None) -> dict[str, Any]:
        counters = {"puts_stored": 12, "gets_hit": 3_000_000, "evicted": 0}
        return {"counters": counters, "meanings": {name: f"about {name}" for name in counters}}

    def auth_list(self, client: str) -> list[str]:
        return [UUID]

    def arena_usage(self) -> dict[str, Any]:
        return {
            "resident_bytes": 200 << 20,
            "budget_bytes": 256 << 20,
            "freeable_bytes": (100 << 20) + 5,
            "ephemeral_pages": 10_000,
            "persistent_pages": 100,
            "shared_pools": 2,
            "unserved_pools": 1,
        }

    def events_recent(self, count: int) -> list[dict[str, Any]]:
        event = {"number": 1, "time": 0.0, "kind": "expelled", "client": "cut-off", "text": "why"}
        return [event, event | {"number": 2, "client": None}][:count]


Runner = Callable[[argparse.Namespace, Any], int]
COMMANDS: list[tuple[str, Runner, list[str]]] = [
    ("list", clients.run_list, ["list"]),
    *((f"info-{name}", clients.run_info, ["info", name]) for name in ("fresh", "db", "web")),
    ("set", clients.run_set, ["set", "--all"]),
    ("stats", host.run_stats, ["stats"]),
    ("stats-verbose", host.run_stats, ["stats", "-v", "web"]),
    ("freeable", host.run_freeable, ["freeable"]),
    ("auth-list", auth.run_list, ["auth", "list", "web"]),
    ("events", host.run_events, ["events"]),
]


def check(name: str, text: str) -> None:
    """Compares with the golden file, or makes it anew."""
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("TMEM_ACCEPT_GOLDEN") == "1":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "run", "line"), COMMANDS, ids=[item[0] for item in COMMANDS])
def test_what_is_printed(
    name: str,
    run: Runner,
    line: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    options = parser().parse_args(line)
    assert run(options, Service()) == 0
    check(name, capsys.readouterr().out)
    options = parser().parse_args([*line, "--json"])
    assert run(options, Service()) == 0
    for printed in capsys.readouterr().out.splitlines():
        json.loads(printed)


def test_top_shows_rates_since_the_last_look() -> None:
    first, second = Look(Service()), Look(Service())  # type: ignore[arg-type]
    second.time = first.time + 2
    for counters in second.counters.values():
        counters["gets_hit"] += 8
    cells = second._cells(CLIENTS[1], first)
    assert cells == ["web", "connected", "2.4 MiB", "29.3 KiB", "0", "4", "0", "0"]
    assert second._cells(CLIENTS[1], None)[-4:] == ["-"] * 4


def test_top_leaves_out_who_is_removed_meanwhile() -> None:
    class Shrinking(Service):
        def stats(self, client: str | None) -> dict[str, Any]:
            if client == "db":
                raise CallRefused("there is no client 'db'", "unknown")
            return super().stats(client)

    look = Look(Shrinking())  # type: ignore[arg-type]
    assert [client["name"] for client in look.clients] == ["fresh", "web", "cut-off", "web/user"]
    whole = Look(Service())  # type: ignore[arg-type]
    assert whole.rates("db", look) is None
    anew = Look(Service())  # type: ignore[arg-type]
    anew.counters["db"] = dict.fromkeys(anew.counters["db"], 0)
    assert anew.rates("db", whole) == dict.fromkeys(("puts", "hits", "misses", "flushes"), 0)
