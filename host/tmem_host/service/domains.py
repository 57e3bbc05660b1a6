# SPDX-License-Identifier: GPL-2.0-or-later
"""The clients of libvirt's domains: they come and go with them.

The kernel's channel of a domain is the client of the domain's name, its user-space port the client
`NAME/user`. Both have the settings of the domain's metadata.
"""

import json
import os
from pathlib import Path
from threading import Lock
from uuid import UUID

from tmem_host.native import Client, Encoding, EndReason, Engine, NoSession, Server, UnknownClient
from tmem_host.provision.vm.lifecycle import Domain, Ending, Rewind, Start
from tmem_host.provision.vm.settings import Compression, TmemSettings
from tmem_host.service.channels import Channel, Channels
from tmem_host.service.journal import Tell

_ENCODINGS = {
    Compression.NONE: Encoding.RAW,
    Compression.LZ4: Encoding.LZ4,
    Compression.ZSTD: Encoding.ZSTD,
}


class Domains:
    """A ClientLifecycle: what the service does when a domain's life takes a turn.

    `state` is the service's folder; `domains.json` there remembers which domain a client was of,
    since a name may be used again for another domain.
    """

    def __init__(
        self, engine: Engine, server: Server, channels: Channels, state: Path, tell: Tell
    ) -> None:
        self._engine = engine
        self._server = server
        self._channels = channels
        self._tell = tell
        self._file = state / "domains.json"
        self._lock = Lock()
        self._uuids: dict[str, str] = {}
        if self._file.exists():
            self._uuids = json.loads(self._file.read_text(encoding="utf-8"))

    # ---- a domain's life -----------------------------------------------------------------

    def started(self, domain: Domain, start: Start) -> None:
        """Its channels are connected to, unless its settings cannot be read."""
        self._forget_others_of(domain)
        if start.problem is not None:
            self._tell("domain-refused", f"it is not served: {start.problem}", domain.name)
            return
        paths = (start.channels.kernel, start.channels.user)
        for name, path in zip(client_names(domain), paths, strict=True):
            if path is None:
                continue
            channel = Channel(name, str(path), listen=False, peer_pid=start.qemu_pid)
            # those of a run whose end nobody has told
            for other in self._channels.of(name):
                if other != channel:
                    self._channels.close(other)
            self._channels.open(channel)
            self._set(self._engine.find_client(name), start.settings)
        self._tell("domain-started", "found running" if start.found else "it started", domain.name)

    def paused(self, domain: Domain) -> None:
        """Its lease lapses by itself, if the pause is long enough."""
        self._tell("domain-paused", "its guest does not answer until it is resumed", domain.name)

    def resumed(self, domain: Domain) -> None:
        self._tell("domain-resumed", "its guest runs again", domain.name)

    def reset(self, domain: Domain) -> None:
        self._end(domain, EndReason.RESET, "the guest was reset")

    def panicked(self, domain: Domain) -> None:
        self._end(domain, EndReason.RESET, "the guest's kernel panicked")

    def rewound(self, domain: Domain, how: Rewind) -> None:
        self._end(domain, EndReason.REWOUND, f"the guest was {how.value}")

    def settings_changed(self, domain: Domain, settings: TmemSettings) -> None:
        for client in self._clients(domain):
            self._set(client, settings)
        self._tell("domain-set", "its settings were changed in libvirt", domain.name)

    def settings_refused(self, domain: Domain, problem: str) -> None:
        self._tell("domain-refused", f"its settings stay as they were: {problem}", domain.name)

    def stopped(self, domain: Domain, ending: Ending) -> None:
        """The guest is gone, and with it every page that it could ask for."""
        self._end(domain, EndReason.RESET, ending.value)
        for client in self._clients(domain):
            self._channels.close_client(client.name)
            for pool in client.pools():
                pool.destroy()

    # ---- who is who ----------------------------------------------------------------------

    def persistent_pages(self, domain: UUID) -> int | None:
        """The swap pages that the host holds of a domain; None if no client is known to be its."""
        with self._lock:
            names = [name for name, uuid in self._uuids.items() if uuid == str(domain)]
        if not names:
            return None
        pages = 0
        for name in (found for own in names for found in (own, f"{own}/user")):
            try:
                pages += self._engine.find_client(name).info().persistent_pages
            except UnknownClient:
                continue
        return pages

    # ---- inside --------------------------------------------------------------------------

    def _forget_others_of(self, domain: Domain) -> None:
        """What another domain of the same name left behind is not this one's."""
        with self._lock:
            known = self._uuids.get(domain.name)
            if known == str(domain.uuid):
                return
            self._uuids[domain.name] = str(domain.uuid)
            new = self._file.with_suffix(".new")
            new.write_text(json.dumps(self._uuids, indent=1) + "\n", encoding="utf-8")
            os.replace(new, self._file)
        if known is not None:
            self._end(domain, EndReason.REMOVED, "another domain has its name now")
            for client in self._clients(domain):
                self._channels.close_client(client.name)
                client.destroy()

    def _clients(self, domain: Domain) -> list[Client]:
        found = []
        for name in client_names(domain):
            try:
                found.append(self._engine.find_client(name))
            except UnknownClient:
                continue
        return found

    def _end(self, domain: Domain, reason: EndReason, why: str) -> None:
        for name in client_names(domain):
            try:
                self._server.end_session(name, reason)
            except NoSession:
                continue
        self._tell("domain-ended", f"its sessions are over: {why}", domain.name)

    def _set(self, client: Client, settings: TmemSettings) -> None:
        client.set(
            weight=settings.weight,
            cap_bytes=settings.cap_bytes,
            persistent_quota_bytes=settings.quota_bytes,
            encoding=_ENCODINGS[settings.compression],
        )
        for shared in client.auth_list():
            if shared not in settings.shared:
                client.auth_remove(shared)
        for shared in settings.shared:
            client.auth_add(shared)


def client_names(domain: Domain) -> tuple[str, str]:
    """The clients of a domain: the kernel's channel, the user-space port."""
    return domain.name, f"{domain.name}/user"
