# SPDX-License-Identifier: GPL-2.0-or-later
"""A process with an engine and a server, to be killed.

usage: server_process.py FOLDER CLIENT...

Serves each client at FOLDER/CLIENT, prints "ready", and goes on until it is killed or its standard
input ends.
"""

import sys
from pathlib import Path

from tmem_host.native import Engine, Server

# Guests neither give up nor are expelled because a restart takes long on this machine.
EXPEL_MS = 48_000
GIVEUP_MS = 120_000


def main(folder: Path, clients: list[str]) -> None:
    """Serves until standard input ends."""
    with (
        Engine(folder / "arena", budget_bytes=16 << 20, max_bytes=64 << 20) as engine,
        Server(
            engine, folder / "state", workers=2, expel_ms=EXPEL_MS, giveup_ms=GIVEUP_MS
        ) as server,
    ):
        engine.shared_auth_all = True
        for client in clients:
            server.listen(folder / client, client=client)
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
