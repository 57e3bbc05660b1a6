# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of experiments: what is wrong is said with file, line and key; all is documented."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from tmem_host.experiment import settings
from tmem_host.experiment.arms import ARMS
from tmem_host.experiment.errors import ExperimentError
from tmem_host.provision.paths import source_root
from tmem_host.provision.vm.spec import IO_PROFILES
from tmem_host.service.settings import ConfigError

FILE = Path("own.toml")


def parse(text: str) -> settings.Settings:
    return settings.parse(text, FILE)


def test_an_empty_file_is_an_experiment() -> None:
    found = parse("")
    assert found.name == "own"
    assert found.arms == ("none", "shared")


def test_what_is_given_is_read() -> None:
    found = parse(
        'title = "T"\nguests = 3\nmemory = ["96MiB", "1GiB"]\narms = ["none"]\n'
        "[data]\nsize = '8MiB'\n[read]\npattern = 'sequential'\n"
    )
    assert (found.title, found.guests, found.memory) == ("T", 3, (96, 1024))
    assert (found.data.size, found.read.pattern) == (8 << 20, "sequential")


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("gests = 2", 1, "gests is not a key; there are arena, arms,"),
        ("seed = 1\n[data]\nsize = 5", 3, "data.size is a whole number of pages"),
        ("[data]\ncolour = 1", 2, "data.colour is not a key"),
        ("[red]\nx = 1", 1, "red is not a key"),
        ("guests = 9", 1, "guests is a whole number from 1 to 8"),
        ("guests = true", 1, "guests is a whole number"),
        ('memory = ["64MiB"]', 1, "memory is a whole number of MiB, 80MiB at least"),
        ("memory = []", 1, "memory is a list of at least one size"),
        ('arms = ["none", "none"]', 1, "arms names something twice"),
        ('arms = ["some"]', 1, "arms is one of none, private, shared,"),
        ('profiles = ["slow"]', 1, "profiles is one of native, contended"),
        ("[data]\ncompressible = 1.5", 2, "data.compressible is a number"),
        ("[data]\nsize = '1MiB'\nfiles = 257", 3, "data.files are more than the size has pages"),
        ("[read]\nrecord = '128MiB'", 2, "read.record is larger than a file"),
        ("[data]\nfile_system = 'ext4'", 1, "guests is 1 where they share no file system"),
        (
            "guests = 1\narms = ['shared']\n[data]\nfile_system = 'ext4'",
            2,
            "arms has shared, and there is nothing to share",
        ),
        ("workload = 'memory'\narms = ['none']\n[load]\nswap = '1MiB'", 4, "load.swap is smaller"),
        ("workload = 'build'", 1, "guests is 1 for a build"),
        ("[build]\npackage = '../x'", 2, "build.package is the name of a Debian source package"),
        ("workload = 'memory'\narms = ['control']", 2, "arms has control, which is for what"),
        ("= 1", 1, ""),
    ],
)
def test_what_is_wrong(text: str, where: int, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    said = str(caught.value)
    assert "\n" not in said
    if what:
        assert said.startswith(f"own.toml:{where}: {what}")


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"memory": [5]}, "memory is a whole number of MiB"),
        ({"arms": ["some"]}, "arms is one of"),
        ({"seed": -1}, "seed is a whole number"),
    ],
)
def test_what_is_wrong_on_the_command_line(values: dict[str, object], what: str) -> None:
    with pytest.raises(ExperimentError, match=what):
        settings.change(parse(""), values)


def test_the_command_line_changes_what_it_names() -> None:
    changed = settings.change(parse("rounds = 2"), {"memory": [96 << 20], "arms": ["none"]})
    assert (changed.memory, changed.arms, changed.rounds) == ((96,), ("none",), 2)


def test_all_of_the_projects_own() -> None:
    names = settings.names()
    assert {"shared-pool", "cleancache-reread", "frontswap-overcommit"} <= set(names)
    for name in names:
        found = settings.load(settings.find(name))
        assert found.name == name
        assert found.title


def test_one_that_is_not_there() -> None:
    with pytest.raises(ExperimentError, match=r"there is no experiment 'none'; there are .*shared"):
        settings.find("none")
    with pytest.raises(ConfigError, match="No such file"):
        settings.load(settings.find("/nowhere/x.toml"))


def test_every_key_is_documented() -> None:
    """As `key` in a table of docs/experiments.md, those of tables with their table's name."""
    text = (source_root() / "docs/experiments.md").read_text()
    documented = set(
        re.findall(r"^\| `([a-z_.]+)` \|", text.partition("## The file")[2], re.MULTILINE)
    )
    keys = {item.name for item in fields(settings.Settings) if "setting" in item.metadata}
    for table, kind in settings.SECTIONS.items():
        keys |= {f"{table}.{item.name}" for item in fields(kind)}
    assert documented == keys
    for name in (*ARMS, *IO_PROFILES):
        assert f"`{name}`" in text
