# SPDX-License-Identifier: GPL-2.0-or-later
"""What the subcommands that use tmem have in common."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tmem_guest.session import Session

PORT_PATH = "/dev/virtio-ports/org.kvmtmem.0"
EXIT_STATUS = "Exit status: 0 for success, 1 for a failure, 2 for wrong usage."


def add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    help_: str,
    description: str,
) -> argparse.ArgumentParser:
    """A subcommand with the options that all of them take."""
    parser = commands.add_parser(name, help=help_, description=description, epilog=EXIT_STATUS)
    parser.add_argument(
        "--path",
        default=PORT_PATH,
        help="a virtio-serial port or a unix socket (default %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=5.0,
        metavar="SECONDS",
        help="how long to wait for the host (default 5)",
    )
    return parser


def add_handle(parser: argparse.ArgumentParser, *, index: bool) -> None:
    """The arguments that name a page, and the pool it is in."""
    parser.add_argument(
        "oid", type=oid, metavar="OID", help="the object: one to three numbers, such as 7 or 1:2:3"
    )
    parser.add_argument(
        "index", type=number, metavar="INDEX", nargs=None if index else "?", help="the page in it"
    )
    add_pool(parser)


def add_pool(parser: argparse.ArgumentParser) -> None:
    """Which of the session's two pools."""
    parser.add_argument(
        "--persistent",
        action="store_true",
        help="in the persistent pool, whose pages stay until they are flushed; else in the"
        " ephemeral one, whose pages the host may drop and a get removes",
    )


def number(text: str) -> int:
    """An unsigned number of 64 bits, also in hexadecimal with 0x."""
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 2**64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 2^64 - 1")
    return value


def count(text: str) -> int:
    """A number of pages, at least one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def parameter(text: str) -> tuple[str, str]:
    """A parameter of a module, as modprobe takes it."""
    name, sign, value = text.partition("=")
    if not (name.isidentifier() and sign):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return (name, value)


def seconds(text: str) -> float:
    """A time that is not negative."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def oid(text: str) -> tuple[int, int, int]:
    """One to three numbers with colons; those that are not given are 0."""
    words = [number(word) for word in text.split(":")]
    if len(words) > 3:
        raise argparse.ArgumentTypeError(f"{text!r} has more than three numbers")
    one, two, three = [*words, 0, 0][:3]
    return (one, two, three)


def session(options: argparse.Namespace) -> Session:
    """The session that the options name; not yet entered."""
    from tmem_guest.session import Session  # noqa: PLC0415

    return Session(options.path, options.timeout)
