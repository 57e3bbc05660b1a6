# SPDX-License-Identifier: GPL-2.0-or-later
"""The VMs of a running service: only one process can have an embedded root open, and that is the
service, whose client the command is then.

A call is encoded by the annotations of Provisioner's own method, travels as the control protocol's
`vm.call`, and fails there or here with the same exceptions.
"""

import functools
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from tmem_host.control import CallRefused, Connection, ControlError, NoService, default_socket
from tmem_host.control.codec import BadValue, decode, encode
from tmem_host.provision.progress import Progress
from tmem_host.provision.vm import errors
from tmem_host.provision.vm.connection import EMBED, choose_places, choose_uri
from tmem_host.provision.vm.info import VmInfo
from tmem_host.provision.vm.places import Places
from tmem_host.provision.vm.power import BOOT_LIMIT_S
from tmem_host.provision.vm.provisioner import Provisioner
from tmem_host.provision.vm.spec import VmSpec
from tmem_host.provision.vm.stopping import undisturbed

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
_PREFIX = "vm:"


def _remote(
    local: Callable[Concatenate[Provisioner, Parameters], Result],
) -> Callable[Concatenate[Provisioner, Parameters], Result]:
    """The method of the same name that asks the service."""

    @functools.wraps(local)
    def call(self: Provisioner, /, *arguments: Any, **named: Any) -> Result:
        assert isinstance(self, RemoteProvisioner)
        bound = inspect.signature(local).bind(self, *arguments, **named).arguments
        plain = {name: encode(value) for name, value in bound.items() if name != "self"}
        said = self.ask(local.__name__, plain)
        try:
            found: Result = decode(said, typing.get_type_hints(local)["return"])
        except BadValue:
            raise errors.VmError(
                "the service is of another version than this command; restart the service"
            ) from None
        return found

    return call


_create = _remote(Provisioner.create)


class RemoteProvisioner(Provisioner):
    """A Provisioner whose VMs are those of the service at `socket`. What needs only the files and
    sockets of a VM happens here."""

    def __init__(
        self, socket: Path, uri: str, places: Places, progress: Progress | None = None
    ) -> None:
        super().__init__(uri=uri, places=places, progress=progress)
        self._socket = socket
        self._service: Connection | None = None

    def __enter__(self) -> Self:
        self._service = Connection(self._socket)
        return self

    def __exit__(self, *_: object) -> None:
        if self._service is not None:
            self._service.close()

    def ask(self, name: str, arguments: dict[str, Any]) -> Any:
        """What the service's own Provisioner returns. VmError, as there; ControlError."""
        if self._service is None:
            raise errors.VmError("the connection to the service is not open")
        try:
            return self._service.call("vm.call", name=name, arguments=arguments)
        except CallRefused as refused:
            raise _error(refused) from None

    def create(
        self,
        spec: VmSpec,
        *,
        start: bool = True,
        wait: bool = True,
        boot_limit_s: float = BOOT_LIMIT_S,
    ) -> VmInfo:
        """As there; who interrupts it leaves nothing behind here either."""
        try:
            return _create(self, spec, start=start, wait=wait, boot_limit_s=boot_limit_s)
        except KeyboardInterrupt:
            with undisturbed():
                if self._service is not None and self._service.interrupted_call_succeeded():
                    self._remove(spec.name)
            raise

    alive = _remote(Provisioner.alive)
    name_of = _remote(Provisioner.name_of)
    vms = _remote(Provisioner.vms)
    info = _remote(Provisioner.info)
    disk_counters = _remote(Provisioner.disk_counters)
    qemu_pid = _remote(Provisioner.qemu_pid)
    start = _remote(Provisioner.start)
    stop = _remote(Provisioner.stop)
    pause = _remote(Provisioner.pause)
    reset = _remote(Provisioner.reset)
    destroy = _remote(Provisioner.destroy)
    _remove = _remote(Provisioner._remove)
    ended = _remote(Provisioner.ended)
    save = _remote(Provisioner.save)
    managed_save = _remote(Provisioner.managed_save)
    restore = _remote(Provisioner.restore)
    snapshot = _remote(Provisioner.snapshot)
    revert = _remote(Provisioner.revert)
    migrate = _remote(Provisioner.migrate)
    settings = _remote(Provisioner.settings)
    set = _remote(Provisioner.set)


# What a service does for its clients.
METHODS = {"create"} | {
    name for name, member in vars(RemoteProvisioner).items() if hasattr(member, "__wrapped__")
}


def serve_call(provisioner: Provisioner, name: str, arguments: dict[str, Any]) -> Any:
    """Does in the service what _remote() asks for; CallRefused."""
    if name not in METHODS:
        raise CallRefused(f"there is no method {name!r} of VMs", "usage")
    local = getattr(provisioner, name)
    hints = typing.get_type_hints(local)
    try:
        typed = {key: decode(value, hints[key]) for key, value in arguments.items()}
        inspect.signature(local).bind(**typed)
    except (BadValue, KeyError, TypeError) as error:
        raise CallRefused(f"vm {name}: {error}", "usage") from None
    try:
        return encode(local(**typed))
    except errors.VmError as error:
        log = getattr(error, "log", None)
        raise CallRefused(str(error), f"{_PREFIX}{type(error).__name__}:{log or ''}") from error


def _error(refused: CallRefused) -> Exception:
    """The exception that was raised in the service."""
    if not refused.code.startswith(_PREFIX):
        return refused
    name, _, log = refused.code.removeprefix(_PREFIX).partition(":")
    kind: type[errors.VmError] = getattr(errors, name, errors.VmError)
    error = kind(str(refused))
    if isinstance(error, errors.GuestFailed):
        error.log = Path(log) if log else None
    return error


def open_provisioner(uri: str | None, progress: Progress | None) -> Provisioner:
    """The VMs of a connection: through the service when it has their root open."""
    chosen = choose_uri(uri)
    places = choose_places(chosen)
    if chosen == EMBED:
        socket = default_socket()
        try:
            with Connection(socket) as service:
                followed = service.call("service.info")["libvirt"]
        except NoService:
            followed = None
        except ControlError as error:
            raise errors.VmError(str(error)) from None
        if followed == {"uri": chosen, "state": str(places.state)}:
            return RemoteProvisioner(socket, chosen, places, progress)
    return Provisioner(uri=chosen, places=places, progress=progress)
