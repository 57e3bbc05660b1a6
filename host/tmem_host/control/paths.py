# SPDX-License-Identifier: GPL-2.0-or-later
"""Where service and tools meet when nobody says otherwise."""

import os
from pathlib import Path

SYSTEM_SOCKET = Path("/run/tmem/control.sock")


def user_run_directory() -> Path:
    """Where an ordinary user's service keeps its sockets."""
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return Path(base) / "tmem"


def default_socket() -> Path:
    """The control socket: $TMEM_SOCKET, else an ordinary user's own if it is there, else the
    system's."""
    if named := os.environ.get("TMEM_SOCKET"):
        return Path(named)
    own = user_run_directory() / "control.sock"
    return own if os.getuid() != 0 and own.exists() else SYSTEM_SOCKET
