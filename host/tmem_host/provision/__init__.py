# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes what guests run on: kernels, images, and the guests themselves."""

from tmem_host.provision.errors import ProvisionError

__all__ = ["ProvisionError"]
