# SPDX-License-Identifier: GPL-2.0-or-later
"""SIGHUP: what a running service takes over, what it leaves for later, and what it says."""

import dataclasses
import signal
import stat
from pathlib import Path
from typing import Any

from tests.service.live import Live
from tmem_host.service.config import Config
from tmem_host.service.reload import FIXED, RESTART, later_keys

MIB = 1 << 20
# no host has so much available, so that every look is a sign of pressure
ALWAYS = "[pressure]\navailable_min = '1PiB'\nstep = 0.25\nfloor = '4MiB'\n"


def reload(live: Live, more: str, **sizes: str) -> str:
    """Has the service read another configuration; what it says of that."""
    before = len(told(live, "reload"))
    live.write_config(more, **sizes)
    live.send_signal(signal.SIGHUP)
    Live.wait_for(lambda: len(told(live, "reload")) > before)
    return told(live, "reload")[-1]


def told(live: Live, kind: str) -> list[str]:
    """The texts of the events whose kind begins so."""
    return [e["text"] for e in live.call("events.recent", count=1000) if e["kind"].startswith(kind)]


def budget(live: Live) -> int:
    return int(live.call("arena.usage")["budget_bytes"])


def test_what_can_be_taken_over_is(stopped: Live) -> None:
    one, two = stopped.folder / "one.sock", stopped.folder / "two.sock"
    stopped.write_config(f"[clients.one]\nlisten = '{one}'\nweight = 2\n")
    stopped.start()
    assert one.exists()
    more = f"[clients.two]\nlisten = '{two}'\nmode = 0o640\nweight = 7\n"
    assert reload(stopped, more, budget="16MiB") == "everything taken over"
    assert two.exists()
    assert stat.S_IMODE(two.stat().st_mode) == 0o640
    assert not one.exists()
    assert budget(stopped) == 16 * MIB
    clients = {c["name"]: c["settings"]["weight"] for c in stopped.call("client.list")}
    assert clients == {"one": 2, "two": 7}
    assert [channel["client"] for channel in stopped.call("service.info")["channels"]] == ["two"]


def test_what_must_wait_is_named(stopped: Live) -> None:
    stopped.start()
    socket = stopped.folder / "metrics.sock"
    said = reload(stopped, f"[metrics]\nsocket = '{socket}'\n")
    assert said == "at the next start: metrics.socket"
    assert not socket.exists()


def test_what_failed_is_said_and_tried_again(stopped: Live) -> None:
    stopped.start()
    assert "arena.wrong is not a key" in reload(stopped, "[arena.wrong]\n")
    assert "is more than the 256GiB" in reload(stopped, "", budget="300GiB")
    taken = stopped.folder / "taken"
    taken.write_text("mine")
    client = f"[clients.new]\nlisten = '{taken}'\n"
    assert "is there and is no socket" in reload(stopped, client, budget="16MiB")
    assert len(told(stopped, "reload-failed")) == 3
    taken.unlink()
    assert reload(stopped, client, budget="16MiB") == "everything taken over"
    assert taken.is_socket()
    assert budget(stopped) == 16 * MIB


def test_settings_of_pressure_are_taken_over(stopped: Live) -> None:
    stopped.start()
    assert reload(stopped, ALWAYS) == "everything taken over"
    Live.wait_for(lambda: any("budget is now 4 MiB" in text for text in told(stopped, "pressure")))
    assert budget(stopped) == 4 * MIB
    texts = [text.partition("budget is now ")[2] for text in told(stopped, "pressure")]
    assert [text.split(";")[0] for text in texts if text] == ["24 MiB", "16 MiB", "8 MiB", "4 MiB"]
    # turned off, it takes back what pressure took; and on again, it goes on from there
    assert reload(stopped, "[pressure]\nenabled = false\n") == "everything taken over"
    assert budget(stopped) == 32 * MIB
    reload(stopped, ALWAYS.replace("4MiB", "20MiB"))
    Live.wait_for(lambda: budget(stopped) == 20 * MIB)


def test_pressure_lowers_the_budget_that_an_operator_has_set(stopped: Live) -> None:
    stopped.write_config("[pressure]\nenabled = false\n")
    stopped.start()
    stopped.tmem("arena", "budget", "16MiB")
    reload(stopped, ALWAYS)
    Live.wait_for(lambda: told(stopped, "pressure")[1:])
    assert "the budget is now 12 MiB" in told(stopped, "pressure")[1]


def test_every_key_is_taken_over_or_named() -> None:
    """Of all keys but those that _take() in tmem_host.service.daemon has to know."""
    taken_over = {
        "": {"log_level", "arena", "server", "control", "pressure", "metrics", "libvirt"}
        | {"source", "clients"},
        "arena": {"budget", "eviction", "admission", "shared_auth_all"},
        "pressure": {item.name for item in dataclasses.fields(Config().pressure)},
    }
    for section in ("", "arena", "server", "control", "pressure", "metrics", "libvirt"):
        kind: Any = getattr(Config(), section) if section else Config()
        named = {*RESTART.get(section, ()), *FIXED.get(section, ())}
        known = {item.name for item in dataclasses.fields(kind)}
        assert named | taken_over.get(section, set()) == known, section
        assert not named & taken_over.get(section, set())


def test_later_keys_are_written_as_in_the_file() -> None:
    old = Config()
    arena = dataclasses.replace(old.arena, path=Path("/a"), max=1 << 40)
    new = dataclasses.replace(old, arena=arena, state=Path("/b"))
    assert later_keys(old, new) == (
        "at the next start: state, arena.path; with another arena: arena.max"
    )
    assert later_keys(old, old) == ""
