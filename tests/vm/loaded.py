# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest `web` in mid-traffic, with a service: files that are dropped and read again, and more
memory than it has. A test module that uses the fixture imports it, and those of `served`.
"""

import time
from pathlib import Path

import pytest

from tests.service.live import Live
from tests.vm.flavour import sized
from tests.vm.served import EMBEDDED, create, in_guest, start
from tmem_host.provision.vm.provisioner import Provisioner
from tmem_host.provision.vm.remote import open_provisioner

MEMORY_MIB = 128
_LOAD_MEMORY_BYTES = 96 << 20
_PATIENCE_S = sized(120.0, 600.0)


@pytest.fixture
def loaded(host: Live, request: pytest.FixtureRequest) -> Live:
    """A guest `web` in mid-traffic, with as many processors as the parameter says, or one."""
    host.stop()
    host.write_config(EMBEDDED, budget="512MiB")
    start(host)
    create(
        host,
        "web",
        *("--vcpus", str(getattr(request, "param", 1))),
        *("--disk", "data:size=64MiB,cache=none", "--disk", "swap:size=256MiB"),
        memory_mib=MEMORY_MIB,
    )
    with vms() as provisioner, provisioner.agent("web") as agent:
        agent.write_file(
            "/root/guest_load.py", Path(__file__).with_name("guest_load.py").read_bytes()
        )
    in_guest(
        "mkfs.ext4 -q -b 4096 /dev/disk/by-serial/data; mkswap -q /dev/disk/by-serial/swap; sync"
    )
    load()
    return host


def vms() -> Provisioner:
    return open_provisioner(None, None)


def load(boot: int = 1) -> None:
    """Starts the load in a guest that has booted just now, and waits until it looks. What it writes
    says which `boot` it is of: what a boot before has left is no right one."""
    in_guest(
        "mount -o noatime /dev/disk/by-serial/data /mnt; swapon /dev/disk/by-serial/swap;"
        f" PYTHONPATH=/tmem/python python3 /root/guest_load.py /mnt {_LOAD_MEMORY_BYTES} 1 {boot}"
        " </dev/null >/run/load.log 2>&1 &"
        " for i in 1 2 3; do :; done"
    )
    goes_on()


def looks() -> int:
    return int(
        in_guest(
            "if [ -e /run/wrong ]; then cat /run/wrong >&2; exit 1; fi; cat /run/looks || echo 0"
        )
    )


def goes_on() -> None:
    """The load has looked at something since it was asked, and nothing was wrong."""
    before = looks()
    until = time.monotonic() + _PATIENCE_S
    while looks() <= before + 5:
        assert time.monotonic() < until, in_guest("cat /run/load.log; tmem-guest kernel status")
        time.sleep(0.2)


def session(service: Live) -> str:
    return str(service.call("client.info", client="web")["state"])
