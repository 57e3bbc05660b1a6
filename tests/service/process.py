# SPDX-License-Identifier: GPL-2.0-or-later
"""A service in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tmem_host.control import Connection, ControlError

START_SECONDS = 60


class ServiceProcess:
    """`tmem serve` over an arena in `folder`, once it is started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "control.sock"
        self.config = folder / "tmem.toml"
        self.log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.write_config()

    def write_config(
        self,
        more: str = "",
        budget: str = "32MiB",
        server: str = "lease = '200ms'\nexpel = '2s'\n",
    ) -> None:
        """What it reads at its next start. It looks at no pressure unless `more` says so: what the
        host does meanwhile is not to show."""
        if "[pressure]" not in more:
            more = f"[pressure]\nenabled = false\n{more}"
        places = self.places_in(self.folder, socket=self.socket, budget=budget)
        text = f"{places}[server]\nworkers = 1\n{server}{more}"
        self.config.write_text(text, encoding="utf-8")

    @staticmethod
    def places_in(folder: Path, *, socket: Path, budget: str = "32MiB") -> str:
        """The part of a configuration that says where everything is."""
        return (
            f"[arena]\npath = '{folder}/arena'\nbudget = '{budget}'\nshared_auth_all = true\n"
            f"[control]\nsocket = '{socket}'\n"
        )

    # ---- the process ---------------------------------------------------------------------

    def start(self, **environment: str) -> None:
        """Returns once it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tmem_host.cli", "serve", "--config", str(self.config)],
                stderr=log,
                env={**os.environ, **environment},
            )
        self.wait_for(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            self.call("service.info")
        except ControlError:
            return False
        return True

    def send_signal(self, number: int) -> None:
        """To the process, which runs."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit status."""
        if self._process is None:
            return 0
        self.send_signal(number)
        status = self._process.wait(START_SECONDS)
        self._process = None
        return status

    @staticmethod
    def wait_for(condition: Callable[[], Any]) -> Any:
        """What `condition` returns once it is true."""
        until = time.monotonic() + START_SECONDS
        while not (found := condition()):
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.02)
        return found

    def call(self, method: str, **arguments: Any) -> Any:
        """What the control method returns."""
        with Connection(self.socket) as connection:
            return connection.call(method, **arguments)

    def end(self) -> None:
        """Kills it if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
