# SPDX-License-Identifier: GPL-2.0-or-later
"""Stopping a domain that libvirt is busy with. (What a VM may be told else, tests/vm tells it.)"""

from typing import cast

import pytest

from tmem_host.provision.vm.bindings import libvirt
from tmem_host.provision.vm.errors import LibvirtFailed
from tmem_host.provision.vm.power import Power


class _Error(libvirt.libvirtError):  # type: ignore[misc]
    def __init__(self, code: int) -> None:
        Exception.__init__(self, f"code {code}")
        self._code = code

    def get_error_code(self) -> int:
        return self._code


class Domain:
    """Answers with these codes, and is stopped then."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)

    def name(self) -> str:
        return "web"

    def destroy(self) -> None:
        if self.codes:
            raise _Error(self.codes.pop(0))


def stop(domain: Domain) -> None:
    Power._destroy(cast(Power, None), domain)


def test_libvirt_is_busy_for_a_while() -> None:
    domain = Domain(libvirt.VIR_ERR_OPERATION_TIMEOUT)
    stop(domain)
    assert domain.codes == []


def test_it_has_ended_by_itself() -> None:
    stop(Domain(libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_ERR_OPERATION_INVALID))


@pytest.mark.parametrize(
    "codes",
    [
        (libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_ERR_OPERATION_TIMEOUT),
        (libvirt.VIR_ERR_OPERATION_FAILED,),
    ],
)
def test_it_cannot_be_stopped(codes: tuple[int, ...]) -> None:
    domain = Domain(*codes)
    with pytest.raises(LibvirtFailed, match=f"cannot stop web: code {codes[-1]}"):
        stop(domain)
    assert domain.codes == []
