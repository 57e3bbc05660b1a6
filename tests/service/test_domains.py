# SPDX-License-Identifier: GPL-2.0-or-later
"""What a domain's life does to its clients: a real server over sockets of the test's own, told what
tests/provision/vm/test_events.py shows libvirt to tell."""

import dataclasses
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.server.peer import DONE, NEW_EPOCH, RESUME, Farewell, Memory, Peer, page_of
from tmem_host.native import Encoding, Engine, Server
from tmem_host.provision.vm.lifecycle import Channels as Paths
from tmem_host.provision.vm.lifecycle import Domain, Ending, Rewind, Start
from tmem_host.provision.vm.settings import Compression, TmemSettings
from tmem_host.service.channels import Channels
from tmem_host.service.domains import Domains

VM = Domain(UUID("11111111-2222-3333-4444-555555555555"), "vm")
OTHER = Domain(UUID("99999999-2222-3333-4444-555555555555"), "vm")
SHARED = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
SETTINGS = TmemSettings(weight=7, cap_bytes=1 << 20, shared=frozenset([SHARED]))


class World:
    """A service's inside, and a QEMU that is this process: it listens, the service connects."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[tuple[str, str, str | None]] = []
        self.engine = Engine(folder / "arena", budget_bytes=16 << 20)
        self.server = Server(self.engine, folder / "sessions", workers=1)
        self.channels = Channels(self.server, folder)
        self.qemu = {name: self._listen(name) for name in ("kernel", "user")}
        self.domains = self.another()

    def another(self) -> Domains:
        """What the next start of the service would have."""
        return Domains(
            self.engine,
            self.server,
            self.channels,
            self.folder,
            lambda *told: self.told.append(told),
        )

    def _listen(self, name: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.folder / name))
        listener.listen()
        listener.settimeout(30)
        return listener

    def start(self, domain: Domain = VM, **more: Any) -> None:
        paths = Paths(user=self.folder / "user", kernel=self.folder / "kernel")
        start = Start(channels=paths, settings=SETTINGS, qemu_pid=os.getpid())
        self.domains.started(domain, dataclasses.replace(start, **more))

    def guest(self, memory: Memory, channel: str = "kernel") -> Peer:
        """The guest behind the channel, once the service has connected; without a session."""
        connected, _ = self.qemu[channel].accept()
        return Peer(connected, memory)

    def close(self) -> None:
        self.engine.close()
        for listener in self.qemu.values():
            listener.close()


@pytest.fixture
def world(arena_path: Path) -> Iterator[World]:
    made = World(arena_path.parent)
    yield made
    made.close()


@pytest.fixture
def memory() -> Memory:
    return Memory(b"boot id of guest")


def with_a_page(world: World, memory: Memory) -> Peer:
    """A started domain whose kernel has stored a swap page."""
    world.start()
    guest = world.guest(memory)
    guest.begin()
    pool = guest.new_pool(persistent=True)
    assert guest.put(pool, 0, page_of(1)) == DONE
    return guest


def test_a_domain_that_starts_gets_clients_with_its_settings(world: World, memory: Memory) -> None:
    world.start()
    for channel, name in (("kernel", "vm"), ("user", "vm/user")):
        guest = world.guest(memory, channel)
        guest.begin()
        client = world.engine.find_client(name)
        assert client.settings().weight == 7
        assert client.settings().cap_bytes == 1 << 20
        assert client.auth_list() == [SHARED]
        assert world.server.session(name).state.name == "ACTIVE"
        guest.close()


def test_another_process_than_the_domains_qemu_is_refused(world: World) -> None:
    world.start(qemu_pid=1)
    connected, _ = world.qemu["kernel"].accept()
    connected.settimeout(30)
    assert connected.recv(1) == b""
    connected.close()


def test_a_domain_whose_settings_cannot_be_read_is_not_served(world: World) -> None:
    world.start(problem="the weight 'x' is not a number")
    assert world.channels.all() == []
    assert world.told == [
        ("domain-refused", "it is not served: the weight 'x' is not a number", "vm")
    ]


def test_settings_follow_libvirt(world: World) -> None:
    world.start()
    world.domains.settings_changed(VM, TmemSettings(weight=1, compression=Compression.ZSTD))
    client = world.engine.find_client("vm/user")
    assert (client.settings().weight, client.settings().cap_bytes) == (1, 0)
    assert client.settings().encoding is Encoding.ZSTD
    assert client.auth_list() == []


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        (lambda domains: domains.reset(VM), -104),
        (lambda domains: domains.panicked(VM), -104),
        (lambda domains: domains.rewound(VM, Rewind.RESTORED), -116),
        (lambda domains: domains.stopped(VM, Ending.CRASHED), -104),
    ],
    ids=["reset", "panicked", "rewound", "stopped"],
)
def test_a_session_ends_with_its_guest(
    world: World, memory: Memory, turn: Callable[[Domains], None], reason: int
) -> None:
    guest = with_a_page(world, memory)
    turn(world.domains)
    with pytest.raises(Farewell) as farewell:
        next(guest.replies(guest.memory.tag))
    assert farewell.value.reason == reason
    guest.close()


def test_a_guest_that_was_put_back_gets_none_of_its_pages(world: World, memory: Memory) -> None:
    guest = with_a_page(world, memory)
    world.domains.rewound(VM, Rewind.REVERTED)
    guest.close()
    back = world.guest(memory)
    offer = back.hello(session=memory.session)
    assert (offer["verdict"], offer["pools_kept"]) == (NEW_EPOCH, False)
    assert back.start() == DONE
    assert back.pools() == []
    back.close()


def test_pages_of_a_guest_that_is_gone_are_dropped(world: World, memory: Memory) -> None:
    with_a_page(world, memory).close()
    assert world.domains.persistent_pages(VM.uuid) == 1
    world.domains.stopped(VM, Ending.DESTROYED)
    assert world.domains.persistent_pages(VM.uuid) == 0
    assert world.engine.usage().persistent_pages == 0
    assert world.channels.all() == []


def test_a_found_domain_goes_on_with_its_session(world: World, memory: Memory) -> None:
    with_a_page(world, memory).close()
    world.domains = world.another()
    world.start(found=True)
    again = world.guest(memory)
    assert again.hello(session=memory.session)["verdict"] == RESUME
    assert again.start() == DONE
    again.close()


def test_a_start_that_nobody_saw_end_replaces_the_channel(world: World) -> None:
    world.start(qemu_pid=1)
    world.start()
    assert [channel.peer_pid for channel in world.channels.all()] == [os.getpid()] * 2


def test_another_domain_of_the_same_name_inherits_nothing(world: World, memory: Memory) -> None:
    with_a_page(world, memory).close()
    world.domains = world.another()
    world.start(OTHER)
    assert world.engine.usage().persistent_pages == 0
    assert world.domains.persistent_pages(VM.uuid) is None
    assert world.domains.persistent_pages(OTHER.uuid) == 0


def test_a_pause_is_told_and_changes_nothing(world: World, memory: Memory) -> None:
    guest = with_a_page(world, memory)
    world.domains.paused(VM)
    world.domains.resumed(VM)
    assert guest.pools() != []
    kinds = [kind for kind, _, _ in world.told]
    assert kinds[-2:] == ["domain-paused", "domain-resumed"]
    guest.close()
