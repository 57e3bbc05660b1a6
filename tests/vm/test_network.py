# SPDX-License-Identifier: GPL-2.0-or-later
"""Networks between guests."""

from tests.vm.conftest import MakeVm


def test_three_guests_reach_each_other_and_nobody_else(make_vm: MakeVm) -> None:
    guests = make_vm(count=3, networks=("lan",))
    [stranger] = make_vm("stranger", networks=("other",))
    everyone = [guest.address() for guest in guests]
    assert len(set(everyone)) == 3
    for guest in guests:
        for address in everyone:
            guest.run("busybox", "ping", "-c", "1", "-W", "30", address)
    # the stranger takes the others' subnet, and still hears nothing
    stranger.run("ip", "address", "add", "10.77.0.99/16", "dev", "eth0")
    result = stranger.try_run("busybox", "ping", "-c", "2", "-W", "2", everyone[0])
    assert result.status == 1


def test_a_large_transfer_arrives_whole(make_vm: MakeVm) -> None:
    a, b = make_vm(count=2, networks=("lan",))
    # its input stays open: at its end it would close the connection
    a.shell("(sleep 600 | busybox nc -l -p 7000 > /tmp/got) > /dev/null 2>&1 & echo")
    b.shell("head -c 4M /dev/urandom > /tmp/sent")
    b.shell(
        "for try in 1 2 3 4 5; do"
        f" busybox nc -w 60 {a.address()} 7000 < /tmp/sent && exit 0; sleep 1; done; exit 1"
    )
    a.shell("for try in $(seq 60); do [ $(stat -c %s /tmp/got) = 4194304 ] && break; sleep 1; done")
    sums = [guest.shell(f"md5sum < /tmp/{file}") for guest, file in ((a, "got"), (b, "sent"))]
    assert sums[0] == sums[1]
