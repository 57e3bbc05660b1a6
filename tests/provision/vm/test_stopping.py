# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupts stop the work, not the tidying up."""

import signal

import pytest

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
