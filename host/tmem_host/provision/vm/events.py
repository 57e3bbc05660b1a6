# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns libvirt's domain events into calls of ClientLifecycle.

libvirt calls back from its event loop, where asking libvirt anything may wait for that very loop.
So callbacks only queue what happened, and one thread looks things up and makes the calls, in order.
"""

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from tmem_host.provision.vm.bindings import libvirt
from tmem_host.provision.vm.channels import channels_of, read_settings
from tmem_host.provision.vm.errors import BadSetting, LibvirtFailed
from tmem_host.provision.vm.lifecycle import ClientLifecycle, Domain, Ending, Rewind, Start
from tmem_host.provision.vm.settings import NAMESPACE, TmemSettings

log = logging.getLogger(__name__)

_ENDINGS = {
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: Ending.SHUT_DOWN,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED: Ending.DESTROYED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED: Ending.CRASHED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED: Ending.MIGRATED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED: Ending.SAVED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED: Ending.FAILED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT: Ending.REVERTED,
}
_REWINDING_STARTS = {
    libvirt.VIR_DOMAIN_EVENT_STARTED_RESTORED: Rewind.RESTORED,
    libvirt.VIR_DOMAIN_EVENT_STARTED_FROM_SNAPSHOT: Rewind.REVERTED,
    libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED: Rewind.MIGRATED,
}
_PAUSED_STATES = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PMSUSPENDED)


@dataclass
class _Run:
    """One run of a domain, from start to stop."""

    domain: Domain
    id: int
    paused: bool


class DomainWatch:
    """Follows all domains of a connection, from start() to close().

    Domains that run already are told as started first, as found. `qemu_pid` finds the process of
    a domain by name. Everything that libvirt says is told once, in order, from one thread.
    """

    def __init__(
        self,
        connection: "libvirt.virConnect",
        lifecycle: ClientLifecycle,
        qemu_pid: Callable[[str], int | None],
    ) -> None:
        self._connection = connection
        self._lifecycle = lifecycle
        self._qemu_pid = qemu_pid
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._runs: dict[UUID, _Run] = {}
        self._registered: list[int] = []
        self._thread = threading.Thread(target=self._work, name="domain-events", daemon=True)

    def start(self) -> None:
        """Begins to watch; LibvirtFailed."""
        self._register()
        self._queue.put(self._find)
        self._thread.start()

    def reattach(self, connection: "libvirt.virConnect") -> None:
        """Goes on with another connection after libvirt's daemon was away; LibvirtFailed.

        What ended meanwhile is told as stopped, for a reason unknown; what is new, as found. A
        guest that was reset or rewound meanwhile looks as before; its session's rules find out.
        """
        self._connection = connection
        self._registered = []
        self._register()
        self._queue.put(self._find)

    def settle(self) -> None:
        """Returns when everything that was queued by now has been told."""
        settled = threading.Event()
        self._queue.put(settled.set)
        settled.wait()

    def close(self) -> None:
        """Stops watching. What is queued by now is still told."""
        for callback in self._registered:
            try:
                self._connection.domainEventDeregisterAny(callback)
            except libvirt.libvirtError as error:
                log.debug("a connection that is gone: %s", error)
        self._registered = []
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _register(self) -> None:
        try:
            for event, callback in (
                (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle_event),
                (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._reboot_event),
                (libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, self._metadata_event),
            ):
                registered = self._connection.domainEventRegisterAny(None, event, callback, None)
                self._registered.append(registered)
        except libvirt.libvirtError as error:
            raise LibvirtFailed(f"cannot watch domains: {error}") from error

    # ---- called by libvirt, in its event loop ---------------------------------------------

    def _lifecycle_event(
        self, _: object, domain: "libvirt.virDomain", event: int, detail: int, _opaque: object
    ) -> None:
        self._queue.put(lambda: self._turn(domain, event, detail))

    def _reboot_event(self, _: object, domain: "libvirt.virDomain", _opaque: object) -> None:
        self._queue.put(lambda: self._reset(domain))

    def _metadata_event(
        self,
        _: object,
        domain: "libvirt.virDomain",
        kind: int,
        namespace: str | None,
        _opaque: object,
    ) -> None:
        if kind == libvirt.VIR_DOMAIN_METADATA_ELEMENT and namespace == NAMESPACE:
            self._queue.put(lambda: self._settings(domain))

    # ---- in the thread that tells ------------------------------------------------------------

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            try:
                task()
            except Exception:
                # the next event counts all the same
                log.exception("a domain event was not dealt with")

    def _find(self) -> None:
        running = {
            UUID(bytes=domain.UUID()): domain
            for domain in self._connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        }
        for uuid, run in list(self._runs.items()):
            if uuid not in running or running[uuid].ID() != run.id:
                self._ended(uuid, Ending.UNKNOWN)
        for uuid, domain in running.items():
            if uuid not in self._runs:
                self._began(domain, found=True)

    def _turn(self, domain: "libvirt.virDomain", event: int, detail: int) -> None:
        uuid = UUID(bytes=domain.UUID())
        match event:
            case libvirt.VIR_DOMAIN_EVENT_STARTED:
                self._started(domain, detail)
            case libvirt.VIR_DOMAIN_EVENT_STOPPED:
                self._ended(uuid, _ENDINGS.get(detail, Ending.UNKNOWN))
            case libvirt.VIR_DOMAIN_EVENT_SUSPENDED:
                if detail == libvirt.VIR_DOMAIN_EVENT_SUSPENDED_FROM_SNAPSHOT:
                    self._rewound(uuid, Rewind.REVERTED)
                self._paused(uuid)
            case libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED:
                self._paused(uuid)
            case libvirt.VIR_DOMAIN_EVENT_RESUMED:
                if detail == libvirt.VIR_DOMAIN_EVENT_RESUMED_FROM_SNAPSHOT:
                    self._rewound(uuid, Rewind.REVERTED)
                self._resumed(uuid)
            case libvirt.VIR_DOMAIN_EVENT_CRASHED:
                if run := self._runs.get(uuid):
                    self._lifecycle.panicked(run.domain)

    def _started(self, domain: "libvirt.virDomain", detail: int) -> None:
        uuid = UUID(bytes=domain.UUID())
        run = self._runs.get(uuid)
        if detail == libvirt.VIR_DOMAIN_EVENT_STARTED_WAKEUP and run is not None:
            self._resumed(uuid)
            return
        if run is not None and run.id != domain.ID():
            self._ended(uuid, Ending.UNKNOWN)
            run = None
        if run is None and not self._began(domain):
            return
        if detail in _REWINDING_STARTS:
            self._rewound(uuid, _REWINDING_STARTS[detail])

    def _began(self, virdomain: "libvirt.virDomain", *, found: bool = False) -> bool:
        """Tells that a domain runs; False if it has ended since, which then is told no more."""
        try:
            domain = Domain(UUID(bytes=virdomain.UUID()), virdomain.name())
            xml = virdomain.XMLDesc()
            paused = virdomain.state()[0] in _PAUSED_STATES
            settings, problem = _settings_or_problem(virdomain)
        except (libvirt.libvirtError, LibvirtFailed) as error:
            log.info("the domain %s went as it came: %s", virdomain.name(), error)
            return False
        self._runs[domain.uuid] = _Run(domain, virdomain.ID(), paused=False)
        start = Start(
            channels=channels_of(xml),
            settings=settings,
            qemu_pid=self._qemu_pid(domain.name),
            found=found,
            problem=problem,
        )
        self._lifecycle.started(domain, start)
        # of a domain that just starts the events say whether it is paused
        if found and paused:
            self._paused(domain.uuid)
        return True

    def _ended(self, uuid: UUID, ending: Ending) -> None:
        if run := self._runs.pop(uuid, None):
            self._lifecycle.stopped(run.domain, ending)

    def _rewound(self, uuid: UUID, how: Rewind) -> None:
        if run := self._runs.get(uuid):
            self._lifecycle.rewound(run.domain, how)

    def _paused(self, uuid: UUID) -> None:
        if (run := self._runs.get(uuid)) and not run.paused:
            run.paused = True
            self._lifecycle.paused(run.domain)

    def _resumed(self, uuid: UUID) -> None:
        # a start is a resumption too, which libvirt may tell before the start
        if (run := self._runs.get(uuid)) and run.paused:
            run.paused = False
            self._lifecycle.resumed(run.domain)

    def _reset(self, domain: "libvirt.virDomain") -> None:
        if run := self._runs.get(UUID(bytes=domain.UUID())):
            self._lifecycle.reset(run.domain)

    def _settings(self, domain: "libvirt.virDomain") -> None:
        run = self._runs.get(UUID(bytes=domain.UUID()))
        if run is None:
            return
        settings, problem = _settings_or_problem(domain)
        if problem is None:
            self._lifecycle.settings_changed(run.domain, settings)
        else:
            self._lifecycle.settings_refused(run.domain, problem)


def _settings_or_problem(domain: "libvirt.virDomain") -> tuple[TmemSettings, str | None]:
    try:
        return read_settings(domain), None
    except BadSetting as error:
        return TmemSettings(), f"{domain.name()}: {error}"
