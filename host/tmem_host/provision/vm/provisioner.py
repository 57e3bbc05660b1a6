# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs, from the first to the last breath.

Everything that a VM is stands in its libvirt domain and in its own two directories; nothing else
has to be kept in step. A VM that was half made when its maker was killed has directories and no
domain, and is removed by whoever opens the VMs next.
"""

import contextlib
import shutil
import threading
import uuid
from collections.abc import Sequence
from typing import Self

from tmem_host.provision.progress import Progress
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
    NoSuchVm,
    VmError,
    VmExists,
)
from tmem_host.provision.vm.events import DomainWatch
from tmem_host.provision.vm.info import (
    DiskCounters,
    VmInfo,
    disk_counters,
    vm_info,
)
from tmem_host.provision.vm.lifecycle import ClientLifecycle
from tmem_host.provision.vm.networks import Networks
from tmem_host.provision.vm.places import Places, VmPlaces, make_directory
from tmem_host.provision.vm.policy import PersistentPages
from tmem_host.provision.vm.power import BOOT_LIMIT_S, Power
from tmem_host.provision.vm.settings import TmemSettings
from tmem_host.provision.vm.spec import VmSpec
from tmem_host.provision.vm.stopping import undisturbed

# How long to wait for another process to be done with the VMs.
_PATIENCE_S = 15.0
# libxml2 sets up what it validates with when it is first asked to; two threads at once break it.
_validating = threading.Lock()


class Provisioner(Power):
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
        uri = choose_uri(uri)
        super().__init__(uri, places or choose_places(uri), pages, progress)
        self._lifecycle = lifecycle
        self._patience_s = patience_s
        self._networks = Networks(self.places.networks)
        self._open = contextlib.ExitStack()

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

    def __exit__(self, *_: object) -> None:
        self._libvirt = None
        self._open.close()

    # ---- looking -----------------------------------------------------------------------------

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
            with _validating, self._asking(f"define {spec.name}"):
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

    # ---- settings ----------------------------------------------------------------------------

    def settings(self, name: str) -> TmemSettings:
        """The tmem settings of a VM; NoSuchVm, BadSetting."""
        return read_settings(self._domain(name))

    def set(self, name: str, settings: TmemSettings) -> None:
        """Changes them, for now and for later; NoSuchVm."""
        write_settings(self._domain(name), settings)

    # ---- below -------------------------------------------------------------------------------

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
