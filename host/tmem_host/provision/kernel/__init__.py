# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the guest kernel and the project's modules for it, and keeps what was built."""

from tmem_host.provision.kernel.build import build, find, kernel_cache
from tmem_host.provision.kernel.cache import Kernel, KernelCache
from tmem_host.provision.kernel.make import BuildFailed
from tmem_host.provision.kernel.modules import (
    Modules,
    ModuleSources,
    build_modules,
    module_sources,
    modules_key,
)

__all__ = [
    "BuildFailed",
    "Kernel",
    "KernelCache",
    "ModuleSources",
    "Modules",
    "build",
    "build_modules",
    "find",
    "kernel_cache",
    "module_sources",
    "modules_key",
]
