# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem-guest agent: does what the host asks for."""

import argparse
import os
import signal
import sys

from tmem_guest.cli.errors import CommandError
from tmem_shim.agent_protocol import PORT_PATH


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `tmem-guest agent`."""
    agent = commands.add_parser(
        "agent",
        help="do what the host asks for",
        description="Runs commands, moves files and reads counters for the host, which asks over"
        " a virtio-serial port. Runs until the port is unplugged.",
    )
    agent.add_argument(
        "--port",
        metavar="PATH",
        default=PORT_PATH,
        help="the port's device (default %(default)s)",
    )
    agent.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serves until the port is gone, which is a failure; CommandError if there is none."""
    # Not before it is known that the agent is what is wanted.
    from tmem_guest.agent import PortGone, Server  # noqa: PLC0415
    from tmem_guest.agent.protection import protect  # noqa: PLC0415

    # Init starts it in the background, where these are ignored; what it runs must not inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    try:
        fd = os.open(options.port, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise CommandError(
            f"cannot open the port {options.port}: {error.strerror};"
            " the guest needs a virtio-serial port of that name"
        ) from error
    try:
        protect()
    except OSError as error:
        print(
            f"tmem-guest: the agent may be swapped out or killed when memory is short:"
            f" {error.strerror}",
            file=sys.stderr,
        )
    try:
        Server(fd, _poweroff).run()
    except PortGone as error:
        raise CommandError(f"the port {options.port} is gone: {error}") from error
    return 1


def _poweroff() -> None:
    """Asks init, as BusyBox's own does."""
    os.kill(1, signal.SIGUSR2)
