# SPDX-License-Identifier: GPL-2.0-or-later
"""A report as one HTML file that needs nothing else, neither network nor script."""

import html
import re
from collections.abc import Iterable, Sequence
from importlib import resources

from tmem_host.report.analysis import Analysis
from tmem_host.report.answer import Answer
from tmem_host.report.notices import Notice
from tmem_host.report.plots import Plot
from tmem_host.report.plots.svg import in_page
from tmem_host.report.tables import Table

_WHAT = (
    "With transcendent memory (tmem), virtual machines (guests) hand pages that they have no room"
    " for to the host, which keeps them for all guests in one place, the arena. Here the same work"
    " was done without tmem and with it, in variants called arms, with less and with more RAM for"
    " the guests."
)
_FILES = (
    "All single runs are in runs.csv beside this file, everything that was recorded in"
    " result.jsonl (JSON, one record a line)."
)


def page(
    analysis: Analysis,
    *,
    answers: Sequence[Answer],
    notices: Sequence[Notice],
    limits: Sequence[str],
    plots: Sequence[Plot],
    tables: Sequence[Table],
    conditions: str,
) -> str:
    """The whole file; `conditions` is a sentence that stands right below the answer."""
    header = analysis.headers[0]
    title = header.title or header.experiment
    style = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    warnings = [notice.text for notice in notices if notice.warns]
    remarks = [notice.text for notice in notices if not notice.warns]
    main, *others = answers
    body = [
        _element("h1", _text(title)),
        _element(
            "p",
            _text(f"Experiment {header.experiment}, {header.started}, with kvm-tmem"),
            _text(f" {header.versions.kvm_tmem}, {analysis.end.status}"),
            class_="when",
        ),
        _element("p", _text(_WHAT)),
        _element("ul", *_items(warnings), class_="warnings", role="alert") if warnings else "",
        _answer(main, conditions),
        _others(others),
        *(_figure(plot) for plot in plots),
        _remarks([*remarks, *limits]),
        *(_table(table) for table in tables if table.rows),
        _element("footer", _text(_FILES)),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{_text(title)}: memory saved</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{chr(10).join(filter(None, body))}\n</main>\n</body>\n</html>\n"
    )


def _answer(answer: Answer, conditions: str) -> str:
    tiles = [
        _element("div", _element("b", _text(figure)), _element("span", _text(what)))
        for figure, what in answer.figures
    ]
    return _element(
        "section",
        _element("p", _text(answer.sentence), class_="sentence"),
        _element("div", *tiles, class_="tiles") if tiles else "",
        *(_element("p", _text(detail)) for detail in answer.details),
        _element("p", _text(conditions), class_="when"),
        class_="answer",
        aria_label="The answer",
    )


def _others(answers: Sequence[Answer]) -> str:
    if not answers:
        return ""
    return _section(
        "The same, measured otherwise", _element("ul", *_items(a.sentence for a in answers))
    )


def _remarks(remarks: Sequence[str]) -> str:
    if not remarks:
        return ""
    return _section("What to know about these figures", _element("ul", *_items(remarks)))


def _figure(plot: Plot) -> str:
    return _section(
        plot.title,
        _element(
            "figure",
            in_page(plot.svg, plot.name, _text(plot.alt)),
            _element("figcaption", _text(plot.caption)),
        ),
    )


def _table(table: Table) -> str:
    def cell(tag: str, column: int, text: str) -> str:
        kind = {}
        if table.is_figure(column):
            kind = {"class_": "figure"}
        elif column >= table.texts:
            kind = {"class_": "remark"}
        scope = {"scope": "col"} if tag == "th" else {}
        return _element(tag, _text(text), **kind, **scope)

    head = _element("tr", *(cell("th", n, text) for n, text in enumerate(table.heads)))
    rows = [
        _element("tr", *(cell("td", n, text) for n, text in enumerate(row))) for row in table.rows
    ]
    return _section(
        table.title,
        _element("p", _text(table.about)),
        _element(
            "div",
            _element("table", _element("thead", head), _element("tbody", *rows)),
            class_="wide",
            tabindex="0",
            role="region",
            aria_label=table.title,
        ),
    )


def _section(title: str, *content: str) -> str:
    return _element("section", _element("h2", _text(title)), *content)


def _items(texts: Iterable[str]) -> list[str]:
    return [_element("li", _text(text)) for text in texts]


def _element(tag: str, *content: str, **attributes: str) -> str:
    """An element; `content` is markup."""
    listed = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_text(value)}"'
        for name, value in attributes.items()
    )
    return f"<{tag}{listed}>{''.join(content)}</{tag}>"


def _text(text: str) -> str:
    """Text as markup; a figure is never parted from its unit."""
    return html.escape(re.sub(r"(\d) (MiB|%|s\b)", "\\1\N{NO-BREAK SPACE}\\2", text))
