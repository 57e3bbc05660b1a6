# SPDX-License-Identifier: GPL-2.0-or-later
"""Mounts, swap areas and backends come and go, in any order and at the same time.

The backend complains in the kernel's log when a call comes that was not promised, and a guest that
has a warning in its log fails.
"""

import itertools
import re

from tests.kmod.hooks.conftest import Machine
from tests.provision.kernel import ocfs2
from tmem_host.provision.kernel import Kernel, find

_DO = {
    "mount": "mount -t ext4 -o noatime /dev/vda /mnt",
    "swapon": "swapon /dev/vdb",
    "attach": "echo Y > $keeper/attached",
}
_UNDO = {
    "mount": "umount /mnt",
    "swapon": "swapoff /dev/vdb",
    "attach": "echo N > $keeper/attached",
}


def test_every_order(machine: Machine, kernel: Kernel) -> None:
    """Of three events, and of their reverses; each time everything works."""
    orders = list(itertools.permutations(_DO))
    script = "insmod /tmem_hooks.ko; insmod /keeper.ko; echo N > $keeper/attached\n"
    for number, order in enumerate(orders):
        script += f"echo 'order: {' '.join(order)}'\n"
        script += "".join(f"{_DO[event]}\n" for event in order) + "pages; swap\n"
        undo = orders[-1 - number]
        if undo.index("attach") < undo.index("swapon"):
            # the backend may hold pages of the swap area
            script += "swapoff /dev/vdb; swapon /dev/vdb\n"
        script += "".join(f"{_UNDO[event]} || echo 'WRONG: {event} stays'\n" for event in undo)
        script += "cat $hooks/mounts $hooks/areas $hooks/frontswap_pages\n"
    said = machine.run(kernel, script)
    assert said.count("pages come back") == len(orders)
    assert said.count("pages were stored") == len(orders)
    assert said.count("0") == len(orders)
    assert not [line for line in said if line.startswith(("id=", "type="))]


def test_hooks_come_last(machine: Machine, kernel: Kernel) -> None:
    """What was mounted, remounted and swapped on before is known at once."""
    said = machine.run(
        kernel,
        "mount -t ext4 -o ro,noatime /dev/vda /mnt; mount -o remount,rw /mnt\n"
        "swapon /dev/vdb; fill kept; old=$kept; mv /ram/kept /ram/old\n"
        "insmod /tmem_hooks.ko; cat $hooks/mounts $hooks/areas\n"
        "insmod /keeper.ko; cat $hooks/mounts $hooks/areas\n"
        "swap; pages\n"
        '[ "$(md5sum < /ram/old)" = "$old" ] || echo "WRONG: memory differs"\n',
    )
    uuid = "00000000-0000-0000-0000-000000000000"
    mounts = [line for line in said if line.startswith("id=")]
    assert mounts == [
        f"id=1 kind=private uuid={uuid} pool=-1 state=none was_member=N",
        f"id=1 kind=private uuid={uuid} pool=1 state=open was_member=N",
    ]
    areas = [line for line in said if line.startswith("type=")]
    assert [line.split()[-1] for line in areas] == ["taken=N", "taken=Y"]
    assert "pages come back" in said
    assert "pages were stored" in said


def test_detaching_is_refused_while_pages_are_held(machine: Machine, kernel: Kernel) -> None:
    """And swapoff brings them home (F1). A second backend is refused; what is mounted meanwhile
    has no pool before the next one."""
    said = machine.run(
        kernel,
        "insmod /tmem_hooks.ko; insmod /keeper.ko; swapon /dev/vdb\n"
        "echo 1 > $keeper/second\n"
        "fill kept; fill extra\n"
        "echo held $(cat $hooks/frontswap_pages)\n"
        "echo N > $keeper/attached && echo 'WRONG: detached'\n"
        "rm /ram/extra; before=$(counter stores); fill more\n"
        "[ $(counter stores) -gt $before ] && echo stored again\n"
        "rm /ram/more; swapoff /dev/vdb || echo 'WRONG: swapoff'\n"
        '[ "$(md5sum < /ram/kept)" = "$kept" ] || echo "WRONG: memory differs"\n'
        "mount -t ext4 /dev/vda /mnt\n"
        "echo 1000 > $keeper/destroy_ms\n"
        "echo N > $keeper/attached & sleep 0.5; cat $hooks/backend\n"
        "mkdir /mnt2; mount -t tmpfs tmpfs /mnt2; wait\n"
        "cat $hooks/mounts $hooks/backend\n"
        "rmmod keeper || echo 'WRONG: not unloaded'\n"
        "if rmmod tmem_hooks 2> /dev/null; then echo 'WRONG: hooks unloaded'; fi\n",
    )
    held = next(int(line.split()[1]) for line in said if line.startswith("held "))
    assert held > 0
    refused = [line for line in said if "keeper: detach -16" in line]
    assert len(refused) == 1
    assert int(refused[0].split()[-1]) > 0
    assert any("stays attached: frontswap holds" in line for line in said)
    assert "stored again" in said
    assert any("keeper: second -16" in line for line in said)
    assert any("keeper: second leaves -2" in line for line in said)
    assert "attached=Y detaching=Y" in said
    assert "attached=N detaching=N" in said
    assert [line for line in said if line.startswith("id=1 ")][-1].split()[3:5] == [
        "pool=-1",
        "state=none",
    ]


_ROUNDS = 40
_RACES = f"""\
insmod /tmem_hooks.ko; insmod /keeper.ko talk=N
echo 3 > $keeper/destroy_ms
mount -t ext4 -o noatime /dev/vda /mnt
swapon /dev/vdb
touch /going
(
	dd if=/dev/zero of=/ram/image bs=1M count=4 2> /dev/null
	mke2fs -q -F -b 4096 /ram/image 2> /dev/null || mkfs.ext2 -b 4096 /ram/image > /dev/null
	mkdir /other; modprobe loop 2> /dev/null
	while [ -e /going ]; do
		mount -t ext4 -o loop /ram/image /other || mount -t ext4 -o ro /dev/vdc /other
		cat /other/file > /dev/null 2>&1
		umount /other
	done
) &
mounter=$!
(
	sum=$(md5sum < /mnt/file)
	while [ -e /going ]; do
		drop
		[ "$(md5sum < /mnt/file)" = "$sum" ] || echo "WRONG: the file differs"
	done
) &
reader=$!
(
	while [ -e /going ]; do
		fill kept 24; fill more 30
		[ "$(md5sum < /ram/kept)" = "$kept" ] || echo "WRONG: memory differs"
		rm /ram/kept /ram/more
		swapoff /dev/vdb || echo "WRONG: swapoff"
		swapon /dev/vdb; sleep 1
	done
) &
swapper=$!
detached=0
while [ $detached -lt {_ROUNDS} ]; do
	echo N > $keeper/attached 2> /dev/null && detached=$((detached + 1))
	echo Y > $keeper/attached
	sleep 0.1
done
rm /going
wait $mounter $reader $swapper
cat $hooks/counters
swapoff /dev/vdb; umount /mnt
cat $hooks/mounts $hooks/areas
echo N > $keeper/attached || echo 'WRONG: not detached'
"""


def test_everything_at_once(machine: Machine, kernel: Kernel) -> None:
    """A backend that comes and goes under mounts, reads and swap areas that do so, too."""
    said = machine.run(kernel, _RACES, f"{machine.folder / 'ext4.img'},readonly=on")
    counters = {
        name: int(value)
        for name, value in re.findall(r"^(\w+) (\d+)$", "\n".join(said), re.MULTILINE)
    }
    assert counters["detached"] == _ROUNDS
    assert counters["mounts"] > 2
    assert counters["pools_made"] > _ROUNDS
    assert counters["gets_hit"] > 0
    assert counters["areas_gone"] > 0
    assert counters["loads"] > 0
    assert counters["detach_busy"] > 0
    assert not [line for line in said if line.startswith(("id=", "type="))]


def test_a_kernel_without_the_cures(machine: Machine) -> None:
    """ocfs2 has a private pool there and the log says why, unless it is forced (S1 to S5)."""
    unpatched = find(patched=False)
    assert unpatched, "make kernel builds it"
    image = ocfs2.local_image(machine.folder / "ocfs2.img")
    said = machine.run(
        unpatched,
        "insmod /tmem_hooks.ko; modprobe ocfs2 2> /dev/null\n"
        "mount -t ocfs2 /dev/vdc /mnt; cat $hooks/mounts; umount /mnt\n"
        "echo uncured $(counter mounts_uncured)\n"
        "echo Y > /sys/module/tmem_hooks/parameters/force_shared\n"
        "mount -t ocfs2 /dev/vdc /mnt; cat $hooks/mounts; umount /mnt\n",
        str(image),
    )
    log = "\n".join(said)
    assert "lacks F8" in log
    assert "lacks F9" in log
    assert re.search(
        r"mount 1 \([-0-9a-f]{36}\): a private pool, as this kernel lacks S1 S2 S3 S4 S5", log
    )
    assert "force_shared; without S1 S2 S3 S4 S5 its reads may be stale" in log
    kinds = [line.split()[1] for line in said if line.startswith("id=")]
    assert kinds == ["kind=private", "kind=shared"]
    assert "uncured 1" in said


def test_wrong_parameters_are_said(machine: Machine, kernel: Kernel) -> None:
    said = machine.run(
        kernel,
        "insmod /tmem_hooks.ko cleancache=N frontswap=N 2> /dev/null && echo 'WRONG: loaded'\n"
        "insmod /tmem_hooks.ko cleancache=N swap_area_mib=8\n"
        "insmod /keeper.ko; mount -t ext4 /dev/vda /mnt; swapon /dev/vdb\n"
        "cat $hooks/mounts $hooks/areas\n",
    )
    log = "\n".join(said)
    assert "cleancache=N and frontswap=N leave nothing to do" in log
    assert not [line for line in said if line.startswith("id=")]
    assert [line for line in said if line.startswith("type=")] == [
        "type=0 pages=2048 held=0 taken=Y"
    ]
