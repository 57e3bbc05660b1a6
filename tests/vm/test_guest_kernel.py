# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem-guest kernel in a real guest, with no service on the host."""

import json
from typing import Any

from tests.vm.conftest import MakeVm
from tests.vm.flavour import assert_kernel_is_well
from tests.vm.guest import Guest
from tmem_host.provision.vm.lifecycle import KERNEL_PORT

_PORT_NAMES = "cat /sys/class/virtio-ports/*/name"


def _status(guest: Guest) -> Any:
    return json.loads(guest.run("tmem-guest", "kernel", "status", "--json"))


def _fails(guest: Guest, *command: str) -> str:
    """The one sentence that a command says when it fails."""
    result = guest.try_run(*command)
    assert (result.status, result.stdout) == (1, b"")
    sentence, end, rest = result.stderr.decode().partition("\n")
    assert (end, rest) == ("\n", "")
    return sentence.removeprefix("tmem-guest: ")


def test_a_guest_that_is_attached_at_boot(make_vm: MakeVm) -> None:
    [guest] = make_vm(tmem=True)
    assert "tmem-init: " not in guest.serial()
    assert guest.info().tmem
    found = _status(guest)
    assert (found["hooks"], found["transport"], found["attached"]) == (True, True, True)
    # the root's overlay is an ext4
    assert [mount["kind"] for mount in found["mounts"]] == ["private"]
    assert KERNEL_PORT not in guest.shell(_PORT_NAMES)
    assert guest.run("tmem-guest", "kernel", "attach") == (
        f"the kernel uses tmem, over {found['device']}\n"
    )
    said = guest.run("tmem-guest", "kernel", "status")
    assert "session  none: no service has the port open on the host" in said.splitlines()

    guest.run("tmem-guest", "kernel", "detach")
    after = _status(guest)
    assert (after["hooks"], after["transport"], after["attached"]) == (True, False, False)
    assert [mount["id"] for mount in after["mounts"]] == [mount["id"] for mount in found["mounts"]]
    assert KERNEL_PORT in guest.shell(_PORT_NAMES)
    assert "transport." not in guest.run("tmem-guest", "kernel", "counters")
    guest.run("tmem-guest", "kernel", "attach")
    assert _status(guest)["device"] == found["device"]
    assert_kernel_is_well(guest.shell)

    # without its modules it comes up all the same
    guest.run("tmem-guest", "kernel", "detach")
    guest.shell("rm -r /lib/modules/$(uname -r)/extra && depmod")
    complaint = "there is no module tmem_transport for the kernel "
    assert _fails(guest, "tmem-guest", "kernel", "attach").startswith(complaint)
    assert KERNEL_PORT in guest.shell(_PORT_NAMES)
    guest.vms.stop(guest.name)
    guest.vms.start(guest.name)
    assert "tmem-init: tmem-guest: there is no module tmem_hooks for the" in guest.serial()


def test_who_may_attach_it_and_when(make_vm: MakeVm) -> None:
    [guest] = make_vm()
    assert not guest.info().tmem
    assert _status(guest)["hooks"] is False
    for verb in ("attach", "detach"):
        nobody = ("setpriv", "--reuid=65534", "tmem-guest", "kernel", verb)
        assert _fails(guest, *nobody) == f"only root may {verb} the kernel"
    guest.shell("sleep 1000 <>/dev/virtio-ports/org.kvmtmem.kernel.0 >/dev/null 2>&1 &")
    said = _fails(guest, "tmem-guest", "kernel", "attach")
    assert said.startswith(f"the port {KERNEL_PORT} is in use: ")
    guest.shell("pkill -x sleep; while pgrep -x sleep; do :; done")
    guest.run("tmem-guest", "kernel", "attach")
    nobody = ("setpriv", "--reuid=65534", "tmem-guest", "kernel", "counters")
    assert _fails(guest, *nobody).startswith("only root may read /sys/kernel/debug/tmem/")
    guest.run("umount", "/sys/kernel/debug")
    assert _fails(guest, "tmem-guest", "kernel", "status") == (
        "debugfs is not mounted; run: mount -t debugfs debugfs /sys/kernel/debug"
    )
