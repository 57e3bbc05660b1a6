# SPDX-License-Identifier: GPL-2.0-or-later
"""Domain events become lifecycle calls; against libvirt's test driver, which has real events."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.provision.vm.recorder import Recorder
from tmem_host.provision.vm.bindings import libvirt
from tmem_host.provision.vm.channels import write_settings
from tmem_host.provision.vm.connection import connected
from tmem_host.provision.vm.events import DomainWatch
from tmem_host.provision.vm.lifecycle import Channels, Ending, Rewind
from tmem_host.provision.vm.places import places_at
from tmem_host.provision.vm.settings import NAMESPACE, PREFIX, TmemSettings

XML = """
<domain type='test'>
  <name>guest</name>
  <metadata><tmem:client xmlns:tmem='{namespace}' weight='{weight}'/></metadata>
  <memory unit='MiB'>64</memory>
  <os><type>hvm</type></os>
  <devices>
    <channel type='unix'>
      <source mode='bind' path='/run/guest/user.sock'/>
      <target type='virtio' name='org.kvmtmem.0'/>
    </channel>
    <channel type='unix'>
      <source mode='bind' path='/run/guest/kernel.sock'/>
      <target type='virtio' name='org.kvmtmem.kernel.0'/>
    </channel>
    <channel type='pty'><target type='virtio' name='org.kvmtmem.kernel.1'/></channel>
  </devices>
</domain>
"""


class World:
    """A watched connection to the test driver."""

    def __init__(self, connection: "libvirt.virConnect") -> None:
        self.connection = connection
        self.recorder = Recorder()
        self.watch = DomainWatch(connection, self.recorder, lambda _name: 4711)

    def start(self, weight: str = "1") -> "libvirt.virDomain":
        """A domain that runs, defined in the test driver."""
        xml = XML.format(namespace=NAMESPACE, weight=weight)
        domain = self.connection.defineXML(xml)
        domain.create()
        return domain

    def remove(self) -> None:
        """Removes the guest: all tests share the driver's memory."""
        with contextlib.suppress(libvirt.libvirtError):
            domain = self.connection.lookupByName("guest")
            if domain.isActive():
                domain.destroy()
            domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)

    def told(self, *expected: str) -> list[tuple[Any, ...]]:
        """The calls about the guest, once all that are expected were made; fails if others are."""
        self.wait(lambda: len(self._calls()) >= len(expected))
        self.watch.settle()
        calls = self._calls()
        self.recorder.take()
        assert [call[0] for call in calls] == list(expected)
        return calls

    def _calls(self) -> list[tuple[Any, ...]]:
        return [call for call in self.recorder.calls if call[1] == "guest"]

    def wait(self, condition: Callable[[], bool]) -> None:
        """Until it holds, or for too long."""
        deadline = time.monotonic() + 20
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.005)


@pytest.fixture
def world(state: Path) -> Iterator[World]:
    """Watched from the start; the driver's own domain "test" runs already."""
    with connected("test:///default", places_at(state)) as connection:
        world = World(connection)
        world.watch.start()
        world.watch.settle()
        yield world
        world.watch.close()
        world.remove()


def test_start_and_stop(world: World) -> None:
    domain = world.start(weight="9")
    [(_, _, start)] = world.told("started")
    assert start.channels == Channels(
        user=Path("/run/guest/user.sock"), kernel=Path("/run/guest/kernel.sock")
    )
    assert start.settings == TmemSettings(weight=9)
    assert (start.qemu_pid, start.found, start.problem) == (4711, False, None)
    domain.destroy()
    assert world.told("stopped")[0][2] is Ending.DESTROYED


def test_a_domain_that_runs_already_is_found(world: World) -> None:
    world.watch.settle()
    (what, name, start) = world.recorder.calls[0]
    assert (what, name) == ("started", "test")
    assert start.found
    assert start.channels == Channels()


def test_shutdown(world: World) -> None:
    domain = world.start()
    domain.shutdown()
    assert world.told("started", "stopped")[1][2] is Ending.SHUT_DOWN


def test_pause_and_resume_are_told_once_each(world: World) -> None:
    domain = world.start()
    world.told("started")
    domain.suspend()
    domain.resume()
    world.told("paused", "resumed")


def test_save_and_restore_behind_our_back(world: World, tmp_path: Path) -> None:
    domain = world.start()
    world.told("started")
    path = str(tmp_path / "saved")
    domain.save(path)
    assert world.told("stopped")[0][2] is Ending.SAVED
    world.connection.restore(path)
    assert world.told("started", "rewound")[1][2] is Rewind.RESTORED


def test_revert_to_a_snapshot_behind_our_back(world: World) -> None:
    domain = world.start()
    snapshot = domain.snapshotCreateXML("<domainsnapshot/>")
    world.told("started")
    domain.revertToSnapshot(snapshot)
    calls = world.recorder.calls
    world.wait(lambda: any(call[0] == "rewound" for call in calls))
    world.watch.settle()
    assert [call[2] for call in world.recorder.take() if call[0] == "rewound"] == [Rewind.REVERTED]


def test_settings_that_change(world: World) -> None:
    domain = world.start()
    world.told("started")
    settings = TmemSettings(weight=2, cap_bytes=1 << 20)
    write_settings(domain, settings)
    assert world.told("settings_changed")[0][2] == settings


def test_settings_that_cannot_be_read_are_refused_not_forgotten(world: World) -> None:
    domain = world.start()
    world.told("started")
    domain.setMetadata(
        libvirt.VIR_DOMAIN_METADATA_ELEMENT,
        "<client weight='heavy'/>",
        PREFIX,
        NAMESPACE,
        libvirt.VIR_DOMAIN_AFFECT_LIVE,
    )
    assert "'heavy' is not a number" in world.told("settings_refused")[0][2]


def test_a_domain_with_settings_that_cannot_be_read_starts_with_a_problem(world: World) -> None:
    world.start(weight="heavy")
    [(_, _, start)] = world.told("started")
    assert "'heavy' is not a number" in start.problem


def test_metadata_of_others_is_nobodys_business(world: World) -> None:
    domain = world.start()
    world.told("started")
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, "<x/>", "x", "urn:x", 0)
    domain.suspend()
    world.told("paused")


def test_a_failing_lifecycle_misses_nothing_later(world: World) -> None:
    world.watch.settle()
    world.recorder.fails = True
    domain = world.start()
    world.told("started")
    world.recorder.fails = False
    domain.destroy()
    world.told("stopped")


def test_going_on_with_another_connection(world: World) -> None:
    domain = world.start()
    world.told("started")
    for callback in world.watch._registered:
        world.connection.domainEventDeregisterAny(callback)
    # nobody sees this
    domain.destroy()
    domain.create()
    time.sleep(0.2)
    world.watch.settle()
    assert world.recorder.take() == []
    world.watch.reattach(world.connection)
    stopped, started = world.told("stopped", "started")
    assert stopped[2] is Ending.UNKNOWN
    assert started[2].found
    domain.destroy()
    assert world.told("stopped")[0][2] is Ending.DESTROYED
