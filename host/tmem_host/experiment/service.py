# SPDX-License-Identifier: GPL-2.0-or-later
"""A service of an experiment's own: nothing of the user's service or VMs is touched, and nothing of
theirs is measured.

Below one directory with a short path it has its control socket, its VMs and libvirt's embedded
root; its arena is on /dev/shm. It ends when the experiment's process does, however that ends.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from tmem_host.control import Connection, ControlError, NoService
from tmem_host.experiment.errors import ExperimentError
from tmem_host.provision.vm.connection import EMBED
from tmem_host.provision.vm.errors import VmError
from tmem_host.provision.vm.places import places_at
from tmem_host.provision.vm.provisioner import Provisioner
from tmem_host.provision.vm.remote import RemoteProvisioner
from tmem_host.provision.vm.stopping import undisturbed

_SHM = Path("/dev/shm")
_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 30.0
_LOOK_AGAIN_S = 0.05
_SHOWN_BYTES = 2000

_CONFIG = """\
[arena]
path = "{arena}"
budget = {budget}
# nothing but the workload shall use processors or change what is held
scrub = false
[pressure]
enabled = false
[control]
socket = "{socket}"
[libvirt]
uri = "{uri}"
"""


class PrivateService:
    """A running service below `state`, an existing directory. A context manager: at its end all
    VMs are gone, and so are the service, its arena and everything below `state`."""

    def __init__(self, state: Path, *, arena_bytes: int) -> None:
        self.state = state
        self.log = state / "service.log"
        self.socket = state / "control.sock"
        self._places = places_at(state)
        self._pid_file = state / "service.pid"
        self._arena_bytes = arena_bytes
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            with undisturbed():
                self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with undisturbed():
            self._stop()

    @property
    def pid(self) -> int:
        """Of the running service."""
        if self._process is None:
            raise ExperimentError("the experiment's service does not run")
        return self._process.pid

    def connect(self) -> Connection:
        """A connection of the caller's own; ControlError."""
        return Connection(self.socket)

    def vms(self) -> RemoteProvisioner:
        """Its VMs, to be entered; for one thread."""
        return RemoteProvisioner(self.socket, EMBED, self._places)

    def call(self, method: str, **arguments: Any) -> Any:
        """What the service answers; ControlError."""
        with self.connect() as connection:
            return connection.call(method, **arguments)

    def _start(self) -> None:
        folder = arena_folder(self.state)
        config = self.state / "tmem.toml"
        self._end_former()
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            config.write_text(
                _CONFIG.format(
                    arena=folder / "arena",
                    budget=self._arena_bytes,
                    socket=self.socket,
                    uri=EMBED,
                )
            )
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [
                        *("setpriv", "--pdeathsig", "TERM", "--"),
                        *(sys.executable, "-m", "tmem_host.cli", "serve"),
                        *("--config", str(config)),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=os.environ | {"TMEM_VM_STATE": str(self.state)},
                    # Ctrl-C is for the experiment, which ends its service in its own time
                    start_new_session=True,
                )
            self._pid_file.write_text(str(self._process.pid))
        except FileNotFoundError as error:
            if error.filename != "setpriv":
                raise
            raise ExperimentError(
                "setpriv is not installed; run: apt-get install util-linux"
            ) from None
        deadline = time.monotonic() + _START_LIMIT_S
        while not self._follows_domains():
            if self._process.poll() is not None:
                raise ExperimentError(f"the experiment's service ended at once: {self._said()}")
            if time.monotonic() > deadline:
                raise ExperimentError(
                    f"the experiment's service was not up within {_START_LIMIT_S:.0f} s:"
                    f" {self._said()}"
                )
            time.sleep(_LOOK_AGAIN_S)

    def _end_former(self) -> None:
        """Waits for the service of an experiment that was killed, which ends with it."""
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return
        deadline = time.monotonic() + _STOP_LIMIT_S
        while _runs(pid, self.state) and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN_S)

    def _follows_domains(self) -> bool:
        try:
            events = self.call("events.recent")
        except NoService:
            return False
        for event in events:
            if event["kind"] == "libvirt-away":
                raise ExperimentError(f"the experiment's service has no libvirt: {event['text']}")
        return any(event["kind"] == "libvirt-there" for event in events)

    def _said(self) -> str:
        text = self.log.read_bytes()[-_SHOWN_BYTES:].decode(errors="replace")
        lines = [line for line in text.splitlines() if line.strip()]
        return lines[-1].strip() if lines else "it said nothing"

    def _stop(self) -> None:
        try:
            with self.vms() as vms:
                _destroy_all(vms)
        except ControlError:
            self._end_process()
            # without its service, this process may have the root open
            with (
                contextlib.suppress(VmError),
                Provisioner(uri=EMBED, places=self._places) as own,
            ):
                _destroy_all(own)
        self._end_process()
        shutil.rmtree(arena_folder(self.state), ignore_errors=True)
        shutil.rmtree(self.state, ignore_errors=True)

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


def _runs(pid: int, state: Path) -> bool:
    """Whether this process is the service below `state`."""
    try:
        return os.fsencode(state) in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _destroy_all(vms: Provisioner) -> None:
    for info in vms.vms():
        with contextlib.suppress(VmError):
            vms.destroy(info.name)


def arena_folder(state: Path) -> Path:
    """Where the arena of the service below `state` is."""
    return _SHM / state.name
