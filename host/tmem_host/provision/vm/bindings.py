# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt-python, imported in one place.

libvirt reads where it logs to from the environment when it is loaded, and otherwise writes to the
standard error stream of whoever asked for a VM. What goes wrong comes back as exceptions anyway.
"""

import operator
import os

from tmem_host.provision.vm.places import default_state, make_directory

_OUTPUTS = "LIBVIRT_LOG_OUTPUTS"
_chosen = _OUTPUTS not in os.environ and "LIBVIRT_DEBUG" not in os.environ
if _chosen:
    make_directory(default_state())
    os.environ[_OUTPUTS] = f"3:file:{default_state() / 'libvirt.log'}"
try:
    import libvirt
except ImportError as error:
    from tmem_host.provision.vm.errors import VmError

    raise VmError(
        f"libvirt-python cannot be loaded ({error});"
        " run: apt-get install libvirt0 libvirt-daemon-driver-qemu, then make setup"
    ) from error
finally:
    if _chosen:
        os.environ.pop(_OUTPUTS, None)

__all__ = ["libvirt"]


# Without a handler libvirt prints each error. It is called from within libvirt, where Python would
# drop a KeyboardInterrupt; a function of C's gives Python no occasion to raise one there.
libvirt.registerErrorHandler(operator.is_, None)
