# SPDX-License-Identifier: GPL-2.0-or-later
"""A service, its guests, and the file system that they share; all below one folder."""

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.service.process import ServiceProcess
from tests.vm.torture.node import Node
from tmem_host.provision.image import Image
from tmem_host.provision.kernel import Kernel
from tmem_host.provision.vm import cluster
from tmem_host.provision.vm.connection import EMBED
from tmem_host.provision.vm.places import places_at
from tmem_host.provision.vm.provisioner import Provisioner
from tmem_host.provision.vm.remote import RemoteProvisioner
from tmem_host.provision.vm.running import RunningGuest
from tmem_host.provision.vm.spec import IO_PROFILES, Accelerator, Cache, Disk, IoProfile, VmSpec

DISK = "shared"
NETWORK = "cluster"
_BOOT_LIMIT_S = 300.0
# Heartbeats go every two seconds. Half a minute without one: a guest on a busy host is not dead.
DEAD_AFTER_BEATS = 16
DEAD_S = 2 * DEAD_AFTER_BEATS
_SERVICE = "[libvirt]\nuri = '{uri}'\n"
_TRACE_BYTES = 256 << 20


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a site is made of."""

    kernel: Kernel
    image: Image
    accelerator: Accelerator
    nodes: int = 2
    memory_mib: int = 160
    disk_bytes: int = 512 << 20
    threads: int = 8
    disk_io: IoProfile = IO_PROFILES["native"]
    force_shared: bool = False
    """has hooks join shared pools on a kernel without cures"""


class Site:
    """A cluster that is up, as a context manager; everything of it is gone outside.

    When it is left by an exception, what is needed to look at that stays in `folder`.
    """

    def __init__(self, plan: Plan, prefix: str = "tmem-torture-") -> None:
        self.plan = plan
        self.folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/var/tmp"))
        self._arena = Path(tempfile.mkdtemp(prefix=prefix, dir="/dev/shm"))
        self._places = places_at(self.folder / "s")
        self.service = ServiceProcess(self._arena)
        self.nodes = [
            Node(n, name, str(self._places.vm(name).agent_socket), plan.threads)
            for n, name in enumerate(f"node{n}" for n in range(plan.nodes))
        ]
        self._addresses: dict[str, str] = {}
        self._hits_before: dict[str, int] = {}
        self.attached = False

    # ---- up and down -------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()
        if exc_type is None:
            shutil.rmtree(self.folder)

    def _open(self) -> None:
        self.service.write_config(
            _SERVICE.format(uri=EMBED), budget="256MiB", server="lease = '1s'\nexpel = '2s'\n"
        )
        self.start_service()
        path = self.folder / "disk"
        with path.open("xb") as file:
            os.truncate(file.fileno(), self.plan.disk_bytes)
        self.uuid = cluster.make_file_system(path, self.plan.nodes)
        with self.vms() as vms:
            for node in self.nodes:
                vms.create(self._spec(node, path), wait=False)
            guests = []
            for node in self.nodes:
                vms.wait(node.name, _BOOT_LIMIT_S)
                guests.append(RunningGuest(vms, node.name))
            self._addresses = {guest.name: guest.address() for guest in guests}
        self._at_once(self._join, self.nodes)

    def _spec(self, node: Node, disk: Path) -> VmSpec:
        shared = Disk(name=DISK, path=disk, shared=True, cache=Cache.NONE, io=self.plan.disk_io)
        return VmSpec(
            name=node.name,
            kernel=self.plan.kernel.image,
            base=self.plan.image.path,
            accelerator=self.plan.accelerator,
            memory_mib=self.plan.memory_mib,
            disks=(shared,),
            networks=(NETWORK,),
            modules=cluster.MODULES,
        )

    def _at_once(self, do: Any, nodes: Sequence[Node]) -> None:
        with ThreadPoolExecutor(len(nodes)) as pool:
            list(pool.map(do, nodes))

    def _join(self, node: Node, options: str = "noatime") -> None:
        """From a guest that has booted to a node with the file system mounted and a worker."""
        with self.vms() as vms:
            guest = RunningGuest(vms, node.name)
            cluster.join_cluster(guest, self._addresses, DEAD_AFTER_BEATS)
            if self.plan.force_shared:
                guest.run("modprobe", "tmem_hooks", "force_shared=1")
            if self.attached:
                guest.run("tmem-guest", "kernel", "attach")
            cluster.mount(guest, DISK, options)
        node.start()

    def _close(self) -> None:
        for node in self.nodes:
            with contextlib.suppress(OSError):
                self._keep(node)
        with contextlib.suppress(Exception):
            (self.folder / "service.json").write_text(json.dumps(self.facts(), indent=1))
        with self.vms() as vms:
            for info in vms.vms():
                vms.destroy(info.name)
        self.service.stop()
        with contextlib.suppress(OSError):
            shutil.copy(self.service.log, self.folder / "service.log")
        shutil.rmtree(self._arena, ignore_errors=True)
        shutil.rmtree(self.folder / "s", ignore_errors=True)

    def _keep(self, node: Node) -> None:
        log = self._places.vm(node.name).serial_log
        for path in log.parent.glob(log.name + "*"):
            shutil.copy(path, self.folder / f"{node.name}.{path.name}")

    def serial(self, node: Node) -> str:
        """What a guest has said on its console in this boot."""
        log = self._places.vm(node.name).serial_log
        return log.read_text(errors="replace") if log.exists() else ""

    # ---- the service -------------------------------------------------------------------------

    @contextlib.contextmanager
    def vms(self) -> Iterator[Provisioner]:
        """The VMs, through the service as it runs now."""
        with RemoteProvisioner(self.service.socket, EMBED, self._places) as vms:
            yield vms

    def start_service(self) -> None:
        """Starts it and waits until it follows the domains; records a trace."""
        self.service.start(TMEM_VM_STATE=str(self._places.state))
        self.service.wait_for(lambda: "libvirt-there" in str(self.service.call("events.recent")))
        path = str(self.folder / f"trace-{time.monotonic_ns()}")
        self.service.call("trace.start", path=path, max_bytes=_TRACE_BYTES)

    def kill_service(self) -> None:
        """kill -9."""
        self._hits_before = self.hits()
        self.service.stop(signal.SIGKILL)

    def hits(self) -> dict[str, int]:
        """How many pages each node has got that another node had put."""
        found = dict(self._hits_before)
        for node in self.nodes:
            counters = self._counters(node)
            found[node.name] = found.get(node.name, 0) + counters.get("hits_other", 0)
        return found

    def _counters(self, node: Node) -> dict[str, int]:
        known = {client["name"] for client in self.service.call("client.list")}
        if node.name not in known:
            return {}
        counters = self.service.call("stats", client=node.name)["counters"]
        assert isinstance(counters, dict)
        return counters

    def facts(self) -> dict[str, Any]:
        """What the service says of itself."""
        call = self.service.call
        clients = [client["name"] for client in call("client.list")]
        return {
            "events": call("events.recent"),
            "clients": [call("client.info", client=client) for client in clients],
            "stats": {client: call("stats", client=client) for client in clients},
            "arena": call("arena.usage"),
        }

    # ---- what happens to nodes ---------------------------------------------------------------

    def attach(self, *nodes: Node) -> None:
        """Has guests use tmem, from now on and after their next boots."""
        for node in nodes or self.nodes:
            node.run("tmem-guest", "kernel", "attach")
        self.attached = True

    def detach(self, node: Node) -> None:
        """Has a guest do without, for now."""
        node.run("tmem-guest", "kernel", "detach")

    def umount(self, node: Node) -> None:
        """Nothing is under way there."""
        node.run("umount", cluster.MOUNT_POINT)

    def mount(self, node: Node, options: str) -> None:
        """Mounts it again."""
        node.run(
            *("mount.ocfs2", "-o", options),
            *(f"/dev/disk/by-serial/{DISK}", cluster.MOUNT_POINT),
        )

    def pid(self, node: Node) -> int:
        """Of its QEMU."""
        with self.vms() as vms:
            pid = vms.qemu_pid(node.name)
        assert pid is not None
        return pid

    def kill(self, node: Node) -> None:
        """kill -9 of its QEMU, and all that was under way there is over."""
        os.kill(self.pid(node), signal.SIGKILL)
        node.wait_until_gone()

    def boot(self, node: Node, options: str = "noatime") -> None:
        """Starts a guest whose QEMU is gone, up to a running worker."""
        with self.vms() as vms:
            self.service.wait_for(lambda: vms.ended(node.name) is not None)
            vms.start(node.name, boot_limit_s=_BOOT_LIMIT_S)
        self._join(node, options)

    def reset(self, node: Node) -> None:
        """Presses its reset button; it boots again by itself, and rejoin() waits for that."""
        with self.vms() as vms:
            vms.reset(node.name)
        node.wait_until_gone()

    def rejoin(self, node: Node, options: str = "noatime") -> None:
        """After reset()."""
        with self.vms() as vms:
            vms.wait(node.name, _BOOT_LIMIT_S)
        self._join(node, options)

    def pause(self, node: Node) -> None:
        """Its clocks stand still, too."""
        with self.vms() as vms:
            vms.pause(node.name)

    def resume(self, node: Node) -> None:
        """It goes on as if nothing had been."""
        with self.vms() as vms:
            vms.start(node.name, wait=False)
