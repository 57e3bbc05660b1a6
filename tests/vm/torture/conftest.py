# SPDX-License-Identifier: GPL-2.0-or-later
"""What the torture's guests are made of."""

import pytest

from tests.vm.torture.plan import Kernels
from tmem_host.provision.image import Image
from tmem_host.provision.kernel import Kernel
from tmem_host.provision.vm.spec import Accelerator


@pytest.fixture(scope="session")
def kernels(
    kernel: Kernel, unpatched_kernel: Kernel, image: Image, accelerator: Accelerator
) -> Kernels:
    """Both kernels, and an image with the modules of both."""
    return Kernels(patched=kernel, unpatched=unpatched_kernel, image=image, accelerator=accelerator)
