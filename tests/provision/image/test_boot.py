# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests boot the image, do what they are asked, and leave nothing undone."""

import hashlib
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provision.image.guest import BOOT_LIMIT_S, Disk, Guest
from tmem_host.provision.agent import AgentLost, AgentUnreachable
from tmem_host.provision.image import Image
from tmem_host.provision.kernel import Kernel
from tmem_host.provision.paths import source_root

_ARGUMENTS = (
    "tmem.hostname=vm1 tmem.net=eth0:10.77.0.1/24 tmem.modules=ocfs2,ocfs2_stack_o2cb,nosuch"
    " tmem.kernel=attach"
)


@pytest.fixture(scope="module")
def guest(
    qemu: str, kernel: Kernel, guest_image: Image, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guest]:
    """A guest that all tests look at which do it no harm."""
    folder = tmp_path_factory.mktemp("guest")
    disks = [Disk(folder, "overlay"), Disk(folder, "data", 8)]
    with Guest(qemu, kernel, guest_image, disks, _ARGUMENTS) as guest:
        guest.agent.wait(BOOT_LIMIT_S)
        yield guest


def test_the_first_command_is_answered(guest: Guest, kernel: Kernel) -> None:
    assert guest.run("uname -r") == f"{kernel.version}\n"
    assert guest.agent.ping().kernel == kernel.version


def test_devices_have_names(guest: Guest) -> None:
    assert guest.run("readlink /dev/disk/by-serial/*") == "/dev/vda\n/dev/vdc\n/dev/vdb\n"
    assert guest.run("ls /dev/disk/by-serial") == "base\ndata\noverlay\n"
    assert guest.run("ls /dev/disk/by-id") == "virtio-base\nvirtio-data\nvirtio-overlay\n"
    assert guest.run("ls /dev/virtio-ports") == "org.kvmtmem.agent.0\n"
    assert guest.run("test -b /dev/disk/by-id/virtio-data && test -e /dev/fd/0") == ""
    # what is there is named again, and nothing twice
    assert guest.run("/tmem/bin/links && ls /dev/disk/by-serial") == "base\ndata\noverlay\n"


def test_what_the_command_line_says(guest: Guest) -> None:
    assert guest.run("hostname") == "vm1\n"
    assert "inet 10.77.0.1/24" in guest.run("ip -4 address show dev eth0")
    assert "state UP" in guest.run("ip link show dev eth0")
    modules = guest.run("lsmod").split()
    assert {"ocfs2", "ocfs2_stack_o2cb"} <= set(modules)
    # what cannot be had is said
    assert "tmem-init: cannot load the module nosuch" in guest.console()
    assert "tmem-init: tmem-guest: there is no virtio port org.kvmtmem.kernel.0" in guest.console()


def test_mounts(guest: Guest) -> None:
    lines = (line.split() for line in guest.run("cat /proc/mounts").splitlines())
    mounts = {words[1]: words[2] for words in lines}
    assert mounts == {
        "/": "overlay",
        "/dev": "devtmpfs",
        "/dev/pts": "devpts",
        "/dev/shm": "tmpfs",
        "/proc": "proc",
        "/run": "tmpfs",
        "/sys": "sysfs",
        "/sys/kernel/config": "configfs",
        "/sys/kernel/debug": "debugfs",
        "/tmem/overlay": "ext4",
        "/tmp": "tmpfs",
    }


@pytest.mark.parametrize(
    "command",
    [
        "tmem-guest agent --help",
        "fio --version",
        "mkfs.ocfs2 --version 2>&1",
        "mkfs.btrfs --version",
        "e2fsck -V 2>&1",
        "ps -ef",
        "cd / && python3 -c 'import tmem_guest.agent, tmem_shim.agent_protocol, _cffi_backend'",
        "mkfs.ext4 -q /dev/disk/by-serial/data && mount /dev/disk/by-serial/data /mnt",
        "umount /mnt && modprobe btrfs && mount -t tmpfs none /mnt && umount /mnt",
    ],
)
def test_what_it_can_do(guest: Guest, command: str) -> None:
    guest.run(command)


def test_no_engine_is_in_it(guest: Guest) -> None:
    assert guest.run("python3 -c 'import tmem_host' 2>&1 | tail -1; true") == (
        "ModuleNotFoundError: No module named 'tmem_host'\n"
    )
    assert guest.run("find / -xdev -name 'tmem_host*' -o -xdev -name '*_engine*.so'") == ""


def test_the_shims_extension_runs_there(guest: Guest) -> None:
    if not list((source_root() / "shim/tmem_shim").glob("*.abi3.so")):
        pytest.skip("the shim's extension is not built; make setup builds it")
    guest.run("python3 -c 'import tmem_shim.shim'")


def test_a_shell_on_the_console(guest: Guest) -> None:
    seen = "i=0; until [ -e {0} ]; do i=$((i + 1)); [ $i -lt 600 ]; sleep 0.1; done; cat {0}"
    with guest.open_console() as console:
        console.sendall(b"echo $((6 * 7)) on $(hostname), $(tty) > /run/new; mv /run/new /run/1\n")
        assert guest.run(f"set -e; {seen.format('/run/1')}") == "42 on vm1, /dev/ttyS0\n"
        # After its end there is another one.
        first = guest.run("pgrep -x bash").strip()
        console.sendall(b"exit\n")
        guest.run(f"until new=$(pgrep -x bash) && [ $new != {first} ]; do sleep 0.1; done")
        console.sendall(b"echo again > /run/new; mv /run/new /run/2\n")
        assert guest.run(f"set -e; {seen.format('/run/2')}") == "again\n"


def test_files_both_ways(guest: Guest, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(random.Random(1).randbytes(10_000_000))
    with open(source, "rb") as file:
        guest.agent.upload(file, "/root/file", mode=0o600)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert guest.run("sha256sum /root/file").split()[0] == digest
    with open(back, "wb") as file:
        assert guest.agent.download("/root/file", file).mode == 0o600
    assert back.read_bytes() == source.read_bytes()
    guest.agent.exec(["rm", "/root/file"])


def test_streams_both_ways(guest: Guest) -> None:
    data = random.Random(2).randbytes(2_000_000)
    assert guest.agent.exec(["cat"], stdin=data).stdout == data


def test_counters(guest: Guest) -> None:
    before = guest.agent.counters()
    guest.run("dd if=/dev/disk/by-serial/data of=/dev/null bs=1M count=4 iflag=direct 2>/dev/null")
    after = guest.agent.counters()
    assert 64 << 20 < after.meminfo["MemTotal"] <= 256 << 20
    assert after.vmstat["pgfault"] > before.vmstat["pgfault"]
    sectors = [counters.diskstats["vdc"]["sectors_read"] for counters in (before, after)]
    assert sectors[1] - sectors[0] == (4 << 20) // 512
    assert "frontswap/loads" in after.tmem
    assert "cleancache/succ_gets" in after.tmem


def test_commands_are_ended(guest: Guest) -> None:
    script = "trap '' TERM; while :; do sleep 0.1; done"
    result = guest.agent.exec(["sh", "-c", script], limit_s=1.0)
    assert (result.timed_out, result.signal) == (True, 9)
    # Signals reach commands as in a login shell.
    assert guest.agent.exec(["sh", "-c", "kill -INT $$"]).signal == 2


def test_memory_that_runs_out_does_not_take_the_agent(guest: Guest) -> None:
    scores = guest.run("cat /proc/$PPID/oom_score_adj /proc/self/oom_score_adj").split()
    assert scores == ["-1000", "0"]
    assert "VmLck:\t       0 kB" not in guest.run("cat /proc/$PPID/status")
    eater = "x = [bytearray(b'x') * (1 << 20) for _ in range(1000)]"
    result = guest.agent.exec(["python3", "-c", eater], limit_s=BOOT_LIMIT_S)
    assert (result.status, result.signal) != (0, None)
    assert guest.run("echo alive") == "alive\n"


def test_a_host_that_leaves(guest: Guest) -> None:
    class Leave(Exception):
        pass

    class Leaving:
        def write(self, _data: bytes) -> int:
            raise Leave

    with pytest.raises(Leave):
        guest.agent.exec(
            ["sh", "-c", "trap '' TERM; echo; while :; do sleep 1.25; done"],
            stdout=Leaving(),  # type: ignore[arg-type]
        )
    guest.run("while pgrep -f '[s]leep 1.25'; do sleep 0.1; done")


def test_an_agent_that_is_killed(guest: Guest) -> None:
    with pytest.raises(AgentLost, match="vm1 had its agent start again while it ran 'sh'"):
        guest.agent.exec(["sh", "-c", "kill -9 $PPID; sleep 1000"])
    assert guest.run("echo again") == "again\n"


def test_a_life(qemu: str, kernel: Kernel, guest_image: Image, tmp_path: Path) -> None:
    before = hashlib.sha256(guest_image.path.read_bytes()).digest()
    overlay = Disk(tmp_path, "overlay")
    with Guest(qemu, kernel, guest_image, [overlay, Disk(tmp_path, "data", 8)]) as guest:
        guest.agent.wait(BOOT_LIMIT_S)
        guest.run("echo mine > /etc/hostname; rm /usr/bin/fio; mkdir /new; echo x > /new/file")
        # in use when it goes off
        guest.run("mkfs.ext4 -q /dev/vdc; mkdir '/a b'; mount /dev/vdc '/a b'; echo x > '/a b/x'")
        guest.run("(trap '' TERM; while :; do sleep 1; done) >/dev/null 2>&1 </dev/null &")
        guest.power_off()
        assert "reboot: Power down" in guest.console()
        assert "cannot" not in guest.console()
    assert hashlib.sha256(guest_image.path.read_bytes()).digest() == before
    for name in ("overlay", "data"):
        state = _superblock(tmp_path / f"{name}.img")
        assert state["Filesystem state"] == "clean"
        assert "needs_recovery" not in state["Filesystem features"]
    with Guest(qemu, kernel, guest_image, [overlay]) as guest:
        guest.agent.wait(BOOT_LIMIT_S)
        assert guest.run("cat /etc/hostname /new/file; ! ls /usr/bin/fio 2>&-") == "mine\nx\n"


def _superblock(disk: Path) -> dict[str, str]:
    done = subprocess.run(["dumpe2fs", "-h", disk], capture_output=True, text=True, check=True)
    lines = (line.partition(":") for line in done.stdout.splitlines())
    return {name: value.strip() for name, _, value in lines}


def test_a_guest_that_is_killed_in_mid_exec(
    qemu: str, kernel: Kernel, guest_image: Image, tmp_path: Path
) -> None:
    with Guest(qemu, kernel, guest_image, [Disk(tmp_path, "overlay")]) as guest:
        guest.agent.wait(BOOT_LIMIT_S)

        class Killing:
            def write(self, _data: bytes) -> int:
                guest.process.kill()
                return 1

        with pytest.raises(AgentLost, match=r"^vm1 went away while it ran 'sh'$"):
            guest.agent.exec(
                ["sh", "-c", "echo; sleep 1000"],
                stdout=Killing(),  # type: ignore[arg-type]
            )
        guest.process.wait()
        with pytest.raises(AgentUnreachable, match=r"^vm1 does not run: "):
            guest.agent.ping()


def test_a_panic_in_mid_exec(qemu: str, kernel: Kernel, guest_image: Image, tmp_path: Path) -> None:
    with Guest(qemu, kernel, guest_image, [Disk(tmp_path, "overlay")]) as guest:
        guest.agent.wait(BOOT_LIMIT_S)
        with pytest.raises(AgentLost, match=r"^vm1 went away while it ran 'sh'$"):
            guest.agent.exec(["sh", "-c", "echo c > /proc/sysrq-trigger; sleep 1000"])
        assert "Kernel panic" in guest.console()


def test_no_overlay(qemu: str, kernel: Kernel, guest_image: Image, tmp_path: Path) -> None:
    with Guest(qemu, kernel, guest_image, [Disk(tmp_path, "other")]) as guest:
        with pytest.raises(AgentLost, match="vm1 went away before its agent answered"):
            guest.agent.wait(BOOT_LIMIT_S)
        assert guest.process.wait(BOOT_LIMIT_S) == 0
        message = "tmem-init: FAILED: there is no disk with the serial 'overlay'"
        assert message in guest.console()


def test_an_overlay_that_is_none(
    qemu: str, kernel: Kernel, guest_image: Image, tmp_path: Path
) -> None:
    overlay = Disk(tmp_path, "overlay")
    overlay.path.write_bytes(bytes(1 << 20))
    with Guest(qemu, kernel, guest_image, [overlay]) as guest:
        with pytest.raises(AgentLost):
            guest.agent.wait(BOOT_LIMIT_S)
        assert "tmem-init: FAILED: cannot mount the overlay, /dev/vdb, as ext4" in guest.console()
