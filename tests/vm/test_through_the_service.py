# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole way of a page: a guest's program, its virtio-serial port, QEMU, the service, the arena;
and the service is killed in between. Every command is one that a user types."""

import signal

from tests.service.live import Live
from tests.vm import served
from tests.vm.served import in_guest, start

host = served.host
service = served.service
stopped = served.stopped
PAGES = 64


def test_pages_of_a_guest_outlive_the_service(service: Live) -> None:
    assert "the host answers" in in_guest("tmem-guest ping --timeout 60")
    in_guest(
        f"head -c {PAGES * 4096} /dev/urandom > /tmp/f;"
        " tmem-guest put --timeout 60 --persistent 7 0 /tmp/f",
    )
    pages = {client["name"]: client["persistent_pages"] for client in service.call("client.list")}
    assert pages == {"web": 0, "web/user": PAGES}
    service.stop(signal.SIGKILL)
    start(service)
    in_guest(
        f"tmem-guest get --timeout 60 --persistent --pages {PAGES} --output /tmp/g 7 0"
        " && cmp /tmp/f /tmp/g",
    )
    kinds = [event["kind"] for event in service.call("events.recent")]
    assert "session-resumed" in kinds
    assert "session-started" not in kinds


def test_a_guest_that_is_gone_leaves_nothing(service: Live) -> None:
    in_guest("head -c 8192 /dev/urandom | tmem-guest put --timeout 60 --persistent 7 0")
    service.tmem("vm", "stop", "--force", "web", socket=False)
    Live.wait_for(lambda: service.call("arena.usage")["persistent_pages"] == 0)
    assert service.call("client.info", client="web/user")["state"] == "gone"
