# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM's power: switched on, waited for, paused, switched off."""

import os
import time

from tmem_host.provision.agent import Agent, AgentError
from tmem_host.provision.progress import Progress, Silent
from tmem_host.provision.vm import boot
from tmem_host.provision.vm.bindings import libvirt
from tmem_host.provision.vm.errors import GuestFailed, LibvirtFailed, VmError, WrongState
from tmem_host.provision.vm.info import ending
from tmem_host.provision.vm.places import Places, VmPlaces, make_directory, service_group
from tmem_host.provision.vm.policy import PersistentPages
from tmem_host.provision.vm.rewinding import Rewinding

# Under TCG on a busy host; a guest takes a few seconds.
BOOT_LIMIT_S = 180.0
STOP_LIMIT_S = 60.0
_LOOK_AGAIN_S = 0.1

# Where whoever began a VM was killed at it, libvirt has been seen to hold the domain for the half
# minute that stopping it waits.
_STOPS = 2


class Power(Rewinding):
    """What VMs that exist may be told. Errors are VmError; `progress` is told of waiting."""

    def __init__(
        self,
        uri: str,
        places: Places,
        pages: PersistentPages | None,
        progress: Progress | None,
    ) -> None:
        super().__init__(uri, places, pages)
        self._progress = progress or Silent()

    def agent(self, name: str) -> Agent:
        """The agent of a VM's guest, not connected yet. Its calls also raise GuestFailed."""
        return self._guest(name).agent()

    def start(self, name: str, *, wait: bool = True, boot_limit_s: float = BOOT_LIMIT_S) -> None:
        """Starts a VM that is off or paused and waits for its agent.

        WrongState, LibvirtFailed, GuestFailed. A guest that does not come up is left as it is, for
        a look at it.
        """
        domain = self._domain(name)
        places = self.places.vm(name)
        if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
            with self._asking(f"resume {name}"):
                domain.resume()
        elif domain.isActive():
            raise WrongState(f"the VM {name} is running already")
        else:
            boot.rotate(places.serial_log)
            # after a restart of the host there may be none
            self._make_sockets_directory(places)
            with self._asking(f"start {name}"):
                domain.create()
        if wait:
            self.wait(name, boot_limit_s)

    def wait(self, name: str, limit_s: float = BOOT_LIMIT_S) -> None:
        """Waits until the agent of a guest that was started answers; GuestFailed."""
        with self._progress.task(f"booting {name}"):
            boot.wait_for_agent(self._guest(name), limit_s)

    def stop(self, name: str, *, force: bool = False, limit_s: float = STOP_LIMIT_S) -> None:
        """Has the guest power itself off; with `force`, pulls the plug. WrongState.

        Asks the agent, and the guest's ACPI if there is no agent. VmError if it still runs at the
        limit.
        """
        domain = self._domain(name)
        if not domain.isActive():
            raise WrongState(f"the VM {name} is not running")
        if force:
            self._destroy(domain)
            return
        try:
            with self.agent(name) as agent:
                agent.wait(min(limit_s, 10.0))
                agent.poweroff()
        except (AgentError, GuestFailed):
            with self._asking(f"shut {name} down"):
                domain.shutdown()
        deadline = time.monotonic() + limit_s
        while domain.isActive():
            if time.monotonic() >= deadline:
                raise VmError(
                    f"the VM {name} did not stop within {limit_s:.0f} s: it hangs, or another"
                    f" command uses its agent; run: tmem vm stop --force {name}"
                )
            time.sleep(_LOOK_AGAIN_S)

    def pause(self, name: str) -> None:
        """Has a running guest stand still, its clocks too, until start(); WrongState."""
        domain = self._running(name)
        with self._asking(f"pause {name}"):
            domain.suspend()

    def reset(self, name: str) -> None:
        """Starts a running guest anew, as its reset button would; WrongState. Does not wait."""
        domain = self._running(name)
        with self._asking(f"reset {name}"):
            domain.reset()

    def ended(self, name: str) -> str | None:
        """Why a VM runs no more; None while it does."""
        return ending(self._domain(name))

    # ---- for those who build on it -----------------------------------------------------------

    def _guest(self, name: str) -> boot.Guest:
        return boot.Guest(name, self.places.vm(name), lambda: self.ended(name))

    def _make_sockets_directory(self, places: VmPlaces) -> None:
        group = service_group() if os.geteuid() == 0 else None
        make_directory(self.places.run, group=group)
        make_directory(places.sockets, group=group)

    def _destroy(self, domain: "libvirt.virDomain") -> None:
        for tried in range(_STOPS):
            try:
                domain.destroy()
                return
            except libvirt.libvirtError as error:
                code = error.get_error_code()
                if code == libvirt.VIR_ERR_OPERATION_INVALID:
                    # it ended by itself meanwhile
                    return
                if code != libvirt.VIR_ERR_OPERATION_TIMEOUT or tried == _STOPS - 1:
                    raise LibvirtFailed(f"cannot stop {domain.name()}: {error}") from error
