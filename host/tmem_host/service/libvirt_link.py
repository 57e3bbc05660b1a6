# SPDX-License-Identifier: GPL-2.0-or-later
"""The service's connection to libvirt: kept for as long as the service runs, made again when
libvirt comes back."""

import threading
from typing import Any

from tmem_host.control.errors import CallRefused
from tmem_host.provision.vm.connection import choose_places
from tmem_host.provision.vm.errors import VmError
from tmem_host.provision.vm.provisioner import Provisioner
from tmem_host.provision.vm.remote import serve_call
from tmem_host.service.domains import Domains
from tmem_host.service.journal import Tell

RETRY_S = 5.0
LOOK_S = 1.0


class LibvirtLink:
    """Follows the domains of the connection `uri` in a thread of its own."""

    def __init__(self, uri: str, domains: Domains, tell: Tell) -> None:
        self._uri = uri
        self._domains = domains
        self._tell = tell
        self._provisioner: Provisioner | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tmem-libvirt", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def name_of(self, uuid_or_id: str) -> str | None:
        """The name of the domain with this uuid or id; None if libvirt knows none, or is away."""
        provisioner = self._provisioner
        return provisioner.name_of(uuid_or_id) if provisioner is not None else None

    def about(self) -> dict[str, str]:
        """Which connection it is, and where its VMs keep their files."""
        return {"uri": self._uri, "state": str(choose_places(self._uri).state)}

    def call(self, name: str, arguments: dict[str, Any]) -> Any:
        """A method of the Provisioner, for a tool. CallRefused."""
        provisioner = self._provisioner
        if provisioner is None:
            raise CallRefused(f"there is no connection to {self._uri} now", "state")
        return serve_call(provisioner, name, arguments)

    def stop(self) -> None:
        """Ends the connection; domains and their sessions go on."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        said = None
        while not self._stop.is_set():
            try:
                with Provisioner(
                    uri=self._uri, lifecycle=self._domains, pages=self._domains
                ) as provisioner:
                    self._tell("libvirt-there", f"following the domains of {self._uri}", None)
                    said = None
                    self._provisioner = provisioner
                    while provisioner.alive() and not self._stop.wait(LOOK_S):
                        pass
            except VmError as error:
                if str(error) != said:
                    said = str(error)
                    self._tell("libvirt-away", f"{said}; it is tried again", None)
            finally:
                self._provisioner = None
            self._stop.wait(RETRY_S)
