# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs, from the first to the last breath.

Everything that a VM is stands in its libvirt domain and in its own two directories; nothing else
has to be kept in step. A VM that was half made when its maker was killed has directories and no
domain, and is removed by whoever opens the VMs next.
"""

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.sax.saxutils import escape

from tmem_host.provision.agent import Agent, AgentError
from tmem_host.provision.progress import Progress, Silent
from tmem_host.provision.vm import boot
from tmem_host.provision.vm.bindings import libvirt
from tmem_host.provision.vm.channels import read_settings, write_settings
from tmem_host.provision.vm.connection import (
    EMBED,
    SYSTEM,
    choose_places,
    choose_uri,
    connected,
)
from tmem_host.provision.vm.disks import make_disks
from tmem_host.provision.vm.domain_xml import domain_xml
from tmem_host.provision.vm.errors import (
    GuestFailed,
    LibvirtFailed,
    NoSuchVm,
    VmError,
    VmExists,
    WrongState,
)
from tmem_host.provision.vm.events import DomainWatch
from tmem_host.provision.vm.info import (
    DiskCounters,
    VmInfo,
    disk_counters,
    ending,
    vm_info,
)
from tmem_host.provision.vm.lifecycle import ClientLifecycle
from tmem_host.provision.vm.networks import Networks
from tmem_host.provision.vm.peer import pid_file, qemu_pid
from tmem_host.provision.vm.places import Places, VmPlaces, make_directory, service_group
from tmem_host.provision.vm.policy import NobodyKnows, PersistentPages, check_may_rewind
from tmem_host.provision.vm.settings import TmemSettings
from tmem_host.provision.vm.spec import VmSpec
from tmem_host.provision.vm.stopping import undisturbed

# Under TCG on a busy host; a guest takes a few seconds.
BOOT_LIMIT_S = 180.0
STOP_LIMIT_S = 60.0
# How long to wait for another process to be done with the VMs.
_PATIENCE_S = 15.0
_LOOK_AGAIN_S = 0.1


class Provisioner:
    """The VMs of one libvirt connection, as a context manager: open inside, closed outside.

    Methods raise VmError, in one sentence. They may be called from several threads; two that
    change the same VM at the same time are the caller's to avoid. With a `lifecycle`, the
    domains' events are told to it for as long as this is open.
    """

    def __init__(
        self,
        *,
        uri: str | None = None,
        places: Places | None = None,
        lifecycle: ClientLifecycle | None = None,
        pages: PersistentPages | None = None,
        progress: Progress | None = None,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self.uri = choose_uri(uri)
        self.places = places or choose_places(self.uri)
        self._lifecycle = lifecycle
        self._pages = pages or NobodyKnows()
        self._progress = progress or Silent()
        self._patience_s = patience_s
        self._networks = Networks(self.places.networks)
        self._open = contextlib.ExitStack()
        self._libvirt: libvirt.virConnect | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._libvirt = stack.enter_context(
                connected(self.uri, self.places, patience_s=self._patience_s)
            )
            if self.uri == EMBED:
                self._remove_half_made()
            if self._lifecycle is not None:
                watch = DomainWatch(self._libvirt, self._lifecycle, self.qemu_pid)
                watch.start()
                stack.callback(watch.close)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._libvirt = None
        self._open.close()

    # ---- looking -----------------------------------------------------------------------------

    def alive(self) -> bool:
        """Whether libvirt still answers on this connection."""
        try:
            return bool(self._connection().isAlive())
        except libvirt.libvirtError:
            return False

    def name_of(self, uuid_or_id: str) -> str | None:
        """The name of the domain with this uuid or, while it runs, this id; None without one."""
        try:
            if uuid_or_id.isdecimal():
                return str(self._connection().lookupByID(int(uuid_or_id)).name())
            return str(self._connection().lookupByUUIDString(uuid_or_id).name())
        except (libvirt.libvirtError, OverflowError):
            return None

    def resolve(self, name_uuid_or_id: str) -> str:
        """The name of the domain so called, whoever made it; NoSuchVm."""
        if found := self.name_of(name_uuid_or_id):
            return found
        try:
            return str(self._connection().lookupByName(name_uuid_or_id).name())
        except libvirt.libvirtError:
            raise NoSuchVm(f"{self.uri} knows no domain {name_uuid_or_id!r}") from None

    def vms(self) -> list[VmInfo]:
        """All VMs that were made here, by name."""
        with self._asking("list the VMs"):
            domains = {domain.name(): domain for domain in self._connection().listAllDomains()}
        names = self._vm_names()
        return [self._info(domains[name]) for name in names if name in domains]

    def info(self, name: str) -> VmInfo:
        """One VM; NoSuchVm."""
        return self._info(self._domain(name))

    def disk_counters(self, name: str) -> dict[str, DiskCounters]:
        """What a running guest has done to its disks, by serial number; LibvirtFailed."""
        domain = self._running(name)
        with self._asking(f"count the requests of {name}"):
            return disk_counters(domain)

    def agent(self, name: str) -> Agent:
        """The agent of a VM's guest, not connected yet. Its calls also raise GuestFailed."""
        return self._guest(name).agent()

    def qemu_pid(self, name: str) -> int | None:
        """The process of a running domain's QEMU; None if it cannot be told."""
        return qemu_pid(pid_file(self.uri, self.places, name))

    # ---- from nothing to running and back ----------------------------------------------------

    def create(
        self,
        spec: VmSpec,
        *,
        start: bool = True,
        wait: bool = True,
        boot_limit_s: float = BOOT_LIMIT_S,
    ) -> VmInfo:
        """Makes a VM; starts it and waits until its agent answers, unless told otherwise.

        Whatever goes wrong, Ctrl-C included, nothing of it is left but the serial log of a guest
        that did not come up. VmExists, NoSpace, BadXml, LibvirtFailed, GuestFailed.
        """
        places = self.places.vm(spec.name)
        self._claim(spec.name, places)
        try:
            make_disks(spec, places)
            links = [self._networks.join(network, spec.name) for network in spec.networks]
            system = self.uri == SYSTEM
            xml = domain_xml(spec, places, uuid.uuid4(), links, keep_labels=system)
            with self._asking(f"define {spec.name}"):
                self._connection().defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
            if start:
                self.start(spec.name, wait=wait, boot_limit_s=boot_limit_s)
            return self.info(spec.name)
        except BaseException as error:
            with undisturbed():
                failure = self.give_up([spec.name], error)
            if failure is error:
                raise
            raise failure from error

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

    def destroy(self, name: str) -> None:
        """Ends a VM whatever it does, and removes it with its private disks; NoSuchVm."""
        if not self.places.vm(name).files.is_dir():
            self._domain(name)
        with undisturbed():
            self._remove(name)

    def give_up(self, names: Sequence[str], error: BaseException) -> BaseException:
        """Removes VMs whose making failed, and keeps the serial log of the guest that is to blame.

        Returns the error to be raised: `error`, or one like it that names the log where it is kept.
        """
        for name in names:
            log = self.places.vm(name).serial_log
            if isinstance(error, GuestFailed) and error.log == log:
                kept = boot.keep(log, self.places.failed, name)
                if kept is not None:
                    error = type(error)(str(error).replace(str(log), str(kept)), log=kept)
            self._remove(name)
        return error

    def ended(self, name: str) -> str | None:
        """Why a VM runs no more; None while it does."""
        return ending(self._domain(name))

    # ---- what would rewind or move a guest ---------------------------------------------------

    def save(self, name: str, path: Path, *, force: bool = False) -> None:
        """Saves a running guest to a file and ends it; Refused, WrongState, LibvirtFailed."""
        domain = self._running(name)
        self._check_may("save", domain, force=force)
        with self._asking(f"save {name}"):
            domain.save(str(path.absolute()))

    def managed_save(self, name: str, *, force: bool = False) -> None:
        """Saves a running guest for its next start; Refused, WrongState, LibvirtFailed."""
        domain = self._running(name)
        self._check_may("save", domain, force=force)
        with self._asking(f"save {name}"):
            domain.managedSave()

    def restore(self, path: Path) -> None:
        """Runs a saved guest on, without the tmem pages it had; LibvirtFailed."""
        with self._asking(f"restore {path}"):
            self._connection().restore(str(path.absolute()))

    def snapshot(self, name: str, snapshot: str, *, force: bool = False) -> None:
        """Takes a snapshot of disks and, of a running guest, memory; Refused, LibvirtFailed."""
        domain = self._domain(name)
        self._check_may("snapshot", domain, force=force)
        xml = _snapshot_xml(snapshot)
        with self._asking(f"snapshot {name}"):
            domain.snapshotCreateXML(xml, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE)

    def revert(self, name: str, snapshot: str, *, force: bool = False) -> None:
        """Takes a VM back to a snapshot; Refused, LibvirtFailed."""
        domain = self._domain(name)
        self._check_may("revert", domain, force=force)
        with self._asking(f"revert {name}"):
            domain.revertToSnapshot(domain.snapshotLookupByName(snapshot))

    def migrate(self, name: str, destination: str, *, force: bool = False) -> None:
        """Moves a running guest to another host, live; Refused, WrongState, LibvirtFailed."""
        domain = self._running(name)
        self._check_may("migrate", domain, force=force)
        flags = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER
        with self._asking(f"migrate {name} to {destination}"):
            domain.migrateToURI3(destination, {}, flags)

    # ---- settings ----------------------------------------------------------------------------

    def settings(self, name: str) -> TmemSettings:
        """The tmem settings of a VM; NoSuchVm, BadSetting."""
        return read_settings(self._domain(name))

    def set(self, name: str, settings: TmemSettings) -> None:
        """Changes them, for now and for later; NoSuchVm."""
        write_settings(self._domain(name), settings)

    # ---- below -------------------------------------------------------------------------------

    def _connection(self) -> "libvirt.virConnect":
        if self._libvirt is None:
            raise VmError("the connection to libvirt is not open")
        return self._libvirt

    def _guest(self, name: str) -> boot.Guest:
        return boot.Guest(name, self.places.vm(name), lambda: self.ended(name))

    def _domain(self, name: str) -> "libvirt.virDomain":
        self.places.vm(name)
        try:
            return self._connection().lookupByName(name)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                raise NoSuchVm(f"there is no VM {name}; see: tmem vm list") from None
            raise LibvirtFailed(f"cannot look {name} up: {error}") from error

    def _running(self, name: str) -> "libvirt.virDomain":
        domain = self._domain(name)
        if not domain.isActive():
            raise WrongState(f"the VM {name} is not running")
        return domain

    def _check_may(self, what: str, domain: "libvirt.virDomain", *, force: bool) -> None:
        # a guest that is off has no session, and so no pages
        if domain.isActive():
            number = uuid.UUID(bytes=domain.UUID())
            check_may_rewind(what, domain.name(), number, self._pages, force=force)

    @contextlib.contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except libvirt.libvirtError as error:
            raise LibvirtFailed(f"cannot {what}: {error}") from error

    def _info(self, domain: "libvirt.virDomain") -> VmInfo:
        with self._asking(f"look at {domain.name()}"):
            return vm_info(domain, self.places, self._networks, self.qemu_pid(domain.name()))

    def _vm_names(self) -> list[str]:
        try:
            return sorted(path.name for path in self.places.all_vms.iterdir())
        except FileNotFoundError:
            return []

    def _claim(self, name: str, places: VmPlaces) -> None:
        """Takes a name, for good until _remove(); VmExists."""
        with contextlib.suppress(NoSuchVm):
            self._domain(name)
            raise VmExists(f"there is a VM {name} already; run: tmem vm destroy {name}")
        make_directory(self.places.all_vms)
        try:
            places.files.mkdir(mode=0o711 if self.uri == SYSTEM else 0o700)
        except FileExistsError:
            raise VmExists(f"there is a VM {name} already; run: tmem vm destroy {name}") from None
        except OSError as error:
            raise VmError(f"cannot make {places.files}: {error.strerror}") from error
        self._make_sockets_directory(places)

    def _make_sockets_directory(self, places: VmPlaces) -> None:
        group = service_group() if os.geteuid() == 0 else None
        make_directory(self.places.run, group=group)
        make_directory(places.sockets, group=group)

    def _destroy(self, domain: "libvirt.virDomain") -> None:
        try:
            domain.destroy()
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
                raise LibvirtFailed(f"cannot stop {domain.name()}: {error}") from error
            # it ended by itself meanwhile

    def _remove(self, name: str) -> None:
        """Removes whatever there is of a VM."""
        with contextlib.suppress(NoSuchVm):
            domain = self._domain(name)
            if domain.isActive():
                self._destroy(domain)
            with self._asking(f"undefine {name}"):
                domain.undefineFlags(
                    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
                    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
                )
        self._networks.leave(name)
        places = self.places.vm(name)
        shutil.rmtree(places.sockets, ignore_errors=True)
        if self.uri == EMBED:
            for log in (self.places.embed / "log/qemu").glob(f"{name}.log*"):
                log.unlink(missing_ok=True)
        # last: who finds no files finds no VM
        try:
            shutil.rmtree(places.files)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise VmError(f"cannot remove {places.files}: {error.strerror}") from error

    def _remove_half_made(self) -> None:
        with self._asking("list the VMs"):
            defined = {domain.name() for domain in self._connection().listAllDomains()}
        for name in self._vm_names():
            if name not in defined:
                self._remove(name)


def _snapshot_xml(name: str) -> str:
    return f"<domainsnapshot><name>{escape(name)}</name></domainsnapshot>"
