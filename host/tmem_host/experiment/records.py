# SPDX-License-Identifier: GPL-2.0-or-later
"""What an experiment leaves: `result.jsonl` in its folder, one record a line.

The first record is the header, the last says how the experiment ended; between them are runs, one
for each measured phase of an arm, and samples, about one a second. Without an end the experiment
was cut off, and what it measured until then is there all the same. Every figure is of the host:
what a guest says of itself is among the `work` of a run, by name.
"""

import dataclasses
import json
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tmem_host.control.codec import BadValue, decode, encode
from tmem_host.experiment.errors import BadResult, ExperimentError
from tmem_host.provision.vm.spec import IoProfile

FORMAT = 2
FILE_NAME = "result.jsonl"

STATUSES = ("complete", "interrupted", "failed")


@dataclass(frozen=True, kw_only=True)
class Host:
    """Where the experiment ran. `accelerator` is "KVM", or "TCG" where guests are emulated;
    `storage` is the file system that the guests' disks are on, and what that is on."""

    cpu: str
    processors: int
    memory_bytes: int
    kernel: str
    accelerator: str
    storage: str = ""


@dataclass(frozen=True, kw_only=True)
class Versions:
    """Of everything that was measured; `image` is the name that its contents give it. `kvm_tmem`
    names the commit, too, where it is run from a checkout."""

    kvm_tmem: str
    qemu: str
    libvirt: str
    guest_kernel: str
    image: str


@dataclass(frozen=True, kw_only=True)
class Disks:
    """The guests' disks that were measured: what the host's page cache does for them, and the
    limits of each by the name of the profile."""

    cache: str
    profiles: dict[str, IoProfile]


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the experiment was. `settings` are those of its file with all defaults filled in and
    what the command line changed; `started` is an ISO 8601 time with its zone."""

    format: int = FORMAT
    experiment: str
    title: str
    settings: dict[str, Any]
    seed: int
    started: str
    command: str
    host: Host
    versions: Versions
    disks: Disks


@dataclass(frozen=True, kw_only=True)
class GuestRun:
    """One guest in one run. What counts up is the difference between the run's end and begin.

    Disk figures are QEMU's block statistics of the data disk, swap figures those of the disk that
    the guest swaps to. `resident_bytes` is the resident part of the guest's memory at the end,
    `cpu_seconds` what its QEMU used. `round_trips` are requests of its kernel's tmem session;
    `hits_other` are hits of pages that another guest put. All tmem figures are 0 without tmem.
    """

    name: str
    seconds: float
    disk_read_bytes: int
    disk_read_requests: int
    disk_write_bytes: int
    swap_read_bytes: int
    swap_write_bytes: int
    resident_bytes: int
    cpu_seconds: float
    round_trips: int
    hits_own: int
    hits_other: int
    gets: int
    puts: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """One measured phase of one arm at one point of the sweep.

    `memory_mib` is the RAM of each guest. `phase` is "cold", "reread", or the workload's own name.
    `seconds` is from the first guest's begin to the last one's end. Arena figures and
    `mem_available_bytes` (the host's MemAvailable) are of the end of the run; `arena_shared_pages`
    are those in shared pools. `shared_served_ratio` is the share of the run in which a shared pool
    was served, None where no guest was in one; `blocked_by` says for how long each client kept one
    from being served.
    """

    arm: str
    profile: str
    round: int
    memory_mib: int
    guests: int
    phase: str
    seconds: float
    work: dict[str, float]
    guest: list[GuestRun]
    arena_resident_bytes: int
    arena_pages: int
    arena_shared_pages: int
    mem_available_bytes: int
    service_cpu_seconds: float
    shared_served_ratio: float | None = None
    blocked_by: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The host's memory at one moment. `t_seconds` counts from the header."""

    t_seconds: float
    arm: str
    profile: str
    round: int
    memory_mib: int
    phase: str
    guest_resident_bytes: dict[str, int]
    arena_resident_bytes: int
    mem_available_bytes: int


@dataclass(frozen=True, kw_only=True)
class End:
    """How the experiment ended: one of STATUSES, and why unless complete."""

    status: str
    reason: str
    seconds: float


Record = Header | Run | Sample | End
_KINDS: dict[str, type[Record]] = {"header": Header, "run": Run, "sample": Sample, "end": End}
_NAMES = {kind: name for name, kind in _KINDS.items()}


@dataclass(frozen=True, kw_only=True)
class Result:
    """A whole result. `end` is None when the experiment was cut off."""

    path: Path
    header: Header
    runs: list[Run]
    samples: list[Sample]
    end: End | None


class Writer:
    """Appends records to a new result, each whole and at once. A context manager; thread-safe only
    as far as one write() is one line."""

    def __init__(self, folder: Path) -> None:
        """ExperimentError if there is a result in `folder` already, or none can be made."""
        self.path = folder / FILE_NAME
        with _explained(self.path, "cannot make"):
            self._file = self.path.open("xb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, record: Record) -> None:
        """ExperimentError if it cannot be written."""
        line = json.dumps({"kind": _NAMES[type(record)]} | encode(record)).encode() + b"\n"
        with _explained(self.path, "cannot write"):
            if self._file.write(line) != len(line):
                raise ExperimentError(f"cannot write {self.path}: the disk is full")


def read(path: Path) -> Result:
    """The result in a folder, or in a file; BadResult.

    A last line without its end is what a kill left of a record, and is not read. Nor are fields
    that this version does not know: a later one of the same format may add some.
    """
    if path.is_dir():
        path = path / FILE_NAME
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise BadResult(f"cannot read the result {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise BadResult(f"{path} is not a result: it is not UTF-8 text") from None
    whole = text[: text.rfind("\n") + 1]
    records = [_record(path, number, line) for number, line in enumerate(whole.splitlines(), 1)]
    if not records or not isinstance(records[0], Header):
        raise BadResult(f"{path} is not a result: it does not begin with a header")
    ends = [record for record in records if isinstance(record, End)]
    return Result(
        path=path,
        header=records[0],
        runs=[record for record in records if isinstance(record, Run)],
        samples=[record for record in records if isinstance(record, Sample)],
        end=ends[-1] if ends else None,
    )


def _record(path: Path, number: int, line: str) -> Record:
    try:
        fields: dict[str, Any] = json.loads(line)
        kind = _KINDS[fields.pop("kind")]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadResult(f"{path}:{number}: is not a record of a result") from None
    if kind is Header and fields.get("format") != FORMAT:
        raise BadResult(
            f"{path} has the format {fields.get('format')}, and this version reads {FORMAT}"
        )
    try:
        record: Record = decode(_known(fields, kind), kind)
    except BadValue as error:
        raise BadResult(f"{path}:{number}: {error}") from None
    return record


def _known(value: Any, hint: Any) -> Any:
    """`value` without what a later version has added to its records."""
    if typing.get_origin(hint) is list and isinstance(value, list):
        return [_known(item, typing.get_args(hint)[0]) for item in value]
    if typing.get_origin(hint) is dict and isinstance(value, dict):
        return {name: _known(item, typing.get_args(hint)[1]) for name, item in value.items()}
    if not dataclasses.is_dataclass(hint) or not isinstance(value, dict):
        return value
    hints = typing.get_type_hints(hint)
    return {name: _known(item, hints[name]) for name, item in value.items() if name in hints}


@contextmanager
def _explained(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise ExperimentError(
            f"there is a result at {path} already; name another --output"
        ) from None
    except OSError as error:
        raise ExperimentError(f"{what} {path}: {error.strerror}") from error


def field_names(kind: type[Record] | type[GuestRun]) -> list[str]:
    """The fields of a record, as they are written."""
    return [item.name for item in dataclasses.fields(kind)]
