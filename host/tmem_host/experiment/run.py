# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs an experiment from nothing to its result, and removes everything but that."""

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from tmem_host.control import ControlError
from tmem_host.experiment import datadisk, system
from tmem_host.experiment.datadisk import DataDisk
from tmem_host.experiment.errors import ExperimentError
from tmem_host.experiment.lock import only_one
from tmem_host.experiment.phases import Recorder
from tmem_host.experiment.plan import Point, plan
from tmem_host.experiment.progress import PointProgress
from tmem_host.experiment.records import Disks, End, Header, Run, Sample, Writer
from tmem_host.experiment.service import PrivateService
from tmem_host.experiment.settings import Settings
from tmem_host.experiment.stage import DISK_CACHE, Stage, staged
from tmem_host.experiment.system import System
from tmem_host.experiment.workloads import phases
from tmem_host.provision.agent import AgentError
from tmem_host.provision.errors import ProvisionError
from tmem_host.provision.progress import Progress
from tmem_host.provision.vm.spec import IO_PROFILES

_LOGS = "logs"


def run(settings: Settings, output: Path, *, command: str, progress: Progress) -> None:
    """Runs all points and leaves their records in the folder `output`, which it makes.

    ExperimentError, in one sentence, or KeyboardInterrupt. Whatever happens, no VM, service, disk
    or arena is left; records that were written stay, and the last one says how the experiment
    ended.
    """
    with only_one(progress) as state:
        system.check_host(settings, state)
        built = system.build(progress)
        with PrivateService(state, arena_bytes=settings.arena) as service:
            data = None
            if settings.workload != "memory":
                data = datadisk.make(settings, service, built, progress)
            experiment = _Experiment(settings, output, service, built, data)
            with experiment.result(command):
                experiment.run(progress)


class _Experiment:
    """An experiment with everything there that it needs."""

    def __init__(
        self,
        settings: Settings,
        output: Path,
        service: PrivateService,
        built: System,
        data: DataDisk | None,
    ) -> None:
        self._settings = settings
        self._output = output
        self._service = service
        self._built = built
        self._data = data
        self._lock = Lock()

    @contextmanager
    def result(self, command: str) -> Iterator[None]:
        """Writes the header, and at the end how the experiment ended."""
        try:
            self._output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExperimentError(f"cannot make {self._output}: {error.strerror}") from error
        self._began = time.monotonic()
        with Writer(self._output) as self._writer:
            self._writer.write(self._header(command))
            try:
                yield
            except KeyboardInterrupt:
                self._end("interrupted", "somebody ended it")
                raise
            except (ExperimentError, ProvisionError, ControlError, AgentError) as error:
                # what a guest's console said last is kept in a file of its own
                sentence = str(error).partition("\n")[0].partition("; from ")[0]
                self._end("failed", sentence)
                logs = f", and logs in {_LOGS}/ there" if (self._output / _LOGS).exists() else ""
                raise ExperimentError(
                    f"{sentence}; what was measured is in {self._output}{logs}"
                ) from error
            except BaseException:
                self._end("failed", "an error of the program")
                raise
            self._end("complete", "")

    def run(self, progress: Progress) -> None:
        """Measures every point."""
        points = plan(self._settings)
        shown = PointProgress(progress, points)
        for point in points:
            began = time.monotonic()
            shown.begin(point)
            with contextlib.ExitStack() as stack:
                with shown.task("booting"):
                    stage = stack.enter_context(
                        staged(
                            self._settings,
                            point,
                            self._service,
                            self._built,
                            self._data,
                            logs=self._output / _LOGS,
                        )
                    )
                self._measure(stage, point, shown)
            shown.done(point, time.monotonic() - began)

    def _measure(self, stage: Stage, point: Point, shown: Progress) -> None:
        recorder = Recorder(stage, point, self._began, self._write)
        names = [guest.name for guest in stage.guests]
        for phase in phases(self._settings, names, point.round):
            with shown.task(phase.name):
                recorder.run(phase)

    def _write(self, record: Run | Sample) -> None:
        # samples come from a thread of their own
        with self._lock:
            self._writer.write(record)

    def _end(self, status: str, reason: str) -> None:
        seconds = time.monotonic() - self._began
        # the disk may be full, which is what is being told
        with contextlib.suppress(ExperimentError):
            self._writer.write(End(status=status, reason=reason, seconds=seconds))

    def _header(self, command: str) -> Header:
        return Header(
            experiment=self._settings.name,
            title=self._settings.title,
            settings=self._settings.as_map(),
            seed=self._settings.seed,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command,
            host=system.host(self._built, self._service.state),
            versions=system.versions(self._built),
            disks=Disks(
                cache=DISK_CACHE.value,
                profiles={name: IO_PROFILES[name] for name in self._settings.profiles},
            ),
        )
