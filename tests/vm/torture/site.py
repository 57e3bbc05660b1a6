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
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.service.process import ServiceProcess
from tests.vm.torture.complaints import GuestBroke, SerialLog, blocked_tasks, is_known_hang
from tests.vm.torture.host_clock import HostClock
from tests.vm.torture.node import Node
from tests.vm.torture.plan import Plan
from tests.vm.torture.valve import Valve
from tmem_host.provision.vm import cluster
from tmem_host.provision.vm.connection import EMBED
from tmem_host.provision.vm.places import places_at
from tmem_host.provision.vm.provisioner import Provisioner
from tmem_host.provision.vm.remote import RemoteProvisioner
from tmem_host.provision.vm.running import RunningGuest
from tmem_host.provision.vm.spec import Cache, Disk, VmSpec

DISK = "shared"
_BOOT_LIMIT_S = 300.0
# Heartbeats go every two seconds. Half a minute without one: a guest on a busy host is not dead.
DEAD_AFTER_BEATS = 16
DEAD_S = 2 * DEAD_AFTER_BEATS
_TRACE_BYTES = 256 << 20


class Site:
    """A cluster that is up, as a context manager; everything of it is gone outside.

    When it is left by an exception, what is needed to look at that stays in `folder`. The VMs are
    the service's, unless a `provisioner` is given; then the service knows nothing of libvirt,
    reaches the guests' channels through `valves`, by node, and has a `clock` that can be stopped.
    """

    def __init__(
        self, plan: Plan, provisioner: Provisioner | None = None, prefix: str = "tmem-torture-"
    ) -> None:
        self.plan = plan
        self.valves: dict[Node, Valve] = {}
        self._provisioner = provisioner
        self.folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/var/tmp"))
        self._arena = Path(tempfile.mkdtemp(prefix=prefix, dir="/dev/shm"))
        self._places = provisioner.places if provisioner else places_at(self.folder / "s")
        self.service = ServiceProcess(self._arena)
        self.clock = HostClock(self._arena)
        self.nodes = [
            Node(n, name, str(self._places.vm(name).agent_socket), plan.threads)
            for n, name in enumerate(f"{plan.name}{n}" for n in range(plan.nodes))
        ]
        self._addresses: dict[str, str] = {}
        self._hits_before: dict[str, int] = {}
        self.attached = plan.tmem
        self._serial_logs = {
            node: SerialLog(self._places.vm(node.name).serial_log) for node in self.nodes
        }
        self.given_up: set[Node] = set()
        """those whose kernel may complain, as they are to be killed"""

    # ---- up and down -------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException as error:
            self._close()
            error.add_note(f"logs are in {self.folder}")
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()
        if exc_value is None:
            shutil.rmtree(self.folder)
        else:
            exc_value.add_note(f"logs, counters and traces are in {self.folder}")

    def _open(self) -> None:
        self.service.write_config(self._channels(), budget="256MiB", server=self.plan.server)
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

    def _channels(self) -> str:
        if self._provisioner is None:
            return f"[libvirt]\nuri = '{EMBED}'\n"
        for node in self.nodes:
            channel = self._places.vm(node.name).kernel_socket
            self.valves[node] = Valve(self._arena / f"{node.name}.valve", channel)
        return "".join(
            f"[clients.{node.name}]\nconnect = '{valve.path}'\n"
            for node, valve in self.valves.items()
        )

    def _spec(self, node: Node, disk: Path) -> VmSpec:
        shared = Disk(name=DISK, path=disk, shared=True, cache=Cache.NONE, io=self.plan.disk_io)
        return VmSpec(
            name=node.name,
            kernel=self.plan.kernel.image,
            base=self.plan.kernels.image.path,
            accelerator=self.plan.kernels.accelerator,
            memory_mib=self.plan.memory_mib,
            disks=(shared,),
            networks=(self.plan.name,),
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
            known = {info.name for info in vms.vms()}
            for node in self.nodes:
                if node.name in known:
                    vms.destroy(node.name)
        self.service.stop()
        for valve in self.valves.values():
            valve.close()
        with contextlib.suppress(OSError):
            shutil.copy(self.service.log, self.folder / "service.log")
        shutil.rmtree(self._arena, ignore_errors=True)
        shutil.rmtree(self.folder / "s", ignore_errors=True)

    def _keep(self, node: Node) -> None:
        log = self._places.vm(node.name).serial_log
        for path in log.parent.glob(log.name + "*"):
            shutil.copy(path, self.folder / f"{node.name}.{path.name}")

    def look_at_guests(self) -> None:
        """Raises GuestBroke if a guest's kernel has complained since the last look."""
        for node in self.nodes:
            complaint = self._serial_logs[node].new_complaint()
            if complaint and node not in self.given_up:
                raise GuestBroke(node, complaint)

    def explain_hang(self) -> None:
        """Raises GuestBroke if operations do not end because ocfs2 itself is known to hang so: its
        kernel has said what comes before it, and that is what its tasks wait for."""
        for node in self.nodes:
            said = self._serial_logs[node].before_known_hang()
            waits = blocked_tasks(node) if said else ""
            if is_known_hang(waits):
                raise GuestBroke(node, said + waits)

    # ---- the service -------------------------------------------------------------------------

    @contextlib.contextmanager
    def vms(self) -> Iterator[Provisioner]:
        """The VMs; if they are the service's, through it as it runs now."""
        if self._provisioner is not None:
            yield self._provisioner
            return
        with RemoteProvisioner(self.service.socket, EMBED, self._places) as vms:
            yield vms

    def start_service(self) -> None:
        """Starts it and waits until it follows the domains; records a trace."""
        if self._provisioner is not None:
            self.service.start(**self.clock.environment)
        else:
            self.service.start(TMEM_VM_STATE=str(self._places.state))
            self.service.wait_for(
                lambda: "libvirt-there" in str(self.service.call("events.recent"))
            )
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
            counters = self.counters(node)
            found[node.name] = found.get(node.name, 0) + counters.get("hits_other", 0)
        return found

    def counters(self, node: Node) -> dict[str, int]:
        """What the engine has counted of a node since the service started."""
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

    def outside_of_pools(self) -> list[Node]:
        """The nodes that were expelled, or gave up: they stay out until their next mount."""
        pools = "/sys/kernel/debug/tmem/transport/pools"
        return [node for node in self.nodes if " stays-out " in node.run("cat", pools)]

    def umount(self, node: Node) -> None:
        """Nothing is under way there."""
        node.run("umount", cluster.MOUNT_POINT)

    def mount(self, node: Node, options: str) -> None:
        """Mounts it again."""
        node.run(
            *("mount.ocfs2", "-o", options),
            *(f"/dev/disk/by-serial/{DISK}", cluster.MOUNT_POINT),
        )

    def keep_no_access_times(self, node: Node) -> None:
        """From now on its reads change nothing, until it mounts again."""
        node.run("mount", "-o", "remount,bind,noatime", cluster.MOUNT_POINT)

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
