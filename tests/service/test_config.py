# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration: what every key may be, and that a wrong one is named with its line."""

import dataclasses
import re
import uuid
from pathlib import Path

import pytest

from tmem_host.native import Encoding
from tmem_host.service.config import SECTIONS, ClientConfig, Config, load, parse
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
        ("[arena]\nbudget = true", "2: arena.budget is a size, for instance"),
        ("[arena]\nbudget = '2GiB'\nmax = '1GiB'", "2: arena.budget is larger than max"),
        ("arena = 5", "1: arena is a table: write [arena]"),
        ("[server]\nworkers = 65", "2: server.workers is a whole number from 0 to 64"),
        ("[server]\nlease = '1m'", "2: server.lease is a duration: '1m' is not a duration"),
        ("[server]\nlease = '1ms'", "2: server.lease is a duration from 100ms to 60000ms"),
        ("[server]\nexpel = '500ms'", "2: server.expel is shorter than lease"),
        ("[server]\nexpel = '49s'", "2: server.expel is longer than 48 times lease"),
        ("[server]\ngiveup = '3s'", "2: server.giveup is shorter than four times lease"),
        ("[arena]\npath = 'here'", "2: arena.path is an absolute path"),
        ("[arena]\nadmission = 'never'", "2: arena.admission is one of always, second-chance"),
        ("[metrics]\nport = 9\nsocket = '/a'", "2: metrics.port and socket exclude each other"),
        ("[pressure]\nstep = 0", "2: pressure.step is a number above 0 and at most 1"),
        ("\n[clients.vm]\nweight = 1", "2: clients.vm one of listen and connect is needed"),
        ("[clients.'a/b']\nlisten = 1", "2: clients.a/b.listen is an absolute path"),
        ("[clients.vm]\nlisten='/a'\nuuids=['x']", "3: clients.vm.uuids is a list, each a uuid"),
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


def test_every_key_is_documented_and_the_reverse() -> None:
    documented = set(re.findall(r"^\| `([a-z_.]+)` \|", DOCS.read_text(), re.MULTILINE))
    kinds = {**SECTIONS, "clients.NAME": ClientConfig}
    keys = {
        f"{section}.{item.name}".replace("NAME", "name").lower()
        for section, kind in kinds.items()
        for item in dataclasses.fields(kind)
    }
    assert documented == keys | {"log_level", "state"}
