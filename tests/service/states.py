# SPDX-License-Identifier: GPL-2.0-or-later
"""A service with clients in every state that a client can be in, at once."""

import re

from tests.server import peer as p
from tests.server.peer import Peer, page_of
from tests.service.live import Live

UUID = "a1b2c3d4-e5f6-0718-293a-4b5c6d7e8f90"
SHARED = bytes.fromhex(UUID.replace("-", ""))

EFROZEN = -1000

# A member that is to be expelled soon, and members that are to be waited for as long as they are
# looked at, do not go with the same T_expel: so there are two runs of the service.
SOON = "lease = '200ms'\nexpel = '3s'\n"
LATE = "lease = '1s'\nexpel = '48s'\n"


class States:
    """The clients, in the order in which `tmem list` shows them: expelled, active, frozen, capped,
    waiting (its guest is waited for), gone, never-came; and present and absent, whose shared pool
    is not served."""

    def __init__(self, stopped: Live) -> None:
        self.live = live = stopped
        config = f"[metrics]\nsocket = '{live.folder}/metrics.sock'\n"
        live.write_config(config, server=SOON)
        live.start()
        self._expel()
        live.stop()
        live.write_config(config, server=LATE)
        live.start()
        self._active()
        self._frozen()
        self._capped()
        waiting = live.guest("waiting")
        waiting.put(waiting.new_pool(persistent=True), 0, page_of(1))
        waiting.close()
        gone = live.guest("gone")
        gone.new_pool()
        gone.send(gone.request(p.BYE))
        live.add("never-came")
        self.present, absent = live.guest("present"), live.guest("absent")
        for guest in (self.present, absent):
            guest.new_pool(shared=SHARED)
        Live.wait_for(lambda: self._is_served(absent))
        absent.close()
        Live.wait_for(lambda: "waiting for absent (silent for" in self.tmem("info", "present"))
        Live.wait_for(lambda: re.search(r"waiting +waited for", self.tmem("list")))
        Live.wait_for(lambda: re.search(r"gone +gone", self.tmem("list")))
        Live.wait_for(lambda: "pool-unserved" in self.tmem("events", "-n", "1000"))

    def tmem(self, *line: str, socket: bool = True) -> str:
        """What `tmem LINE` prints, while the guest `present` answers for its shared pool."""
        assert self.present.echo() == p.DONE
        return self.live.tmem(*line, socket=socket)

    def _is_served(self, absent: Peer) -> bool:
        assert absent.echo() == p.DONE
        self.tmem("list")
        return any(event["kind"] == "pool-served" for event in self.live.call("events.recent"))

    def _expel(self) -> None:
        expelled = self.live.guest("expelled")
        expelled.new_pool(shared=SHARED)
        expelled.put(expelled.new_pool(), 0, page_of(1))
        Live.wait_for(lambda: "expelled" in self.live.tmem("info", "expelled").split("\n")[1])

    def _active(self) -> None:
        active = self.live.guest("active")
        self.live.tmem("set", "active", "-w", "3", "-q", "1MiB", "-p", "zstd", "--dedup")
        self.live.tmem("auth", "add", "active", UUID)
        pool, swap = active.new_pool(), active.new_pool(persistent=True)
        for index in range(10):
            assert active.put(pool, index, bytes(range(index, 256)) * 16 + bytes(16 * index)) == 1
        assert active.put(swap, 0, page_of(7)) == 1
        assert active.get(pool, 3) is not None
        assert active.get(pool, 3) is None

    def _frozen(self) -> None:
        frozen = self.live.guest("frozen")
        pool = frozen.new_pool()
        self.live.tmem("freeze", "frozen")
        assert frozen.put(pool, 0, page_of(1)) == EFROZEN
        assert frozen.join().status == EFROZEN

    def _capped(self) -> None:
        capped = self.live.guest("capped")
        pool = capped.new_pool(persistent=True)
        assert capped.put(pool, 0, bytes(range(256)) * 16) == 1
        self.live.tmem("set", "capped", "--cap", "1")
