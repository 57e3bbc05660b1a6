# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem vm: makes virtual machines, runs commands in them, and removes them.

The work is in tmem_host.provision.vm, which is imported when a verb runs: it needs libvirt, and the
rest of `tmem` does not.
"""

import argparse
from pathlib import Path

from tmem_host.cli.sizes import size_argument


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `tmem vm` and its verbs."""
    vm = commands.add_parser(
        "vm",
        help="make virtual machines and run commands in them",
        description="Makes virtual machines over libvirt, runs commands in them, removes them.",
        epilog="docs/provisioning.md has examples.",
    )
    connect = argparse.ArgumentParser(add_help=False)
    connect.add_argument(
        "-c",
        "--connect",
        metavar="URI",
        help="libvirt's connection (default: LIBVIRT_DEFAULT_URI, else qemu:///embed: no daemon)",
    )
    verbs = vm.add_subparsers(metavar="VERB", required=True)
    _add_create(verbs, connect)
    _add_start_stop(verbs, connect)
    _add_looking(verbs, connect)
    _add_inside(verbs, connect)
    _add_rewinding(verbs, connect)


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    connect: argparse.ArgumentParser,
    name: str,
    help_: str,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(
        name,
        help=help_,
        parents=[connect],
        description=f"{help_[0].upper()}{help_[1:]}.",
        epilog=epilog,
    )
    verb.set_defaults(run=_run, verb=name)
    return verb


def _run(options: argparse.Namespace) -> int:
    from tmem_host.cli import vm_verbs  # noqa: PLC0415  see above

    return vm_verbs.run(options)


def _add_create(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", connect: argparse.ArgumentParser
) -> None:
    create = _verb(verbs, connect, "create", "make VMs, start them, wait until they answer")
    create.add_argument("names", metavar="NAME", nargs="+")
    create.add_argument("--no-start", action="store_true", help="only define them")
    create.add_argument("--memory", metavar="SIZE", type=size_argument, default=256 << 20)
    create.add_argument("--vcpus", metavar="N", type=int, default=1)
    create.add_argument("--json", action="store_true", help="print one JSON object a VM")
    create.add_argument(
        "--limit", metavar="SECONDS", type=float, help="for a guest to come up (default 180)"
    )

    guest = create.add_argument_group("what they run")
    guest.add_argument("--unpatched", action="store_true", help="a kernel without the patches")
    guest.add_argument("--debug", action="store_true", help="a kernel with its own checks")
    guest.add_argument("--kernel", metavar="FILE", type=Path, help="another kernel")
    guest.add_argument("--image", metavar="FILE", type=Path, help="another image: a squashfs")
    guest.add_argument(
        "--initrd", metavar="FILE", type=Path, help="no image, but this; nothing answers then"
    )
    guest.add_argument("--module", metavar="NAME", action="append", default=[], help="to load")
    guest.add_argument(
        "--no-tmem",
        action="store_true",
        help="their kernel does not use tmem unless told to inside",
    )
    guest.add_argument("--append", metavar="WORDS", default="", help="to the kernel command line")
    guest.add_argument("--tcg", action="store_true", help="emulate, even if there is KVM")

    devices = create.add_argument_group("what they have")
    devices.add_argument(
        "--overlay", metavar="SIZE", type=size_argument, default=1 << 30, help="default 1GiB"
    )
    devices.add_argument(
        "--disk",
        metavar="NAME:KEY=VALUE,...",
        action="append",
        default=[],
        help="a disk; size=SIZE for a private one or file=PATH; format=raw|qcow2,"
        " cache=writeback|none, iops=N, bps=SIZE, profile=native|contended, shared",
    )
    devices.add_argument("--network", metavar="NAME", action="append", default=[])
    _add_settings(create)


def _add_settings(verb: argparse.ArgumentParser) -> None:
    tmem = verb.add_argument_group("tmem settings")
    tmem.add_argument("--weight", metavar="N", type=int, help="share of ephemeral memory")
    tmem.add_argument("--cap", metavar="SIZE", type=size_argument, help="of all pages; 0: none")
    tmem.add_argument("--quota", metavar="SIZE", type=size_argument, help="of swap pages; 0: none")
    tmem.add_argument("--compression", metavar="NAME", help="none, lz4 or zstd")
    tmem.add_argument(
        "--share", metavar="UUID", action="append", help="may join the shared pool of this uuid"
    )


def _add_start_stop(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", connect: argparse.ArgumentParser
) -> None:
    start = _verb(verbs, connect, "start", "start VMs and wait until they answer")
    start.add_argument("names", metavar="NAME", nargs="+")
    start.add_argument("--no-wait", action="store_true")
    start.add_argument("--limit", metavar="SECONDS", type=float, help="default 180")

    stop = _verb(verbs, connect, "stop", "have guests power themselves off")
    stop.add_argument("names", metavar="NAME", nargs="*")
    stop.add_argument("--all", action="store_true", help="all that run")
    stop.add_argument("--force", action="store_true", help="pull the plug")
    stop.add_argument("--limit", metavar="SECONDS", type=float, help="default 60")

    destroy = _verb(verbs, connect, "destroy", "end VMs at once and remove them with their disks")
    destroy.add_argument("names", metavar="NAME", nargs="*")
    destroy.add_argument("--all", action="store_true")

    set_ = _verb(verbs, connect, "set", "change tmem settings, for now and for later")
    set_.add_argument("name", metavar="NAME")
    _add_settings(set_)


def _add_looking(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", connect: argparse.ArgumentParser
) -> None:
    list_ = _verb(verbs, connect, "list", "list all VMs")
    list_.add_argument("--json", action="store_true", help="print one JSON object a VM")
    info = _verb(verbs, connect, "info", "say all there is to know of a VM")
    info.add_argument("name", metavar="NAME")
    info.add_argument("--json", action="store_true", help="print one JSON object")


def _add_inside(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", connect: argparse.ArgumentParser
) -> None:
    console = _verb(verbs, connect, "console", "talk to a guest's serial console; Ctrl-] leaves")
    console.add_argument("name", metavar="NAME")

    exec_ = _verb(
        verbs,
        connect,
        "exec",
        "run a command in a guest",
        epilog="Exit status: that of the command, 128 and its number after a signal, 124 when"
        " its time was up, 1 if it could not be run.",
    )
    exec_.add_argument("-n", "--no-stdin", action="store_true", help="give it no input")
    exec_.add_argument("--limit", metavar="SECONDS", type=float, help="end it then")
    exec_.add_argument("--cwd", metavar="DIR", help="where it runs")
    exec_.add_argument("--env", metavar="NAME=VALUE", action="append", default=[])
    exec_.add_argument("name", metavar="NAME")
    exec_.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER)

    cp = _verb(
        verbs, connect, "cp", "copy a file into a guest or out of it; a guest's is NAME:PATH"
    )
    cp.add_argument("source", metavar="FROM")
    cp.add_argument("destination", metavar="TO")


def _add_rewinding(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", connect: argparse.ArgumentParser
) -> None:
    force = argparse.ArgumentParser(add_help=False, parents=[connect])
    force.add_argument(
        "--force", action="store_true", help="even if nobody can tell what would be lost"
    )
    save = _verb(verbs, force, "save", "save a running guest to a file and end it")
    save.add_argument("name", metavar="NAME")
    save.add_argument("file", metavar="FILE", type=Path)
    managed = _verb(verbs, force, "managedsave", "save a running guest for its next start")
    managed.add_argument("name", metavar="NAME")
    restore = _verb(verbs, connect, "restore", "run a saved guest on")
    restore.add_argument("file", metavar="FILE", type=Path)
    for name, help_ in (
        ("snapshot", "take a snapshot of a VM"),
        ("revert", "take a VM back to a snapshot"),
    ):
        verb = _verb(verbs, force, name, help_)
        verb.add_argument("name", metavar="NAME")
        verb.add_argument("snapshot", metavar="SNAPSHOT")
    migrate = _verb(verbs, force, "migrate", "move a running guest to another host")
    migrate.add_argument("name", metavar="NAME")
    migrate.add_argument("destination", metavar="URI")
