# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections to libvirt: to one of its daemons, or to its QEMU driver inside this process.

`qemu:///embed` needs no daemon, but one process at a time may have a root open, and it has it until
it exits; VMs live on, and the next one finds them. A process can have one root in its life.
libvirt's own message for a second process does not say who is in the way, so a lock file beside the
root comes first, with the process id of its holder.
"""

import atexit
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from tmem_host.provision.paths import cache_directory
from tmem_host.provision.vm.bindings import libvirt
from tmem_host.provision.vm.errors import Busy, LibvirtFailed, VmError
from tmem_host.provision.vm.leftovers import remove_leftovers
from tmem_host.provision.vm.places import Places, default_state, make_directory, places_at

EMBED = "qemu:///embed"
SYSTEM = "qemu:///system"
_URI_VARIABLE = "LIBVIRT_DEFAULT_URI"

# What the service's packages make, for VMs that libvirt's daemon runs.
_SYSTEM_STATE = Path("/var/lib/tmem")
_SYSTEM_RUN = Path("/run/tmem/vm")

# No virtlogd, no confinement: there is no daemon to ask, and the VMs are this user's own.
_QEMU_CONF = """\
# Written by tmem each time it opens this root.
stdio_handler = "file"
security_driver = "none"
namespaces = []
cgroup_controllers = []
dynamic_ownership = 0
"""
_QEMU_CONF_ROOT = """\
user = "root"
group = "root"
"""

_LOOK_AGAIN_S = 0.1
_TICK_MS = 1000
_SHOWN_CHARACTERS = 80

# Of this process, for good: its event loop, and the locks of embed roots.
_once = threading.Lock()
_loop: "_EventLoop | None" = None
_held: dict[Path, TextIO] = {}


def choose_uri(uri: str | None) -> str:
    """`uri`, else that of the environment, else the embedded driver."""
    return uri or os.environ.get(_URI_VARIABLE) or EMBED


def choose_places(uri: str) -> Places:
    """Where the VMs of a connection keep their files."""
    if uri == SYSTEM and "TMEM_VM_STATE" not in os.environ:
        return places_at(_SYSTEM_STATE, _SYSTEM_RUN)
    return places_at(default_state())


@contextmanager
def connected(
    uri: str, places: Places, *, patience_s: float = 0.0
) -> Iterator["libvirt.virConnect"]:
    """A connection, with libvirt's events running in a thread of their own.

    For the embedded driver, waits up to `patience_s` for another process to close the root. Busy if
    it does not, LibvirtFailed if libvirt does not connect.
    """
    _run_events()
    if uri != EMBED:
        with _opened(uri) as connection:
            yield connection
        return
    _write_embed_root(places)
    _hold_root(places, patience_s)
    with _opened(f"{EMBED}?root={quote(str(places.embed))}") as connection:
        yield connection


@contextmanager
def _opened(uri: str) -> Iterator["libvirt.virConnect"]:
    try:
        connection = libvirt.open(uri)
    except libvirt.libvirtError as error:
        raise LibvirtFailed(f"cannot connect to {uri}: {_cure(error)}") from error
    try:
        yield connection
    finally:
        connection.close()


def _cure(error: "libvirt.libvirtError") -> str:
    message = str(error)
    if "Failed to parse user" in message or "Failed to parse group" in message:
        return (
            f"{message}; run as root: groupadd --system kvm; groupadd --system --gid 64055"
            " libvirt-qemu; useradd --system --uid 64055 --gid kvm libvirt-qemu; or be another"
            " user than root"
        )
    if "no connection driver available" in message:
        return f"{message}; run: apt-get install libvirt-daemon-driver-qemu"
    return message


def _write_embed_root(places: Places) -> None:
    make_directory(places.state)
    make_directory(places.embed)
    make_directory(places.embed / "etc")
    conf = _QEMU_CONF + (_QEMU_CONF_ROOT if os.geteuid() == 0 else "")
    # What QEMU can do is asked once for all roots; it takes libvirt seconds.
    cache = places.embed / "cache"
    try:
        (places.embed / "etc/qemu.conf").write_text(conf)
        if not cache.is_symlink():
            shared = cache_directory() / "libvirt"
            shared.mkdir(exist_ok=True)
            cache.symlink_to(shared)
    except OSError as error:
        raise VmError(f"cannot prepare {places.embed}: {error.strerror}") from error


def _hold_root(places: Places, patience_s: float) -> None:
    """Takes the lock for the rest of this process's life; once more is as good as once."""
    path = places.lock
    with _once:
        if path in _held:
            return
        lock = path.open("a+")
        try:
            _wait_for(lock, path, patience_s)
        except BaseException:
            lock.close()
            raise
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        _held[path] = lock
        remove_leftovers(places)


def _wait_for(lock: TextIO, path: Path, patience_s: float) -> None:
    give_up = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= give_up:
                lock.seek(0)
                raise Busy(_in_the_way(path, lock.read())) from None
            time.sleep(_LOOK_AGAIN_S)


def _in_the_way(path: Path, pid: str) -> str:
    try:
        words = Path(f"/proc/{int(pid)}/cmdline").read_text().replace("\0", " ").split()
        who = f"process {pid} ({' '.join(words)[:_SHOWN_CHARACTERS]})"
    except (OSError, ValueError):
        who = "another process"
    return (
        f"{who} has the VMs below {path.parent} open, and only one can, until it ends;"
        " wait for that, or use another TMEM_VM_STATE"
    )


def _run_events() -> None:
    """Starts libvirt's event loop, once in the life of a process: it cannot be taken back."""
    global _loop  # noqa: PLW0603  libvirt's registration is as global
    with _once:
        if _loop is None:
            libvirt.virEventRegisterDefaultImpl()
            _loop = _EventLoop()


class _EventLoop:
    """A thread that runs libvirt's event loop until the process exits.

    It must end before Python does: a callback into an interpreter that is being taken down is a
    segmentation fault.
    """

    def __init__(self) -> None:
        self._ends = False
        # a timer, since whatever is registered has to find a loop that it can wake
        self._timer = libvirt.virEventAddTimeout(_TICK_MS, lambda _timer, _opaque: None, None)
        self._thread = threading.Thread(target=self._run, name="libvirt-events", daemon=True)
        self._thread.start()
        atexit.register(self._end)

    def _run(self) -> None:
        while not self._ends:
            libvirt.virEventRunDefaultImpl()

    def _end(self) -> None:
        self._ends = True
        libvirt.virEventUpdateTimeout(self._timer, 0)
        self._thread.join()
