# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest under load while its host fails, and while it fails itself: no wrong byte, no old page,
no warning of its kernel. (What several guests share is the torture's, a service that is killed
test_transport's.)"""

import os
import signal
import time

import pytest

from tests.service.live import Live
from tests.vm import loaded as _loaded
from tests.vm import served
from tests.vm.flavour import assert_kernel_is_well, sized
from tests.vm.loaded import goes_on, load, session, vms
from tests.vm.served import in_guest

host = served.host
stopped = served.stopped
loaded = _loaded.loaded

PAUSE_S = sized(90, 20)


def test_a_pause(loaded: Live) -> None:
    with vms() as provisioner:
        provisioner.pause("web")
        time.sleep(PAUSE_S)
        provisioner.start("web", wait=False)
    goes_on()
    assert_kernel_is_well(in_guest)


@pytest.mark.parametrize("how", ["reset", "killed"])
def test_another_boot(loaded: Live, how: str) -> None:
    before = loaded.call("client.info", client="web")["persistent_pages"]
    assert before > 0
    with vms() as provisioner:
        if how == "reset":
            provisioner.reset("web")
            provisioner.wait("web", 300)
        else:
            pid = next(info.qemu_pid for info in provisioner.vms() if info.name == "web")
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            Live.wait_for(lambda: provisioner.ended("web") is not None)
            # of a guest that is gone the host keeps nothing
            Live.wait_for(lambda: _held(loaded) == 0)
            provisioner.start("web", boot_limit_s=300)
    Live.wait_for(lambda: session(loaded) == "active")
    assert _held(loaded) == 0
    load(boot=2)
    assert_kernel_is_well(in_guest)


def _held(service: Live) -> int:
    return int(service.call("client.info", client="web")["persistent_pages"])
