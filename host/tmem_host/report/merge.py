# SPDX-License-Identifier: GPL-2.0-or-later
"""Several results of one experiment as one: more rounds, other numbers of guests, other sizes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tmem_host.experiment.errors import BadResult
from tmem_host.experiment.records import End, Header, Result, Run, Sample

CUT_OFF = End(
    status="cut off",
    reason="it, or the machine, was stopped before it could say how it ended",
    seconds=0.0,
)
# Results may differ in these and still be points of one sweep.
_SWEPT = {"title", "guests", "memory", "arms", "profiles", "rounds", "seed"}


@dataclass(frozen=True)
class Merged:
    """All runs and samples; rounds of later results are counted on from those before."""

    headers: list[Header]
    end: End  # that of the first result that is not complete, if there is one
    runs: list[Run]
    samples: list[Sample]
    differences: list[str]  # what should be alike and is not


def merge(results: Sequence[Result]) -> Merged:
    """At least one result. BadResult if they are of different experiments."""
    first = results[0]
    for other in results[1:]:
        if other.header.experiment != first.header.experiment:
            raise BadResult(
                f"{other.path} is a result of {other.header.experiment}, and {first.path} one of"
                f" {first.header.experiment}: they cannot be reported as one"
            )
    runs: list[Run] = []
    samples: list[Sample] = []
    for result in results:
        before = max((run.round for run in runs), default=0)
        runs += [replace(run, round=run.round + before) for run in result.runs]
        samples += [replace(sample, round=sample.round + before) for sample in result.samples]
    ends = [_end(result) for result in results]
    return Merged(
        headers=[result.header for result in results],
        end=next((end for end in ends if end.status != "complete"), ends[0]),
        runs=runs,
        samples=samples,
        differences=_differences([result.header for result in results]),
    )


def _end(result: Result) -> End:
    end = result.end or CUT_OFF
    # reports make it a part of sentences of their own
    return replace(end, reason=end.reason.rstrip(" .:;"))


def _differences(headers: Sequence[Header]) -> list[str]:
    # profiles may be added by a result, but one name means the same limits in all of them
    common = set.intersection(*(set(header.disks.profiles) for header in headers))
    described = [_described(header, common) for header in headers]
    names = sorted({name for each in described for name in each})
    return [
        f"{name}: {' and '.join(values)}"
        for name in names
        for values in [sorted({str(each.get(name, "not given")) for each in described})]
        if len(values) > 1
    ]


def _described(header: Header, profiles: set[str]) -> dict[str, Any]:
    settings = {key: value for key, value in header.settings.items() if key not in _SWEPT}
    return (
        flat(settings)
        | {f"host {name}": value for name, value in vars(header.host).items()}
        | {f"version of {name}": value for name, value in vars(header.versions).items()}
        | {"cache mode of the disks": header.disks.cache}
        | {
            f"disk profile {name}": (
                f"{limits.iops} requests, {limits.bytes_per_second} bytes a second"
            )
            for name, limits in header.disks.profiles.items()
            if name in profiles
        }
    )


def flat(settings: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Settings in sections as one level: {"data": {"size": 1}} is {"data.size": 1}."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = value
    return found
