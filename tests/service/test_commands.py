# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command against a live service, with clients in every state."""

import json
import time

import pytest

from tests.provision.vm.skips import needs_libvirt
from tests.server.peer import Memory, page_of
from tests.service.live import Live
from tests.service.test_documents import commands
from tmem_host.control import Connection

UUID = "a1b2c3d4-e5f6-0718-293a-4b5c6d7e8f90"
SHARED = bytes.fromhex(UUID.replace("-", ""))
# command, status, and what is said
WRONG: list[tuple[list[str], int, str]] = [
    (["info", "nobody"], 1, "tmem: there is no client 'nobody'"),
    (["set", "nobody", "-w", "1"], 1, "tmem: there is no client 'nobody'"),
    (["set", "guest", "-c", "5XB"], 2, "'5XB' is not a size"),
    (["set", "-w", "1"], 2, "either a CLIENT or --all is needed"),
    (["set", "guest", "--all"], 2, "either a CLIENT or --all is needed"),
    (["set", "guest", "-w", "-1"], 1, "weight is a whole number, not negative"),
    (["set", "guest", "-w", "4294967296"], 1, "does not fit"),
    (["set", "guest", "-p", "lzo"], 2, "invalid choice: 'lzo'"),
    (["auth", "add", "guest", "five"], 1, "tmem: 'five' is not a uuid"),
    (["client", "add", "new", "--listen", "here"], 1, "'here' is not an absolute path"),
    (["client", "add", "new"], 2, "one of the arguments --listen --connect is required"),
    (["client", "add", "new", "--listen", "/" + "x" * 200], 1, "path has at most 107 bytes"),
    (["client", "add", "x" * 200, "--listen", "/tmp/x"], 1, "name has at most 127 bytes"),
    (["client", "add", "new", "--listen", "/proc/x/y"], 1, "No such file or directory: '/proc/x'"),
    (["client", "add", "new", "--listen", "/etc/passwd"], 1, "is there and is no socket"),
    (["arena", "budget", "1PiB"], 1, "is more than the 256GiB that it was made for"),
    (["arena", "budget", "64XB"], 2, "'64XB' is not a size"),
    (["arena", "shrink"], 2, "the following arguments are required: SIZE"),
    (["arena", "info", "/absent"], 1, "No such file"),
    (["arena", "info", "/etc/passwd"], 1, "arena"),
    (["flush", "guest", "--size", "-1"], 2, "'-1' is not a size"),
    (["stats", "nobody"], 1, "tmem: there is no client 'nobody'"),
    (["stats", "--watch", "-1"], 2, "'-1' is not a number of seconds"),
    (["top", "--delay=-1"], 2, "'-1' is not a number of seconds"),
    (["events", "-n", "x"], 2, "invalid int value: 'x'"),
    (["freeze", "nobody"], 1, "tmem: there is no client 'nobody'"),
    (["auth", "list", "nobody"], 1, "tmem: there is no client 'nobody'"),
    (["auth", "all", "perhaps"], 2, "invalid choice: 'perhaps'"),
    (["trace", "record", "/proc/x"], 1, "No such file"),
    (["trace", "record", "/x", "--max-size", "1X"], 2, "'1X' is not a size"),
    (["trace", "stats", "/absent"], 1, "No such file"),
    (["trace", "replay", "/etc/passwd"], 1, "this is no trace"),
    (["client", "lost", "guest", "-y"], 1, "tmem: client 'guest' has no session"),
]


def test_info_says_who_keeps_a_shared_pool_from_being_served(live: Live) -> None:
    present, absent = live.guest("present"), live.guest("absent")
    for guest in (present, absent):
        guest.new_pool(shared=SHARED)

    def blocked() -> bool:
        present.echo()
        told = live.tmem("info", "present")
        return f"shared {UUID} by 2 members" in told and "not served: waiting for absent" in told

    Live.wait_for(blocked)


def test_settings_are_changed_and_shown(live: Live) -> None:
    live.guest("a")
    live.guest("b")
    live.tmem("set", "a", "-w", "3", "-c", "1.5MiB", "-q", "64KiB", "-p", "zstd", "--dedup")
    settings = json.loads(live.tmem("set", "a", "--json"))["a"]
    assert settings["weight"] == 3
    assert settings["cap_bytes"] == 3 << 19
    assert settings["persistent_quota_bytes"] == 65536
    assert (settings["encoding"], settings["dedup"]) == ("zstd", True)
    live.tmem("set", "--all", "--weight", "9", "--no-dedup")
    shown = json.loads(live.tmem("set", "-a", "--json"))
    assert {name: (item["weight"], item["dedup"]) for name, item in shown.items()} == {
        "a": (9, False),
        "b": (9, False),
    }
    live.tmem("thaw", "--all")


def test_ephemeral_pages_can_be_flushed_and_given_back(live: Live) -> None:
    guest = live.guest("guest")
    pool = guest.new_pool()
    for index in range(600):
        assert guest.put(pool, index, index.to_bytes(4, "little") * 1024) == 1
    held = json.loads(live.tmem("list", "--json"))[0]["ephemeral_bytes"]
    assert held > 0
    assert "freed" in live.tmem("flush", "guest")
    assert json.loads(live.tmem("list", "--json"))[0]["ephemeral_pages"] == 0
    resident = live.call("arena.usage")["resident_bytes"]
    assert "given back to the host" in live.tmem("arena", "shrink", "1GiB")
    assert live.call("arena.usage")["resident_bytes"] < resident
    live.tmem("arena", "budget", "8MiB")
    assert live.call("arena.usage")["budget_bytes"] == 8 << 20


def test_rights_are_given_and_taken(live: Live) -> None:
    live.add("guest")
    live.tmem("auth", "add", "guest", UUID)
    assert live.tmem("auth", "add", "guest", UUID) == "guest: nothing to change\n"
    assert live.tmem("auth", "list", "guest") == f"{UUID}\n"
    assert json.loads(live.tmem("auth", "list", "guest", "--json")) == [UUID]
    live.tmem("auth", "remove", "guest", UUID)
    assert live.tmem("auth", "list", "guest") == ""
    live.tmem("auth", "all", "off")
    assert live.call("service.info")["shared_auth_all"] is False


def test_a_client_is_removed_with_its_pages_after_a_question(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = live.guest("guest")
    pool = guest.new_pool(persistent=True)
    guest.put(pool, 0, page_of(5))
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert "nothing was changed" in live.tmem("client", "remove", "guest", status=1)
    live.tmem("client", "remove", "guest", "--yes")
    assert live.call("client.list") == []
    assert live.call("arena.usage")["persistent_pages"] == 0


def test_a_guest_whose_pages_are_lost_is_told(live: Live) -> None:
    guest = live.guest("guest")
    guest.new_pool(persistent=True)
    live.tmem("client", "lost", "guest", "--yes")
    bye = guest.receive()
    assert (bye.op, bye.status) == (35, -117)
    assert live.connect("guest", guest.memory).hello(session=guest.memory.session)["verdict"] < 0


def test_stats_and_top_follow_what_happens(live: Live) -> None:
    guest = live.guest("guest")
    pool = guest.new_pool()
    guest.put(pool, 0, page_of(1))
    assert json.loads(live.tmem("stats", "guest", "--json"))["puts_stored"] == 1
    assert "puts of a new page that were stored" in live.tmem("stats", "-v")
    shown = live.tmem("top", "-d", "0.05", "-n", "2")
    assert "guest" in shown
    assert "Puts/s" in shown
    assert live.tmem("freeable").strip().isdigit()


def test_what_is_wrong_is_said_in_one_sentence(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMEM_SOCKET", str(live.socket))
    live.add("guest")
    for line, status, sentence in WRONG:
        printed = live.tmem(*line, status=status, socket=False)
        assert sentence in printed, line
        assert status == 2 or len(printed.splitlines()) == 1, printed


def test_without_a_service_every_command_says_how_to_start_one(stopped: Live) -> None:
    words = {"CLIENT": "x", "UUID": UUID, "SIZE": "1MiB", "FILE": "/x", "allow": "on"}
    tried = set()
    for name, command in commands().items():
        if "--socket" not in command._option_string_actions or name == "tmem serve":
            continue
        line = name.split()[1:]
        for action in command._actions:
            if not action.option_strings:
                line.append(words[str(action.metavar or action.dest)])
        if "--listen" in command._option_string_actions:
            line += ["--listen", "/x"]
        assert "start one with: systemctl start tmem" in stopped.tmem(*line, status=1), line
        tried.add(name)
    assert {"tmem list", "tmem client lost", "tmem auth all", "tmem trace record"} < tried


def test_events_are_followed(live: Live) -> None:
    with Connection(live.socket) as connection:
        connection.call("events.subscribe")
        live.add("guest")
        told = next(connection.notifications()).arguments
    assert (told["kind"], told["client"], told["lost"]) == ("client-added", "guest", 0)
    assert abs(told["time"] - time.time()) < 3600


def test_a_guest_that_was_reset_is_another_guest(live: Live) -> None:
    guest = live.guest("guest")
    pool = guest.new_pool(persistent=True)
    guest.put(pool, 0, page_of(1))
    other = live.connect("guest", Memory(b"another boot id."))
    other.begin()
    assert other.pools() == []
    assert live.call("client.list")[0]["persistent_pages"] == 0


def test_a_domain_is_named_by_name_uuid_or_id(live: Live) -> None:
    """The test driver's own domain: `test`, number 1."""
    needs_libvirt()
    uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f"
    for client in ("test", "test/user"):
        live.add(client)
    for name in ("test", uuid, "1"):
        told = live.tmem("info", name, "--connect", "test:///default")
        assert "client     test (number 0)" in told
        told = live.tmem("info", f"{name}/user", "--connect", "test:///default")
        assert "client     test/user (number 1)" in told
    said = live.tmem("set", "7", "--connect", "test:///default", "-w", "1", status=1)
    assert said == "tmem: test:///default knows no domain '7'\n"
