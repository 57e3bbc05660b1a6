# SPDX-License-Identifier: GPL-2.0-or-later
"""What a site of the torture is made of."""

from dataclasses import dataclass

from tmem_host.provision.image import Image
from tmem_host.provision.kernel import Kernel
from tmem_host.provision.vm.spec import IO_PROFILES, Accelerator, IoProfile


@dataclass(frozen=True, kw_only=True)
class Kernels:
    """What guests can be made of, with and without the cures."""

    patched: Kernel
    unpatched: Kernel
    image: Image
    accelerator: Accelerator


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a site is made of."""

    kernels: Kernels
    patched: bool = True
    nodes: int = 2
    name: str = "node"
    """what the guests' names begin with"""
    memory_mib: int = 160
    disk_bytes: int = 512 << 20
    threads: int = 8
    disk_io: IoProfile = IO_PROFILES["native"]
    tmem: bool = False
    """from the first mount on"""
    force_shared: bool = False
    """has hooks join shared pools on a kernel without cures"""
    server: str = "lease = '1s'\nexpel = '2s'\n"
    """the section of the service's configuration"""

    @property
    def kernel(self) -> Kernel:
        """The one that its guests boot."""
        return self.kernels.patched if self.patched else self.kernels.unpatched
