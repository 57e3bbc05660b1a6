# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verbs of `tmem vm` do."""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tmem_host.cli.output import size, table
from tmem_host.cli.vm_arguments import disk, settings, specs
from tmem_host.provision.agent import Agent
from tmem_host.provision.progress import progress_on
from tmem_host.provision.vm import boot, console
from tmem_host.provision.vm.connection import choose_places, choose_uri
from tmem_host.provision.vm.errors import BadSetting, NoSuchVm, WrongState
from tmem_host.provision.vm.info import VmInfo
from tmem_host.provision.vm.places import VmPlaces
from tmem_host.provision.vm.power import BOOT_LIMIT_S, STOP_LIMIT_S
from tmem_host.provision.vm.provisioner import Provisioner
from tmem_host.provision.vm.remote import open_provisioner
from tmem_host.provision.vm.stopping import interruptible, undisturbed

_TIME_IS_UP = 124
_STDIN = 0
_STDOUT = 1


def run(options: argparse.Namespace) -> int:
    """Runs one verb; ProvisionError, KeyboardInterrupt."""
    with interruptible():
        return _VERBS[options.verb](options)


def _open(options: argparse.Namespace) -> Provisioner:
    return open_provisioner(options.connect, progress_on(sys.stderr))


# ---- making and ending -------------------------------------------------------------------------


def _create(options: argparse.Namespace) -> int:
    progress = progress_on(sys.stderr)
    wanted = specs(options, [disk(text) for text in options.disk], progress)
    made: list[str] = []
    with _open(options) as vms:
        try:
            for spec in wanted:
                vms.create(spec, start=not options.no_start, wait=False)
                made.append(spec.name)
            # they boot at the same time
            if not options.no_start and options.initrd is None:
                for name in made:
                    vms.wait(name, options.limit or BOOT_LIMIT_S)
        except BaseException as error:
            with undisturbed():
                failure = vms.give_up(made, error)
            if failure is error:
                raise
            raise failure from error
        for name in made:
            _show(vms.info(name), as_json=options.json)
    return 0


def _start(options: argparse.Namespace) -> int:
    with _open(options) as vms:
        for name in options.names:
            vms.start(name, wait=False)
        if not options.no_wait:
            for name in options.names:
                vms.wait(name, options.limit or BOOT_LIMIT_S)
    return 0


def _stop(options: argparse.Namespace) -> int:
    with _open(options) as vms:
        running = [info.name for info in vms.vms() if info.qemu_pid is not None]
        for name in _chosen(options, running):
            vms.stop(name, force=options.force, limit_s=options.limit or STOP_LIMIT_S)
    return 0


def _destroy(options: argparse.Namespace) -> int:
    with _open(options) as vms:
        for name in _chosen(options, [info.name for info in vms.vms()]):
            vms.destroy(name)
    return 0


def _chosen(options: argparse.Namespace, everyone: list[str]) -> list[str]:
    if options.all == bool(options.names):
        raise BadSetting("say which VMs: names, or --all")
    return everyone if options.all else options.names


def _set(options: argparse.Namespace) -> int:
    with _open(options) as vms:
        vms.set(options.name, settings(options, vms.settings(options.name)))
    return 0


# ---- looking -----------------------------------------------------------------------------------


def _list(options: argparse.Namespace) -> int:
    with _open(options) as vms:
        infos = vms.vms()
    if options.json:
        for info in infos:
            print(_json(info))
        return 0
    if infos:
        width = max(4, *(len(info.name) for info in infos))
        print(f"{'NAME':<{width}}  {'STATE':<13}  {'BY':<4}  {'MEMORY':>10}  RESIDENT")
        for info in infos:
            resident = "" if info.resident_bytes is None else size(info.resident_bytes)
            print(
                f"{info.name:<{width}}  {info.state:<13}  {info.accelerator:<4}"
                f"  {size(info.memory_bytes):>10}  {resident}"
            )
    return 0


def _info(options: argparse.Namespace) -> int:
    with _open(options) as vms:
        _show(vms.info(options.name), as_json=options.json)
    return 0


def _show(info: VmInfo, *, as_json: bool) -> None:
    if as_json:
        print(_json(info))
        return
    resident = "" if info.resident_bytes is None else f", {size(info.resident_bytes)} resident"
    rows = [
        ("name", info.name),
        ("uuid", info.uuid),
        ("state", info.state),
        ("run by", info.accelerator + (f", process {info.qemu_pid}" if info.qemu_pid else "")),
        ("memory", f"{size(info.memory_bytes)}{resident}"),
        ("processors", str(info.vcpus)),
        ("kernel", info.kernel),
        ("image", info.image or "none"),
        *((f"disk {name}", path) for name, path in info.disks.items()),
        *((f"network {name}", address) for name, address in info.networks.items()),
        *((f"port {name}", path) for name, path in info.channels.items()),
        ("serial log", info.serial_log),
        ("tmem", "its kernel " + ("attaches" if info.tmem else "does not attach") + " at boot"),
        ("settings", _settings_text(info)),
    ]
    print(table(rows))


def _settings_text(info: VmInfo) -> str:
    if info.settings is None:
        return f"unusable: {info.settings_problem}"
    chosen = info.settings
    shared = ", ".join(str(uuid) for uuid in sorted(chosen.shared))
    return (
        f"weight {chosen.weight}, cap {size(chosen.cap_bytes) if chosen.cap_bytes else 'none'},"
        f" quota {size(chosen.quota_bytes) if chosen.quota_bytes else 'none'},"
        f" compression {chosen.compression.value}, may share {shared or 'nothing'}"
    )


def _json(info: VmInfo) -> str:
    facts = dataclasses.asdict(info)
    if info.settings is not None:
        facts["settings"]["compression"] = info.settings.compression.value
        facts["settings"]["shared"] = sorted(str(uuid) for uuid in info.settings.shared)
    return json.dumps(facts)


# ---- inside: these need only the VM's sockets, not libvirt --------------------------------------


def _places(options: argparse.Namespace, name: str) -> VmPlaces:
    places = choose_places(choose_uri(options.connect)).vm(name)
    if not places.files.is_dir():
        raise NoSuchVm(f"there is no VM {name}; see: tmem vm list")
    return places


def _agent(options: argparse.Namespace, name: str) -> Agent:
    places = _places(options, name)
    if not boot.listens(places.agent_socket):
        panic = boot.panic_line(places.serial_log)
        because = f": its guest panicked ({panic})" if panic else ""
        raise WrongState(f"the VM {name} is not running{because}; run: tmem vm start {name}")

    def ended() -> str | None:
        return None if boot.listens(places.agent_socket) else "its QEMU ended"

    return boot.Guest(name, places, ended).agent()


def _console(options: argparse.Namespace) -> int:
    places = _places(options, options.name)
    if sys.stdin.isatty():
        print(f"console of {options.name}; Ctrl-] leaves", file=sys.stderr)
    console.attach(options.name, places, _STDIN, _STDOUT)
    return 0


def _exec(options: argparse.Namespace) -> int:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise BadSetting(f"say what to run in {options.name}")
    environment = dict(_assignment(text) for text in options.env)
    takes_input = not options.no_stdin and not sys.stdin.isatty()
    with _agent(options, options.name) as agent:
        result = agent.exec(
            command,
            env=environment,
            cwd=options.cwd,
            stdin=sys.stdin.buffer if takes_input else None,
            stdout=sys.stdout.buffer,
            stderr=sys.stderr.buffer,
            limit_s=options.limit,
        )
    sys.stdout.flush()
    if result.timed_out:
        print(f"tmem: ended after {options.limit:g} s", file=sys.stderr)
        return _TIME_IS_UP
    if result.signal is not None:
        return 128 + result.signal
    return result.status or 0


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise BadSetting(f"{text!r} is not NAME=VALUE")
    return name, value


def _cp(options: argparse.Namespace) -> int:
    source_vm, source = _location(options.source)
    destination_vm, destination = _location(options.destination)
    if (source_vm is None) == (destination_vm is None):
        raise BadSetting("one of the two must be in a guest, as NAME:PATH, and one must not")
    if source_vm is not None:
        _download(options, source_vm, source, Path(destination))
    elif destination_vm is not None:
        _upload(options, Path(source), destination_vm, destination)
    return 0


def _location(text: str) -> tuple[str | None, str]:
    """A VM and a path in it; no VM for a path of this host: ./a:b is one."""
    name, colon, path = text.partition(":")
    if not colon or "/" in name:
        return None, text
    if not path.startswith("/"):
        raise BadSetting(f"the path of a guest begins with /: {text!r} does not")
    return name, path


def _download(options: argparse.Namespace, name: str, source: str, destination: Path) -> None:
    if destination.is_dir():
        destination /= os.path.basename(source)
    partial = destination.with_name(f".{destination.name}.part")
    try:
        with _agent(options, name) as agent, partial.open("wb") as file:
            mode = agent.download(source, file).mode
        # set-user-ID bits of a guest mean nothing here
        partial.chmod(mode & 0o777)
        partial.replace(destination)
    except OSError as error:
        raise WrongState(f"cannot write {destination}: {error.strerror}") from error
    finally:
        with undisturbed():
            partial.unlink(missing_ok=True)


def _upload(options: argparse.Namespace, source: Path, name: str, destination: str) -> None:
    if destination.endswith("/"):
        destination += source.name
    try:
        file = source.open("rb")
    except OSError as error:
        raise WrongState(f"cannot read {source}: {error.strerror}") from error
    with file, _agent(options, name) as agent:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        agent.upload(file, destination, mode=mode)


# ---- what would rewind or move a guest -----------------------------------------------------------


def _save(options: argparse.Namespace) -> int:
    with _open(options) as vms:
        vms.save(options.name, options.file, force=options.force)
    return 0


def _managed_save(options: argparse.Namespace) -> int:
    with _open(options) as vms:
        vms.managed_save(options.name, force=options.force)
    return 0


def _restore(options: argparse.Namespace) -> int:
    with _open(options) as vms:
        vms.restore(options.file)
    return 0


def _snapshot(options: argparse.Namespace) -> int:
    with _open(options) as vms:
        vms.snapshot(options.name, options.snapshot, force=options.force)
    return 0


def _revert(options: argparse.Namespace) -> int:
    with _open(options) as vms:
        vms.revert(options.name, options.snapshot, force=options.force)
    return 0


def _migrate(options: argparse.Namespace) -> int:
    with _open(options) as vms:
        vms.migrate(options.name, options.destination, force=options.force)
    return 0


_VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "create": _create,
    "start": _start,
    "stop": _stop,
    "destroy": _destroy,
    "set": _set,
    "list": _list,
    "info": _info,
    "console": _console,
    "exec": _exec,
    "cp": _cp,
    "save": _save,
    "managedsave": _managed_save,
    "restore": _restore,
    "snapshot": _snapshot,
    "revert": _revert,
    "migrate": _migrate,
}
