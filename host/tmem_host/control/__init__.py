# SPDX-License-Identifier: GPL-2.0-or-later
"""The control protocol: msgpack-RPC between the service and the operator's tools.

`rpc` is the framing, used by both ends; `client` is what the tools call the service with.
docs/control.md lists the methods.
"""

from tmem_host.control.client import Connection
from tmem_host.control.errors import CallRefused, ControlError, NoService
from tmem_host.control.paths import default_socket

__all__ = ["CallRefused", "Connection", "ControlError", "NoService", "default_socket"]
