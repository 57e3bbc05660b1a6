# SPDX-License-Identifier: GPL-2.0-or-later
"""A ClientLifecycle that writes down what it is told."""

from typing import Any

from tmem_host.provision.vm.lifecycle import Domain, Ending, Rewind, Start
from tmem_host.provision.vm.settings import TmemSettings


class Recorder:
    """`calls` are tuples: what, the domain's name, and the rest."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.fails = False

    def _note(self, what: str, domain: Domain, *rest: object) -> None:
        self.calls.append((what, domain.name, *rest))
        if self.fails:
            raise RuntimeError("the service has a bug")

    def take(self) -> list[tuple[Any, ...]]:
        """The calls since the last time."""
        calls, self.calls = self.calls, []
        return calls

    def started(self, domain: Domain, start: Start) -> None:
        self._note("started", domain, start)

    def paused(self, domain: Domain) -> None:
        self._note("paused", domain)

    def resumed(self, domain: Domain) -> None:
        self._note("resumed", domain)

    def reset(self, domain: Domain) -> None:
        self._note("reset", domain)

    def panicked(self, domain: Domain) -> None:
        self._note("panicked", domain)

    def rewound(self, domain: Domain, how: Rewind) -> None:
        self._note("rewound", domain, how)

    def settings_changed(self, domain: Domain, settings: TmemSettings) -> None:
        self._note("settings_changed", domain, settings)

    def settings_refused(self, domain: Domain, problem: str) -> None:
        self._note("settings_refused", domain, problem)

    def stopped(self, domain: Domain, ending: Ending) -> None:
        self._note("stopped", domain, ending)
