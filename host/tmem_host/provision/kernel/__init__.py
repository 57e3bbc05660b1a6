# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the guest kernel and keeps what was built."""

from tmem_host.provision.kernel.build import build, find, kernel_cache
from tmem_host.provision.kernel.cache import Kernel, KernelCache
from tmem_host.provision.kernel.make import BuildFailed

__all__ = ["BuildFailed", "Kernel", "KernelCache", "build", "find", "kernel_cache"]
