# SPDX-License-Identifier: GPL-2.0-or-later
"""The state of the kernel's tmem as text."""

from __future__ import annotations

from collections.abc import Iterable

from tmem_guest.kernel.debugfs import Row
from tmem_guest.kernel.modules import HOOKS, TRANSPORT
from tmem_guest.kernel.state import Status


def described(status: Status) -> str:
    """For people: a fact a line, then a line for each mount and each swap area."""
    loaded = [
        name for name, there in ((HOOKS, status.hooks), (TRANSPORT, status.transport)) if there
    ]
    lines = [f"kernel   {_use(status)}", f"modules  {', '.join(loaded) or 'none is loaded'}"]
    if status.session is not None:
        lines.append(f"session  {_session(status.session)}")
        lines.append(f"waiting  {_waiting(status.session)}")
        lines.append(f"queue    {_queue(status.session)}")
    if status.frontswap_pages is not None:
        lines.append(f"swap     {status.frontswap_pages} pages are with the host")
    if status.missing_cures:
        lines.append(
            f"cures    {', '.join(status.missing_cures)} are not in this kernel: what could be"
            f" shared got a private pool {status.uncured_mounts} times"
        )
    mounts = (
        (mount["id"], mount["pool"], mount["kind"], mount["uuid"], mount["note"])
        for mount in status.mounts
    )
    lines += _table(("MOUNT", "POOL", "KIND", "UUID", ""), mounts)
    areas = (
        (area["type"], area["pages"], area["held"], "" if area["taken"] == "Y" else "not taken")
        for area in status.areas
    )
    lines += _table(("AREA", "PAGES", "WITH THE HOST", ""), areas)
    return "\n".join(lines)


def _use(status: Status) -> str:
    if status.attached:
        return f"uses tmem, over {status.device}"
    if status.transport:
        return "is detached; run: tmem-guest kernel attach"
    return "does not use tmem; run: tmem-guest kernel attach"


def _session(session: Row) -> str:
    if session["state"] == "running":
        return f"runs: {session['session']:#010x}, epoch {session['epoch']}"
    if not session["host_open"]:
        return "none: no service has the port open on the host"
    return f"none yet: {session['state']}, last error {session['last_code']}"


def _waiting(session: Row) -> str:
    waiting = session["waiting"]
    if not waiting:
        return "nobody"
    return f"{waiting} operations, {session['waiting_loads']} of them for a page of swap"


def _queue(session: Row) -> str:
    owed = session["owed"]
    return (
        f"{session['queued']} operations are on their way, {session['staged']} pages staged,"
        f" {owed if owed else 'no'} flushes owed"
    )


def _table(heads: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    """Lines of columns under their heads, after an empty one; none without rows."""
    cells = [heads, *(tuple(map(str, row)) for row in rows)]
    if len(cells) == 1:
        return []
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)
    return ["", *lines]
