# SPDX-License-Identifier: GPL-2.0-or-later
"""A terminal on a guest's serial console."""

import contextlib
import fcntl
import os
import selectors
import socket
import sys
import termios
import tty
from collections.abc import Iterator

from tmem_host.provision.vm.errors import Busy, WrongState
from tmem_host.provision.vm.places import VmPlaces

ESCAPE = b"\x1d"  # Ctrl-]
_CHUNK_BYTES = 4096


def attach(name: str, places: VmPlaces, input_fd: int, output_fd: int) -> None:
    """Joins two descriptors and the console until Ctrl-], end of input, or the guest's end.

    A terminal is put into raw mode meanwhile. Busy if another process is on this console,
    WrongState if the VM does not run.
    """
    with _alone(name, places), _connected(name, places) as guest, _raw(input_fd):
        _pump(guest, input_fd, output_fd)


def _pump(guest: socket.socket, input_fd: int, output_fd: int) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(guest, selectors.EVENT_READ)
        selector.register(input_fd, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is guest:
                    data = guest.recv(_CHUNK_BYTES)
                    if not data:
                        return
                    _write(output_fd, data)
                    continue
                data = os.read(input_fd, _CHUNK_BYTES)
                typed, escape, _ = data.partition(ESCAPE)
                guest.sendall(typed)
                if escape or not data:
                    return


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@contextlib.contextmanager
def _connected(name: str, places: VmPlaces) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as guest:
        try:
            guest.connect(str(places.console_socket))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise WrongState(f"the VM {name} is not running; run: tmem vm start {name}") from error
        yield guest


@contextlib.contextmanager
def _alone(name: str, places: VmPlaces) -> Iterator[None]:
    # QEMU serves one connection and lets the next wait without a word
    with (places.files / "console.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"another process is on the console of {name}") from None
        yield


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
        sys.stderr.write("\n")
