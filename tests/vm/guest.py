# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest in a test."""

from tmem_host.provision.vm.running import RunningGuest


class Guest(RunningGuest):
    """A VM whose guest answered when it was made."""

    def boot_id(self) -> str:
        """It differs after each boot."""
        with self.agent as agent:
            return agent.ping().boot_id

    def serial(self) -> str:
        """What it said on its console."""
        log = self.places.serial_log
        return log.read_text(errors="replace") if log.exists() else ""
