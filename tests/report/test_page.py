# SPDX-License-Identifier: GPL-2.0-or-later
"""The page stands alone, says what the answer is, and whatever is in a result cannot break it."""

from dataclasses import replace
from pathlib import Path

import pytest
from lxml import html

from tests.report.made import result
from tests.report.synthetic import Plan
from tmem_host.experiment.records import FILE_NAME, Result, Writer
from tmem_host.report.files import CSV_NAME, PAGE_NAME, report, write_page

_LOADS = {"src", "srcset", "poster", "data", "action", "background", "formaction"}


def parsed(path: Path) -> html.HtmlElement:
    return html.document_fromstring(path.read_text(encoding="utf-8"))


def write(folder: Path, made: Result) -> Path:
    folder.mkdir()
    with Writer(folder) as writer:
        for record in (made.header, *made.samples, *made.runs, made.end):
            if record is not None:
                writer.write(record)
    return folder


@pytest.fixture(scope="module")
def page(full: Path) -> html.HtmlElement:
    return parsed(write_page(report([full]), full))


def texts(page: html.HtmlElement, path: str) -> list[str]:
    return [
        " ".join(each.text_content().replace("\N{NO-BREAK SPACE}", " ").split())
        for each in page.iterfind(path)
    ]


def test_the_answer_is_on_top(page: html.HtmlElement) -> None:
    (sentence,) = texts(page, ".//p[@class='sentence']")
    assert sentence.startswith("2 guests, 96 MiB of data, disk profile contended: ")
    assert "of host memory saved" in sentence
    assert "fewer disk reads" in sentence


def test_its_sections(page: html.HtmlElement) -> None:
    titles = texts(page, ".//h2")
    for words in (
        "The same, measured otherwise",
        "Host memory saved, 2 guests",
        "Disk reads by arm, with 80 MiB of RAM each",
        "Host memory over time",
        "The sweep over guest RAM",
        "What to know about these figures",
        "Names",
        "Conditions",
        "Host memory at equal work",
        "The same guest RAM",
        "Where pages came from",
        "Processor time",
    ):
        assert words in titles


def test_nothing_is_loaded(page: html.HtmlElement, full: Path) -> None:
    assert page.findall(".//script") == []
    assert page.findall(".//link") == []
    for element in page.iter():
        for name, value in element.attrib.items():
            assert name not in _LOADS
            if name.endswith("href"):
                assert value.startswith("#")
            assert not name.startswith("on")
    text = (full / PAGE_NAME).read_text(encoding="utf-8")
    assert "@import" not in text
    assert "url(http" not in text


def test_it_can_be_read_by_all(page: html.HtmlElement, full: Path) -> None:
    assert page.get("lang") == "en"
    figures = page.findall(".//figure")
    assert len(figures) == 4
    for figure in figures:
        (svg,) = figure.findall("svg")
        assert svg.get("role") == "img"
        assert len(svg.get("aria-label", "")) > 40
        (caption,) = figure.findall("figcaption")
        assert caption.text_content()
    ids = [element.get("id") for element in page.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for head in page.findall(".//th"):
        assert head.get("scope") == "col"
    (style,) = texts(page, "./head/style")
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style
    for table in page.findall(".//table"):
        heads = len(table.findall("thead/tr/th"))
        assert {len(row) for row in table.findall("tbody/tr")} == {heads}


def test_conditions_are_stated(page: html.HtmlElement) -> None:
    words = " ".join(texts(page, ".//section"))
    for condition in (
        "tmem experiment run shared-pool",
        "TCG",
        "7.2.22",
        "5.10.223",
        "80, 112, 144, 176",
        "native",
        "contended",
        "cache mode none",
        "200 requests and 30 MB a second for each disk",
        "guest RAM 80, 112, 144, 176 MiB; disk contended, native; 2 rounds.",
        "one copy for all guests",
        "all guests read the data again",
        "goes through the data once more and drops it",
    ):
        assert condition in words


def test_not_comparable_is_printed(page: html.HtmlElement) -> None:
    assert any("not comparable" in cell for cell in texts(page, ".//td"))


def test_what_is_beside_it(full: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert write_page(report([full]), folder) == folder / PAGE_NAME
    assert sorted(path.name for path in folder.iterdir()) == [PAGE_NAME, FILE_NAME, CSV_NAME]
    assert (folder / FILE_NAME).read_bytes() == (full / FILE_NAME).read_bytes()
    # as it is from the result itself, from the copy on another machine
    again = write_page(report([folder]), folder)
    assert again.read_text() == (full / PAGE_NAME).read_text()


def test_what_a_result_says_is_text(tmp_path: Path) -> None:
    """A title or an arm is whatever somebody wrote into a file."""
    bad = "<script>alert('&\"')</script>"
    (made,) = result(Plan(profiles=("native",), rounds=1, arms=("none", "shared")))
    made = replace(
        made,
        header=replace(made.header, title=bad, command=bad, settings={bad: bad}),
        runs=[
            replace(run, arm=bad if run.arm == "shared" else run.arm, profile=bad)
            for run in made.runs
        ],
        samples=[
            replace(sample, arm=bad if sample.arm == "shared" else sample.arm, profile=bad)
            for sample in made.samples
        ],
    )
    page = parsed(write_page(report([write(tmp_path / "result", made)]), tmp_path / "page"))
    assert page.findall(".//script") == []
    assert texts(page, ".//h1") == [bad]
    assert len(page.findall(".//figure")) == 4


def test_a_partial_result_says_so(tmp_path: Path) -> None:
    (made,) = result(Plan(profiles=("native",), rounds=1, arms=("none", "shared")))
    cut = replace(made, end=None, runs=made.runs[:12])
    page = parsed(write_page(report([write(tmp_path / "result", cut)]), tmp_path / "page"))
    warnings = texts(page, ".//ul[@class='warnings']/li")
    assert warnings[0].startswith("Partial result: the experiment was cut off")
    assert len(page.findall(".//figure")) >= 2


def test_a_result_without_runs(tmp_path: Path) -> None:
    (made,) = result(Plan(profiles=("native",), rounds=1, arms=("none", "shared")))
    page = parsed(
        write_page(
            report([write(tmp_path / "result", replace(made, runs=[], samples=[], end=None))]),
            tmp_path / "page",
        )
    )
    (sentence,) = texts(page, ".//p[@class='sentence']")
    assert sentence.startswith("Nothing was measured")
    assert page.findall(".//figure") == []
    assert texts(page, ".//h2") == ["Conditions"]
