# SPDX-License-Identifier: GPL-2.0-or-later
"""A service and a command of different versions."""

from pathlib import Path
from typing import Any

import pytest

from tmem_host.provision.vm.errors import VmError
from tmem_host.provision.vm.places import places_at
from tmem_host.provision.vm.remote import RemoteProvisioner


def test_a_service_of_another_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def ask(self: RemoteProvisioner, name: str, arguments: dict[str, Any]) -> Any:
        return [{"name": "web", "of": "another version"}]

    monkeypatch.setattr(RemoteProvisioner, "ask", ask)
    vms = RemoteProvisioner(tmp_path / "socket", "qemu:///embed", places_at(Path("/var/tmp/x")))
    with pytest.raises(VmError, match="another version than this command; restart the service"):
        vms.vms()
