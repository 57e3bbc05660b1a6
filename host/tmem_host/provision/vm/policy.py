# SPDX-License-Identifier: GPL-2.0-or-later
"""What may not be done to a domain while the host holds swap pages of it.

Pages in frontswap exist nowhere else. They do not travel with a saved, snapshotted or migrated
guest, and a guest that is rewound would load newer or missing ones: silent corruption or a panic.
"""

from typing import Protocol
from uuid import UUID

from tmem_host.provision.vm.errors import Refused


class PersistentPages(Protocol):
    """Knows how many frontswap pages the host holds; the service does."""

    def persistent_pages(self, domain: UUID) -> int | None:
        """The pages of all clients of that domain; None if it cannot be told."""


class NobodyKnows:
    """Without a service nobody can tell."""

    def persistent_pages(self, domain: UUID) -> int | None:
        """None, always."""
        return None


def check_may_rewind(
    what: str, name: str, domain: UUID, pages: PersistentPages, *, force: bool
) -> None:
    """Refused if `what` (a verb) would lose pages that the host holds, or may.

    `force` lets it happen where nobody can tell, never against what is known.
    """
    held = pages.persistent_pages(domain)
    if held is None and not force:
        raise Refused(
            f"cannot {what} {name}: nobody can tell whether swap pages of it are in tmem;"
            " start the service, or use --force if the guest does not swap to tmem"
        )
    if held:
        noun = "page" if held == 1 else "pages"
        raise Refused(
            f"cannot {what} {name}: {held} swap {noun} of it are in tmem and would be lost;"
            " run swapoff -a in the guest first"
        )
