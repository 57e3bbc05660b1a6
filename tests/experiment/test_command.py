# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem experiment as somebody types it, but for what runs guests (tests/vm/test_experiment.py)."""

import json
from pathlib import Path

import pytest

from tmem_host.cli import main
from tmem_host.experiment import settings

Capture = pytest.CaptureFixture[str]


def test_list(capsys: Capture) -> None:
    assert main(["experiment", "list"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "WHAT"]
    assert [line.split()[0] for line in lines] == list(settings.names())
    assert main(["experiment", "list", "--json"]) == 0
    for line in capsys.readouterr().out.splitlines():
        each = json.loads(line)
        assert each["title"]
        assert Path(each["file"]).name == f"{each['name']}.toml"


@pytest.mark.parametrize("name", settings.names())
def test_show(name: str, capsys: Capture) -> None:
    wanted = settings.load(settings.find(name))
    assert main(["experiment", "show", name]) == 0
    said = capsys.readouterr().out
    assert wanted.title in said
    for arm in wanted.arms:
        assert f"arm {arm} " in said
    points = len(wanted.memory) * len(wanted.arms) * len(wanted.profiles) * wanted.rounds
    assert said.endswith(f"\n{points} points to be measured\n")
    assert main(["experiment", "show", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["memory"] == list(wanted.memory)


@pytest.mark.parametrize("verb", ["show", "run"])
def test_one_that_there_is_not(verb: str, capsys: Capture) -> None:
    assert main(["experiment", verb, "nonsense"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (sentence,) = said.err.splitlines()
    assert sentence.startswith("tmem: ")
    assert "nonsense" in sentence
