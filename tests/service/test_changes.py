# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command that changes something, on clients in every state: what each says and leaves,
against a golden file, and nothing of it reaches a client that was not named.

After a wanted change: `TMEM_ACCEPT_GOLDEN=1 pytest tests/service/test_changes.py`, and look at the
difference.
"""

import contextlib
import io
import json
from typing import Any

from tests.service.live import Live
from tests.service.states import UUID, States
from tests.service.test_printed import check
from tmem_host import cli

# (who is waited for goes first: it is so for a while only)
NAMES = ["absent", "expelled", "active", "frozen", "capped", "waiting", "gone", "never-came"]
# Done to each client, one after the other; the last ones end it.
LINES = [
    "freeze CLIENT",
    "thaw CLIENT",
    "set CLIENT -w 2 -c 1MiB",
    "auth add CLIENT UUID",
    "auth remove CLIENT UUID",
    "flush CLIENT",
    "client lost CLIENT -y",
    "client lost CLIENT -y",
    "client remove CLIENT -y",
    "client remove CLIENT -y",
]


def run(live: Live, line: str) -> tuple[int, str]:
    """The status, and what it printed on either output."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        status = cli.main([*line.split(), "--socket", str(live.socket)])
    return status, printed.getvalue()


def others(states: States, name: str) -> dict[str, Any]:
    """What does not change by itself, of every other client."""
    clients = json.loads(states.tmem("list", "--json"))
    kept = ("settings", "ephemeral_pages", "persistent_pages", "state")
    return {
        client["name"]: {key: client[key] for key in kept}
        for client in clients
        if client["name"] != name
    }


def test_changes_of_clients_in_every_state(stopped: Live) -> None:
    states = States(stopped)
    told = []
    for name in NAMES:
        before = others(states, name)
        for line in LINES:
            named = line.replace("CLIENT", name).replace("UUID", UUID)
            status, printed = run(stopped, named)
            assert len(printed.splitlines()) <= 1, printed
            assert status in (0, 1)
            state = json.loads(states.tmem("list", "--json"))
            now = next((client["state"] for client in state if client["name"] == name), "no more")
            told.append(f"{status} {named}: {printed.strip() or 'done'}; it is {now}")
        assert others(states, name) == before, name
    check("changes.txt", "\n".join(told) + "\n")
    assert {client["name"] for client in stopped.call("client.list")} == {"present"}
    # whom the pool waited for is gone: it is served
    states.tmem("list")
    Live.wait_for(lambda: "not served" not in states.tmem("info", "present"))


def test_changes_of_all_clients_at_once(stopped: Live) -> None:
    states = States(stopped)
    states.tmem("freeze", "--all")
    assert all(c["settings"]["frozen"] for c in stopped.call("client.list"))
    states.tmem("thaw", "-a")
    assert not any(c["settings"]["frozen"] for c in stopped.call("client.list"))
    states.tmem("set", "-a", "-w", "5")
    assert {c["settings"]["weight"] for c in stopped.call("client.list")} == {5}
    printed = states.tmem("flush", "--all")
    assert len(printed.splitlines()) == len(stopped.call("client.list"))
    assert stopped.call("arena.usage")["ephemeral_pages"] == 0
    assert stopped.call("arena.usage")["persistent_pages"] == 3
