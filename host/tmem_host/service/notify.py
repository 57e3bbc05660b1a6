# SPDX-License-Identifier: GPL-2.0-or-later
"""What systemd is told: sd_notify(3)'s datagrams. Without systemd nothing happens."""

import os
import socket


def notify(*assignments: str) -> None:
    """Sends assignments such as "READY=1". A socket that cannot be reached is ignored, as
    sd_notify does: the service works without."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto("\n".join(assignments).encode(), address)
        except OSError:
            return


def watchdog_seconds() -> float | None:
    """How often systemd wants to hear of us: half of its patience; None when it does not."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    named = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdigit() or named != str(os.getpid()):
        return None
    return int(microseconds) / 2_000_000
