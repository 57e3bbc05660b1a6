# SPDX-License-Identifier: GPL-2.0-or-later
"""Savings as tables."""

from collections.abc import Callable

from tmem_host.report.analysis import Analysis, Compared
from tmem_host.report.answer import sized
from tmem_host.report.points import BASE
from tmem_host.report.saving import NotComparable, Saving
from tmem_host.report.tables import Table, table, without
from tmem_host.report.words import MEASURES, UNKNOWN, mebibytes, percent, spread, work

_NOT_COMPARABLE = (UNKNOWN, UNKNOWN, "not comparable", "", "")
_Row = tuple[float, tuple[str, ...]]  # the work, by which rows are sorted, and the cells


def savings(analysis: Analysis) -> Table:
    """All works that were compared, and what could not be."""
    return _table(analysis.compared, _all_of)


def best_savings(analysis: Analysis) -> Table:
    """The main phase only, and there where each arm saves most; narrower."""
    main = {headline.setting for headline in analysis.headlines}
    best = _table([each for each in analysis.compared if each.setting in main], _best_of)
    return without(best, "Over rounds", "Guest RAM")


def _table(compared: list[Compared], rows_of: Callable[[Compared], list[_Row]]) -> Table:
    return table(
        "Host memory at equal work",
        f'What an arm and the arm "{BASE}" need to get by with the same disk reads, or the same'
        " run time (within 5 %).",
        ("Arm", "Equal", f"{BASE} needs", "Arm needs", "Saved", "", "Over rounds", "Guest RAM"),
        (
            (each.setting, (each.arm, *cells))
            for each in compared
            for _, cells in sorted(rows_of(each))
        ),
        texts=1,
        remarks=1,
    )


def _all_of(each: Compared) -> list[_Row]:
    comparison = each.comparison
    rows = [_saving(saving, each) for saving in comparison.savings]
    rows += [_missed(missed, each) for missed in comparison.not_comparable]
    return rows or [_nothing(each)]


def _best_of(each: Compared) -> list[_Row]:
    comparison = each.comparison
    if comparison.most is not None:
        return [_saving(comparison.most, each)]
    return [_missed(missed, each) for missed in comparison.not_comparable[:1]] or [_nothing(each)]


def _saving(saving: Saving, each: Compared) -> _Row:
    guests = each.setting.guests
    return saving.work, (
        _equal(each.measure, saving.work),
        mebibytes(saving.base.host_bytes.median),
        mebibytes(saving.arm.host_bytes.median),
        mebibytes(saving.saved_bytes.median),
        percent(saving.share),
        spread(saving.saved_bytes),
        f"{BASE}: {sized(saving.base, guests)}. {each.arm}: {sized(saving.arm, guests)}",
    )


def _missed(missed: NotComparable, each: Compared) -> _Row:
    nearest = work(each.measure, missed.closest_work)
    return missed.work, (
        _equal(each.measure, missed.work),
        *_NOT_COMPARABLE,
        f"{BASE} comes nearest with {missed.closest_memory_mib} MiB: {nearest}. {each.arm}:"
        f" {each.setting.guests} x {missed.memory_mib} MiB of RAM",
    )


def _nothing(each: Compared) -> _Row:
    return 0.0, (MEASURES[each.measure], *_NOT_COMPARABLE, each.comparison.reason or "")


def _equal(measure: str, amount: float) -> str:
    return work(measure, amount) + (" read" if measure == "read_bytes" else "")
