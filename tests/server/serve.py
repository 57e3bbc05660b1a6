# SPDX-License-Identifier: GPL-2.0-or-later
"""A server in a process of its own, to be killed: serve.py ARENA SOCKET... (client i at SOCKET i).

Says "ready" on standard output once it listens.
"""

import signal
import sys
from contextlib import ExitStack

from tmem_host.native import Engine, Server


def main() -> None:
    arena, *paths = sys.argv[1:]
    with ExitStack() as stack:
        engine = stack.enter_context(Engine(arena, budget_bytes=64 << 20))
        engine.shared_auth_all = True
        server = stack.enter_context(
            Server(
                engine,
                f"{arena}.state",
                workers=2,
                lease_ms=1000,
                expel_ms=48_000,
                giveup_ms=120_000,
            )
        )
        for number, path in enumerate(paths):
            server.listen(path, client=f"guest {number}")
        print("ready", flush=True)
        signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    main()
