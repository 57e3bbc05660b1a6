# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration: what every key may be, and that a wrong one is named with its line."""

import dataclasses
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from tmem_host.native import Encoding
from tmem_host.service.config import SECTIONS, ClientConfig, Config, load, parse
from tmem_host.service.reload import FIXED, RESTART
from tmem_host.service.settings import ConfigError

FILE = Path("/etc/tmem/tmem.toml")
DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"
FULL = """
log_level = "debug"
[arena]
path = "/dev/shm/here/arena"
budget = "64MiB"
max = "1GiB"
[server]
lease = "500ms"
expel = "1s"
[pressure]
step = 0.25
[clients."vm/user"]
listen = "/run/tmem/vm.sock"
weight = 5
cap = "10MiB"
encoding = "zstd"
uuids = ["a1b2c3d4-e5f6-0718-293a-4b5c6d7e8f90"]
"""


def test_every_kind_of_key_is_read() -> None:
    config = parse(FULL, FILE)
    assert config.log_level == "debug"
    assert config.arena.path == Path("/dev/shm/here/arena")
    assert (config.arena.budget, config.arena.max) == (64 << 20, 1 << 30)
    assert (config.server.lease, config.server.expel) == (500, 1000)
    assert config.pressure.step == 0.25
    client = config.clients["vm/user"]
    assert (client.weight, client.cap, client.encoding) == (5, 10 << 20, Encoding.ZSTD)
    assert client.uuids == (uuid.UUID("a1b2c3d4-e5f6-0718-293a-4b5c6d7e8f90"),)
    assert config.state_directory == Path("/dev/shm/here")


def test_an_empty_file_is_the_built_in_configuration() -> None:
    assert parse("", FILE) == dataclasses.replace(Config(), source=FILE)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("[arena]\npath = '/a'\nbugdet = 1", "3: arena.bugdet is not a key; there are admission,"),
        ("\n[aerna]\n", "2: aerna is not a key; there are log_level, state"),
        ("[arena]\nbudget = '64MX'", "2: arena.budget is a size: '64MX' is not a size"),
        ("[arena]\nbudget = 0", "2: arena.budget is a size of at least 1MiB"),
        ("[arena]\nbudget = true", "2: arena.budget is a size, for instance"),
        ("[arena]\nbudget = '2GiB'\nmax = '1GiB'", "2: arena.budget is larger than max"),
        ("arena = 5", "1: arena is a table: write [arena]"),
        ("[server]\nworkers = 65", "2: server.workers is a whole number from 0 to 64"),
        ("[server]\nlease = '1m'", "2: server.lease is a duration: '1m' is not a duration"),
        ("[server]\nlease = '1ms'", "2: server.lease is a duration from 100ms to 1000ms"),
        ("[server]\nexpel = '500ms'", "2: server.expel is shorter than lease"),
        (
            "[server]\nlease = '500ms'\nexpel = '25s'",
            "3: server.expel is longer than 48 times lease",
        ),
        ("[server]\ngiveup = '3s'", "2: server.giveup is shorter than four times lease"),
        ("[arena]\npath = 'here'", "2: arena.path is an absolute path"),
        ("[arena]\nadmission = 'never'", "2: arena.admission is one of always, second-chance"),
        ("[metrics]\nport = 9\nsocket = '/a'", "2: metrics.port and socket exclude each other"),
        ("[pressure]\nstep = 0", "2: pressure.step is a number above 0 and at most 1"),
        ("\n[clients.vm]\nweight = 1", "2: clients.vm one of listen and connect is needed"),
        ("[clients.'a/b']\nlisten = 1", "2: clients.a/b.listen is an absolute path"),
        ("[clients.vm]\nlisten='/a'\nuuids=['x']", "3: clients.vm.uuids is a list, each a uuid"),
        (
            f"[control]\nsocket = '/{'x' * 107}'",
            "2: control.socket is a socket's path of at most 107",
        ),
        (f"[clients.{'x' * 128}]\nlisten = '/a'", f"1: clients.{'x' * 128} has a name of 1 to 127"),
        ("clients = 1", "1: clients is a table of clients"),
        ("log_level = 'loud'", "1: log_level is one of debug, info"),
        ("[arena\n", " Expected ']'"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(source: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(source, FILE)
    assert str(error.value).startswith(f"{FILE}:{message}")
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "absent.toml")
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "latin")


KINDS = {**SECTIONS, "clients.name": ClientConfig}


def documented() -> dict[str, tuple[str, str]]:
    """By key, the built-in value and what it is."""
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.*?) ?\| (.+) \|$", DOCS.read_text(), re.MULTILINE)
    return {key: (built_in, text) for key, built_in, text in rows}


def test_every_key_is_documented_and_the_reverse() -> None:
    keys = {
        f"{section}.{item.name}"
        for section, kind in KINDS.items()
        for item in dataclasses.fields(kind)
    }
    assert documented().keys() == keys | {"log_level", "state"}


def test_built_in_values_are_documented_as_they_are() -> None:
    """Those that the document writes as TOML: it has read them when the file gives them."""
    checked = set()
    for key, (built_in, _) in documented().items():
        if not (value := re.fullmatch(r"`([^`]+)`", built_in)):
            continue
        section, _, name = key.rpartition(".")
        if section == "clients.name":
            settings: Any = ClientConfig(listen=Path("/a"))
            source = f"[clients.name]\nlisten = '/a'\n{name} = {value[1]}"
            read: Any = parse(source, FILE).clients["name"]
        else:
            settings = getattr(Config(), section) if section else Config()
            head = f"[{section}]\n" if section else ""
            whole = parse(f"{head}{name} = {value[1]}", FILE)
            read = getattr(whole, section) if section else whole
        # what a client's section does not give is left as it is, and new ones have this
        before = getattr(settings, name)
        assert getattr(read, name) == (NEW_CLIENT[name] if before is None else before), key
        checked.add(key)
    assert len(checked) > 25


NEW_CLIENT = {
    "weight": 0,
    "cap": 0,
    "persistent_quota": 0,
    "encoding": Encoding.LZ4,
    "zstd_level": 0,
    "dedup": False,
    "trust_group": 0,
}


def test_what_waits_for_a_restart_is_documented_so() -> None:
    texts = {key: text for key, (_, text) in documented().items()}
    restart = {key for key, text in texts.items() if text.startswith("*restart.*")}
    assert restart == {f"{at}.{key}".lstrip(".") for at, keys in RESTART.items() for key in keys}
    fixed = {key for key, text in texts.items() if text.startswith("fixed when the arena is made")}
    assert fixed == {f"{at}.{key}" for at, keys in FIXED.items() for key in keys}
