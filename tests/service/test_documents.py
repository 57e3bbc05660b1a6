# SPDX-License-Identifier: GPL-2.0-or-later
"""The documents say what there is: every method of the control protocol, every command."""

import argparse
import inspect
import re
from pathlib import Path

from tmem_host import cli
from tmem_host.native import COUNTER_MEANINGS, EventKind
from tmem_host.service.journal import KINDS
from tmem_host.service.methods import Methods

DOCS = Path(__file__).parents[2] / "docs"


def test_every_method_is_documented_as_it_is() -> None:
    rows = re.findall(
        r"^\| `([a-z_.]+)` \| (.*?) ?\| (.+) \|$",
        (DOCS / "control.md").read_text().split("## Events")[0],
        re.MULTILINE,
    )
    documented = {name: (arguments, text) for name, arguments, text in rows}
    found = {}
    for _, member in inspect.getmembers(Methods, inspect.isfunction):
        if name := getattr(member, "control_name", None):
            parameters = list(inspect.signature(member).parameters.values())[1:]
            arguments = ", ".join(
                f"`{parameter.name}`" + ("" if parameter.default is parameter.empty else "?")
                for parameter in parameters
            )
            found[name] = (arguments, " ".join((member.__doc__ or "").split()))
    assert documented == found


def test_every_kind_of_event_is_documented() -> None:
    text = (DOCS / "control.md").read_text(encoding="utf-8").split("## Events")[1]
    rows = re.findall(r"^\| `([a-z-]+)` \| (yes|) ?\| (.+) \|$", text, re.MULTILINE)
    documented = {kind: (warning == "yes", meaning) for kind, warning, meaning in rows}
    assert documented == KINDS
    for kind in EventKind:
        assert kind.name.lower().replace("_", "-") in KINDS


def commands() -> dict[str, argparse.ArgumentParser]:
    """Every command of `tmem`, those of commands with verbs too."""

    def below(parser: argparse.ArgumentParser, name: str) -> dict[str, argparse.ArgumentParser]:
        actions = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        inner = {
            found: command
            for action in actions
            for verb, sub in action.choices.items()
            for found, command in below(sub, f"{name} {verb}").items()
        }
        return inner or {name: parser}

    return below(cli.parser(), "tmem")


def test_every_command_that_reads_has_json() -> None:
    reading = ["list", "info", "stats", "set", "freeable", "top", "events", "doctor"]
    reading += ["auth list", "arena info", "arena check", "vm list", "vm info"]
    reading += ["trace record", "trace stats", "trace replay", "kernel list", "image list"]
    known = commands()
    for name in reading:
        assert "--json" in known[f"tmem {name}"]._option_string_actions, name


def test_where_a_domain_is_named_a_connection_can_be_given() -> None:
    for name, command in commands().items():
        names_one = any(action.metavar == "CLIENT" for action in command._actions)
        if names_one and name != "tmem client add":  # which is a new one
            assert "--connect" in command._option_string_actions, name
            # xl's -c is the cap
            short = command._option_string_actions["-c"].dest
            assert short == ("cap" if name == "tmem set" else "connect"), name


def test_the_table_for_who_knows_xen_names_what_there_is() -> None:
    text = (DOCS / "xen-tools.md").read_text(encoding="utf-8")
    table = text.split("## Keys")[0]
    named = set(re.findall(r"`(tmem [a-z]+(?: [a-z]+)?)[ `]", table))
    known = {*commands()}
    known |= {name.rpartition(" ")[0] for name in known}
    for name in named:
        assert name in known, name
    counters = set(re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)`", text.split("## Keys")[1]))
    fields = {"idle_bytes", "ephemeral_pages", "heap_bytes", "pool_list", "waits_for"}
    assert counters - set(COUNTER_MEANINGS) <= fields


def test_completion_and_the_man_page_come_from_the_parser(tmp_path: Path) -> None:
    from argparse_manpage.manpage import Manpage  # noqa: PLC0415
    from shtab import complete  # noqa: PLC0415

    script = complete(cli.parser(), "bash")
    page = str(Manpage(cli.parser(), format="single-commands-section"))
    for name in commands():
        assert name.split()[-1] in script
        assert name.split()[-1] in page
