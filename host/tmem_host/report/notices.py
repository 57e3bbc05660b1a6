# SPDX-License-Identifier: GPL-2.0-or-later
"""What a reader has to know before believing a report: what is missing in this result, and what
no such result shows."""

from dataclasses import dataclass

from tmem_host.cli.output import count
from tmem_host.report.analysis import Analysis, Control, sizes
from tmem_host.report.merge import CUT_OFF
from tmem_host.report.points import BASE, CONTROL, Point, Setting
from tmem_host.report.words import MEASURES, mebibytes, percent, seconds

# A shared pool that is served for less of the time than this did not do all it could; of a phase
# that is over after a few looks, one look says nothing.
_SERVED_ENOUGH = 0.95
_UNSERVED_S = 0.5
_ENDS = {"interrupted": "was interrupted", CUT_OFF.status: "was cut off"}


@dataclass(frozen=True)
class Notice:
    """`warns` if it is a reason to doubt a figure."""

    warns: bool
    text: str


def notices(analysis: Analysis) -> list[Notice]:
    """Those of this result, the most serious first."""
    found = [
        *_ended(analysis),
        *(_control(analysis) if analysis.curves else []),
        *_unlike(analysis),
        *_gaps(analysis),
        *_few(analysis),
        *_sharing(analysis),
    ]
    return sorted(found, key=lambda notice: not notice.warns)


def _ended(analysis: Analysis) -> list[Notice]:
    end = analysis.end
    if end.status == "complete":
        return []
    return [
        Notice(
            True,
            f"Partial result: the experiment {_ENDS.get(end.status, end.status)}"
            f"{f' ({end.reason})' if end.reason else ''}. What was measured until then is shown.",
        )
    ]


def _control(analysis: Analysis) -> list[Notice]:
    if not analysis.controls:
        return [
            Notice(
                False,
                f'There is no arm "{CONTROL}" (tmem with sharing off, which must save about'
                " nothing), so nothing shows how far the method itself can be trusted.",
            )
        ]
    main = {headline.setting for headline in analysis.headlines}
    controls = [control for control in analysis.controls if control.setting in main]
    found = [_doubt(control) for control in controls if not control.check.passed]
    found += [_trust(control) for control in controls[:1] if control.check.passed]
    return found


def _trust(control: Control) -> Notice:
    saving = control.check.saving
    assert saving is not None
    return Notice(
        False,
        f"The control arm, which shares nothing, saves about nothing at equal"
        f" {MEASURES[control.measure]}, as it must: {mebibytes(saving.saved_bytes.median)}"
        f" ({percent(saving.share)}) where it is farthest from nothing.",
    )


def _doubt(control: Control) -> Notice:
    saving = control.check.saving
    where = f"equal {MEASURES[control.measure]}, {described(control.setting)}"
    if saving is None:
        return Notice(
            True,
            f"The control arm never did the same work as the arm {BASE} ({where}), so it does not"
            " show that the method finds nothing where there is nothing to find.",
        )
    if saving.saved_bytes.median < 0:
        return Notice(
            True,
            "The control arm, which shares nothing, should need as much as the arm"
            f" {BASE}, and needs {mebibytes(-saving.saved_bytes.median)} more"
            f" ({percent(-saving.share)}; {where}): other arms may save more than is said here.",
        )
    return Notice(
        True,
        f'The control arm, which shares nothing, "saves" {mebibytes(saving.saved_bytes.median)}'
        f" ({percent(saving.share)}; {where}), and should save about nothing: savings of that"
        " order cannot be trusted.",
    )


def _unlike(analysis: Analysis) -> list[Notice]:
    if not analysis.differences:
        return []
    listed = "; ".join(analysis.differences)
    return [Notice(True, f"The results that are put together here differ in more: {listed}.")]


def _gaps(analysis: Analysis) -> list[Notice]:
    missing = [
        f"{arm} with {size} MiB ({described(setting)})"
        for setting, arms in analysis.curves.items()
        for arm, curve in arms.items()
        for size in sizes(arms)
        if size not in {point.memory_mib for point in curve}
    ]
    if not missing:
        return []
    more = f", and {len(missing) - 3} more" if len(missing) > 3 else ""
    return [Notice(True, f"Not measured: {', '.join(missing[:3])}{more}.")]


def _few(analysis: Analysis) -> list[Notice]:
    found = []
    if analysis.rounds == 1:
        found.append(Notice(False, "There was one round only: how much figures vary is not known."))
    elif len({point.seconds.rounds for point in _points(analysis)}) > 1:
        found.append(
            Notice(True, f"Some points have fewer than {analysis.rounds} rounds behind them.")
        )
    swept = {point.memory_mib for point in _points(analysis)}
    if len(swept) == 1:
        found.append(
            Notice(
                True,
                f"Only one guest RAM, {swept.pop()} MiB, was measured: without a sweep over"
                " several sizes, savings can hardly ever be stated.",
            )
        )
    return found


def _sharing(analysis: Analysis) -> list[Notice]:
    found = []
    last = {headline.setting.phase for headline in analysis.headlines}
    for each in analysis.beside:
        point, setting = each.point, each.setting
        where = f"arm {each.arm} with {point.memory_mib} MiB, {described(setting)}"
        if point.served_share is None:
            continue
        unserved = 1 - point.served_share.median
        if unserved > 1 - _SERVED_ENOUGH and unserved * point.seconds.median >= _UNSERVED_S:
            found.append(
                Notice(
                    True,
                    f"The shared pool was served {percent(point.served_share.median)} of the time"
                    f" only ({where}){_blocked(point)}.",
                )
            )
        if (
            setting.phase in last
            and setting.guests > 1
            and point.gets.median > 0
            and (point.hits_other.high == 0)
        ):
            found.append(
                Notice(
                    True,
                    f"No guest ever got a page that another had put ({where}): sharing was not"
                    " put to the test there.",
                )
            )
    return found


def _blocked(point: Point) -> str:
    if not point.blocked_seconds:
        return ""
    worst = max(point.blocked_seconds, key=lambda name: point.blocked_seconds[name].median)
    return f"; {worst} kept it from that for {seconds(point.blocked_seconds[worst].median)}"


def _points(analysis: Analysis) -> list[Point]:
    return [each.point for each in analysis.beside]


def described(setting: Setting) -> str:
    """A setting in words."""
    return f"{count(setting.guests, 'guest')}, {setting.profile}, {setting.phase}"


def limits(analysis: Analysis) -> list[str]:
    """What such a result does not show, whatever its figures are; nothing if it has none."""
    if not analysis.curves:
        return []
    accelerators = {header.host.accelerator for header in analysis.headers}
    found = [
        "A saving is as fine as the sweep: an arm may need less than the smallest size with which"
        " it was seen to do the work. Between two neighbouring sizes the curve is taken to be"
        " straight; beyond the smallest and the largest nothing is said.",
        "Host memory is the resident memory of the guests and of the arena, at the moment when"
        " their sum was largest. The service's index (about 100 bytes a page), QEMU's own memory"
        " and the host's page tables are not in it.",
        "The figures are of this data set and this order of reading. A data set that fits into the"
        " guests' own RAM has nothing to gain from tmem; one that nobody reads twice only pays.",
        "A guest's memory does not shrink by itself: the saving is there for whoever gives the"
        " guests less RAM, not for a host whose guests keep what they have.",
    ]
    if "TCG" in accelerators:
        found.insert(
            0,
            "The guests were emulated (TCG), not virtualized: run times and processor time are many"
            " times what they are with KVM, and a page over the channel is dearer beside a disk"
            " read. Memory and disk reads do not depend on that; times do.",
        )
    return found
