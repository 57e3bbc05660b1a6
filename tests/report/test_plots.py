# SPDX-License-Identifier: GPL-2.0-or-later
"""Plots are drawn of whatever there is, and say in words what they show."""

from dataclasses import replace

import pytest
from lxml import etree

from tests.experiment.made_up import SAMPLE
from tests.report.made import result
from tests.report.synthetic import Plan
from tmem_host.cli.report import PLOTS
from tmem_host.experiment.records import Result
from tmem_host.report.analysis import analyse
from tmem_host.report.merge import merge
from tmem_host.report.plots import NAMES, Plot, plot, plots
from tmem_host.report.plots.svg import INK, as_file, in_page
from tmem_host.report.plots.timeline import stretches

PLAN = Plan(profiles=("native",), rounds=1)
SVG = "{http://www.w3.org/2000/svg}"


def drawn(*results: Result) -> dict[str, Plot]:
    merged = merge(results)
    return {each.name: each for each in plots(analyse(merged), merged.samples)}


def texts(shown: Plot) -> list[str]:
    root = etree.fromstring(in_page(shown.svg, shown.name, "").encode())
    return ["".join(text.itertext()).strip() for text in root.iter(f"{SVG}text")]


@pytest.fixture(scope="module")
def four() -> dict[str, Plot]:
    return drawn(*result(PLAN))


def test_all_four(four: dict[str, Plot]) -> None:
    assert tuple(four) == NAMES == PLOTS
    for each in four.values():
        assert each.title
        assert each.caption.endswith(".")
        assert "None" not in each.alt


def test_what_is_written_in_them(four: dict[str, Plot]) -> None:
    assert {"private", "shared", "shared-compressed", "control"} <= set(texts(four["saved"]))
    assert "69 MiB" in texts(four["saved"])
    assert {"cold", "second", "warm", "reread", "none"} <= set(texts(four["reads"]))
    assert {"node1", "node2", "arena", "host memory, MiB"} <= set(texts(four["memory"]))
    assert {"80", "112", "69 MiB saved"} <= set(texts(four["sweep"]))


def test_what_they_say_to_who_cannot_see_them(four: dict[str, Plot]) -> None:
    assert "shared-compressed with 2 guests: 69 MiB" in four["saved"].alt
    assert "reread, none: 19" in four["reads"].alt
    assert "in the arena" in four["memory"].alt
    assert "with 80 MiB of RAM" in four["sweep"].alt


def test_a_page_gives_them_its_colour_and_ids_of_their_own(four: dict[str, Plot]) -> None:
    ids: list[str] = []
    for each in four.values():
        svg = in_page(each.svg, each.name, "a &lt;b&gt;")
        assert INK not in svg
        assert "currentColor" in svg
        root = etree.fromstring(svg.encode())
        assert (root.get("role"), root.get("aria-label")) == ("img", "a <b>")
        assert root.get("width") is None
        ids += [str(named.get("id")) for named in root.iter() if named.get("id")]
        for part in root.iter():
            for name, value in part.attrib.items():
                if etree.QName(name).localname == "href":
                    assert str(value).startswith("#")
                    assert str(value)[1:] in ids
    assert len(ids) == len(set(ids))


def test_a_file_is_on_white(four: dict[str, Plot]) -> None:
    text = as_file(four["sweep"].svg, "what it shows")
    root = etree.fromstring(text.encode())
    assert root.find(f"{SVG}title").text == "what it shows"  # type: ignore[union-attr]
    assert root.find(f"{SVG}rect").get("fill") == "#ffffff"  # type: ignore[union-attr]
    assert INK not in text
    assert "currentColor" not in text


def test_the_same_result_gives_the_same_plot(four: dict[str, Plot]) -> None:
    assert drawn(*result(PLAN)) == four


def test_several_numbers_of_guests() -> None:
    shown = drawn(*result(PLAN, replace(PLAN, guests=4)))["saved"]
    assert shown.title == "Host memory saved, by number of guests"
    assert {"2", "4", "guests"} <= set(texts(shown))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"arms": ("none",)}, {"reads", "memory", "sweep"}),
        ({"arms": ("shared",)}, set(NAMES)),
        ({"memory_mib": (80,)}, set(NAMES)),
        ({"guests": 1}, set(NAMES)),
        ({"guests": 8, "memory_mib": (80, 144)}, set(NAMES)),
        ({"workload": "memory", "arms": ("none", "private"), "guests": 3}, set(NAMES)),
        ({"arms": ("none", *(f"of-my-own-{n}" for n in range(9)))}, set(NAMES)),
    ],
)
def test_of_little_and_of_much(change: dict[str, object], names: set[str]) -> None:
    assert set(drawn(*result(replace(PLAN, **change)))) == names  # type: ignore[arg-type]


def test_not_comparable_is_written() -> None:
    assert "not comparable" in texts(drawn(*result(replace(PLAN, memory_mib=(80,))))["saved"])


def test_without_runs_there_is_nothing() -> None:
    (one,) = result(PLAN)
    merged = merge([replace(one, runs=[])])
    assert plots(analyse(merged), merged.samples) == []
    assert plot("sweep", analyse(merged), merged.samples) is None


def test_without_samples_there_is_no_memory_over_time() -> None:
    (one,) = result(PLAN)
    assert "memory" not in drawn(replace(one, samples=[]))
    assert "memory" not in drawn(replace(one, samples=one.samples[:1]))


def test_stretches_of_time() -> None:
    def at(second: float, phase: str, **change: object) -> object:
        return replace(SAMPLE, t_seconds=second, phase=phase, **change)  # type: ignore[arg-type]

    held = {"node1": 5, "node2": 7}
    samples = [
        at(10, "cold"),
        at(11, "second", guest_resident_bytes=held),
        at(12, "second"),
        at(20, "cold", arm="none"),
        at(30, "cold"),
        at(31, "second"),
        # again, with nothing else in between
        at(40, "cold"),
    ]
    found = stretches(samples)  # type: ignore[arg-type]
    assert [(each.arm, each.seconds) for each in found] == [
        ("shared", [0, 1, 2]),
        ("none", [0]),
        ("shared", [0, 1]),
        ("shared", [0]),
    ]
    assert found[0].phases == [("cold", 0), ("second", 1)]
    assert found[0].guests["node2"] == [0, 7, 0]
