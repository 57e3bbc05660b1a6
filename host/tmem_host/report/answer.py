# SPDX-License-Identifier: GPL-2.0-or-later
"""What came out, in words for somebody who has not read a manual."""

from dataclasses import dataclass, replace
from typing import Any

from tmem_host.cli.output import count
from tmem_host.report.analysis import Analysis, Beside, Headline
from tmem_host.report.points import COLD, SECOND, WHOLE, Spread
from tmem_host.report.saving import Need, Saving
from tmem_host.report.words import MEASURES, mebibytes, percent, percents, spread, times, work

# Less than this share of what the base arm needs is not called a saving.
_ABOUT_NOTHING = 0.01


@dataclass(frozen=True)
class Answer:
    """`sentence` alone must do; `details` are what it stands on, in the order of importance;
    `figures` are a few of them, each with what it is."""

    sentence: str
    details: list[str]
    figures: list[tuple[str, str]]


def answers(analysis: Analysis) -> list[Answer]:
    """One for each headline; at least one."""
    if not analysis.headlines:
        why = analysis.end.reason or "the result has no runs"
        return [Answer(f"Nothing was measured: {why}.", [], [])]
    return [_answer(analysis, headline) for headline in analysis.headlines]


def _answer(analysis: Analysis, headline: Headline) -> Answer:
    subject = _subject(analysis, headline)
    if headline.saving is None or headline.arm is None:
        return _without_saving(analysis, headline, subject)
    saving = headline.saving
    beside = analysis.beside_of(
        headline.setting, headline.arm, headline.size_mib(analysis.sizes_of(headline.setting))
    )
    parts = [_saved(saving), *_reads(beside)]
    return Answer(
        f"{subject}: {', '.join(parts)}.",
        [
            _equal_work(headline, saving),
            *_other_measure(analysis, headline),
            *_beside_sentences(analysis, headline, beside),
        ],
        [
            (
                f"{mebibytes(saving.saved_bytes.median)} ({percent(saving.share)})",
                f"of host memory saved at equal {MEASURES[headline.measure]}",
            ),
            *_figures(analysis, headline, beside),
        ],
    )


def _without_saving(analysis: Analysis, headline: Headline, subject: str) -> Answer:
    sentence = f"{subject}: no saving of host memory can be stated"
    if headline.arm is None:
        return Answer(f"{sentence}.", [f"Why: {headline.reason}."], [])
    of_arm = [
        each
        for each in analysis.beside
        if (each.setting, each.arm) == (headline.setting, headline.arm)
    ]
    parts = [sentence, *_reads(of_arm[0])]
    return Answer(
        ", ".join(parts) + ".",
        [
            f"Why: {headline.reason}.",
            *_beside_sentences(analysis, headline, of_arm[0]),
        ],
        _figures(analysis, headline, of_arm[0]),
    )


def _subject(analysis: Analysis, headline: Headline) -> str:
    subject = count(headline.setting.guests, "guest")
    size = data_bytes(analysis.headers[0].settings)
    if size is not None:
        subject += f", {mebibytes(size)} of data"
    if len({each.setting.profile for each in analysis.headlines}) > 1:
        subject += f", disk profile {headline.setting.profile}"
    return subject


def data_bytes(settings: dict[str, Any]) -> int | None:
    """The size of the data that the guests read, if they read a given one."""
    data = settings.get("data")
    size = data.get("size") if isinstance(data, dict) else None
    return size if isinstance(size, int) else None


def _saved(saving: Saving) -> str:
    saved = saving.saved_bytes
    if saved.low <= 0 <= saved.high or abs(saving.share) < _ABOUT_NOTHING:
        return "no host memory saved"
    if saved.median < 0:
        return f"{mebibytes(-saved.median)} more host memory needed ({percent(-saving.share)})"
    return f"{mebibytes(saved.median)} of host memory saved ({percent(saving.share)})"


def _reads(beside: Beside | None) -> list[str]:
    if beside is None or beside.reads_avoided is None:
        return []
    avoided = beside.reads_avoided
    if avoided < 0:
        return [f"{percent(-avoided)} more disk reads"]
    return [f"{percent(avoided)} fewer disk reads"]


def _equal_work(headline: Headline, saving: Saving) -> str:
    guests = headline.setting.guests
    amount = f"{work(headline.measure, saving.work)} of {MEASURES[headline.measure]}"
    sentence = (
        f"To do the same work ({amount}, all guests together), guests without tmem need"
        f" {_need(saving.base, guests)}. With tmem (the arm {headline.arm}) they need"
        f" {_need(saving.arm, guests)}, what tmem holds for them included."
    )
    return sentence + _over_rounds(saving.saved_bytes)


def _need(need: Need, guests: int) -> str:
    return f"{mebibytes(need.host_bytes.median)} of host memory ({sized(need, guests)})"


def sized(need: Need, guests: int) -> str:
    """With which guest RAM an arm had that need, and how that is known."""
    each = f"{guests} x {need.memory_mib:.0f} MiB of RAM"
    if need.between_mib is not None:
        return f"{each}, interpolated between {need.between_mib[0]} and {need.between_mib[1]}"
    if need.not_with_mib is not None:
        return f"{each}; {need.not_with_mib} were not enough"
    return each


def _over_rounds(saved: Spread) -> str:
    if saved.rounds == 1:
        return " There was one round only, so how much this varies is not known."
    return f" Over {saved.rounds} rounds, saved: {spread(saved)}."


def _other_measure(analysis: Analysis, headline: Headline) -> list[str]:
    """What the same arm saves with the other measure held equal."""
    other = "seconds" if headline.measure == "read_bytes" else "read_bytes"
    assert headline.arm is not None
    comparison = analysis.comparison_of(headline.setting, headline.arm, other)
    if comparison is None or comparison.most is None:
        return [
            f"At equal {MEASURES[other]} nothing can be stated: the two never had the same, nor"
            " anything on both sides of it."
        ]
    saving = comparison.most
    return [
        f"At equal {MEASURES[other]} ({work(other, saving.work)}) instead: {_saved(saving)}, with"
        f" {saving.arm.memory_mib:.0f} MiB of RAM each."
    ]


def _beside_sentences(analysis: Analysis, headline: Headline, beside: Beside | None) -> list[str]:
    if beside is None:
        return []
    ram = f"{beside.point.memory_mib} MiB of RAM each"
    found = []
    if len(beside.guest_reads_avoided) > 1 and beside.reads_avoided is not None:
        found.append(
            f"Disk reads that the guests are spared, one by one, with {ram}:"
            f" {percents(beside.guest_reads_avoided)}."
        )
    if beside.times_faster is not None:
        found.append(
            f"With {ram}, {_phase(headline)} is {_pace(beside.times_faster)} than without tmem."
        )
    second = same_point(analysis, beside, SECOND)
    if second is not None and second.reads_avoided is not None and second.reads_avoided > 0:
        found.append(
            "When the other guests read the data for the first time, after one of them has, they"
            f" read {percent(second.reads_avoided)} less from disk."
        )
    cold = cold_cost(analysis, beside)
    if cold is not None:
        so = ": that is what putting pages away costs"
        if cold < 0:
            so = ", so what putting pages away costs is less than runs differ by themselves"
        found.append(
            f"Reading the data for the very first time takes {percent(abs(cold))}"
            f" {'longer' if cold >= 0 else 'less long'} than without tmem{so}."
        )
    return found


def _phase(headline: Headline) -> str:
    return {"reread": "reading again", WHOLE: "everything together"}.get(
        headline.setting.phase, headline.setting.phase
    )


def _pace(times_faster: float) -> str:
    if times_faster >= 1:
        return f"{times(times_faster)} faster"
    return f"{times(1 / times_faster)} slower"


def same_point(analysis: Analysis, beside: Beside, phase: str) -> Beside | None:
    """The same arm with the same RAM and all, in another phase."""
    setting = replace(beside.setting, phase=phase)
    return analysis.beside_of(setting, beside.arm, beside.point.memory_mib)


def cold_cost(analysis: Analysis, beside: Beside) -> float | None:
    """By which share of the base arm's time the arm's cold phase, with the same RAM, was longer;
    None where there is no such phase."""
    cold = same_point(analysis, beside, COLD)
    return 1 / cold.times_faster - 1 if cold is not None and cold.times_faster else None


def _figures(
    analysis: Analysis, headline: Headline, beside: Beside | None
) -> list[tuple[str, str]]:
    if beside is None:
        return []
    found = []
    ram = f"with {beside.point.memory_mib} MiB of RAM each"
    if beside.reads_avoided is not None:
        avoided = beside.reads_avoided
        found.append(
            (percent(abs(avoided)), f"{'fewer' if avoided >= 0 else 'more'} disk reads {ram}")
        )
    if beside.times_faster is not None:
        figure, _, word = _pace(beside.times_faster).partition(" ")
        found.append((figure, f"{word} {_phase(headline)} {ram}"))
    cold = cold_cost(analysis, beside)
    if cold is not None:
        found.append(
            (percent(abs(cold)), f"{'longer' if cold >= 0 else 'shorter'}: the very first reading")
        )
    return found
