# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupts stop the work, not the tidying up."""

import contextlib
import signal
import threading
from pathlib import Path

import pytest

from tmem_host.provision.vm.bindings import libvirt
from tmem_host.provision.vm.connection import connected
from tmem_host.provision.vm.places import places_at
from tmem_host.provision.vm.stopping import interruptible, undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_work(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_second_signal_waits_for_the_tidying_up() -> None:
    done: list[str] = []

    def tidy() -> None:
        with undisturbed():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            done.append("tidy")

    with pytest.raises(KeyboardInterrupt), interruptible():
        tidy()
    assert done == ["tidy"]


def test_an_interrupt_during_a_call_of_libvirt_is_not_lost(state: Path) -> None:
    def ask() -> None:
        # some come while libvirt tells of its error
        threading.Timer(0.01, signal.raise_signal, [signal.SIGINT]).start()
        for _ in range(50_000):
            with contextlib.suppress(libvirt.libvirtError):
                connection.lookupByName("nobody")

    with connected("test:///default", places_at(state)) as connection, interruptible():
        for _ in range(50):
            with pytest.raises(KeyboardInterrupt):
                ask()
