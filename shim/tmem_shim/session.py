# SPDX-License-Identifier: GPL-2.0-or-later
"""What one process leaves to the next so that it goes on with the same session."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tmem_shim.abi import PoolFlags


class BadSavedSession(Exception):
    """What was read is no saved session; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPool:
    """A pool of the session, by the id that the host gave it."""

    host_id: int
    flags: PoolFlags
    uuid: uuid.UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedSession:
    """A session as Shim.save() left it.

    `session` is None when the last owner could not save it: a shim made from it begins a new epoch
    of the same guest, in which the host keeps its persistent pools.
    """

    boot_id: bytes
    session: tuple[int, int, int, int, int] | None  # the fields of struct tmem_shim_saved
    pools: tuple[SavedPool, ...] = ()

    def to_map(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "boot_id": self.boot_id.hex(),
            "session": list(self.session) if self.session else None,
            "pools": [
                {**asdict(pool), "flags": int(pool.flags), "uuid": pool.uuid and str(pool.uuid)}
                for pool in self.pools
            ],
        }

    @classmethod
    def from_map(cls, values: Mapping[str, Any]) -> SavedSession:
        """The session that to_map() gave; BadSavedSession for anything else."""
        try:
            boot_id = bytes.fromhex(values["boot_id"])
            session = values["session"]
            if session is not None:
                one, two, three, four, five = (_number(value) for value in session)
                session = (one, two, three, four, five)
            pools = tuple(
                SavedPool(
                    host_id=_number(pool["host_id"]),
                    flags=PoolFlags(pool["flags"]),
                    uuid=uuid.UUID(pool["uuid"]) if pool["uuid"] else None,
                )
                for pool in values["pools"]
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadSavedSession(f"{type(error).__name__}: {error}") from error
        if len(boot_id) != 16:
            raise BadSavedSession(f"a boot id of {len(boot_id)} bytes")
        return cls(boot_id=boot_id, session=session, pools=pools)


def _number(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**64:
        raise ValueError(f"not a number: {value!r}")
    return value
