# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent: does in a guest what the host asks for over a port of its own.

tmem_shim.agent_protocol says how they talk. One thread, one loop, nothing that waits for the host:
loop.py calls whoever has something to do, port.py carries bytes, server.py keeps sessions and
requests, and each kind of request has a module that does it.
"""

from tmem_guest.agent.port import PortGone
from tmem_guest.agent.server import Server

__all__ = ["PortGone", "Server"]
