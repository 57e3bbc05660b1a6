# SPDX-License-Identifier: GPL-2.0-or-later
"""The state of the kernel's tmem as text."""

from __future__ import annotations

from tmem_guest.kernel.state import Row, Status


def described(status: Status) -> str:
    """For people: a fact a line, then a line for each mount and swap area."""
    modules = [
        name
        for name, loaded in (
            ("tmem_hooks", status.hooks),
            ("tmem_transport", status.transport),
        )
        if loaded
    ]
    lines = [f"kernel   {_use(status)}", f"modules  {', '.join(modules) or 'none is loaded'}"]
    if status.session is not None:
        lines += [
            f"session  {_session(status.session)}",
            f"waiting  {_waiting(status.session)}",
        ]
    if status.frontswap_pages is not None:
        lines.append(f"swap     {status.frontswap_pages} pages are with the host")
    return "\n".join(lines)


def _use(status: Status) -> str:
    if status.attached:
        return f"uses tmem, over {status.device}"
    if status.transport:
        return "is detached; tmem-guest kernel attach attaches it again"
    return "does not use tmem; run: tmem-guest kernel attach"


def _session(session: Row) -> str:
    if session["state"] == "running":
        return f"runs: {session['session']:#010x}, epoch {session['epoch']}"
    heard = "" if session["host_open"] else "; the host does not have the port open"
    return f"none ({session['state']}){heard}"


def _waiting(session: Row) -> str:
    if not session["waiting"]:
        return "nobody"
    loads = session["waiting_loads"]
    return f"{session['waiting']} operations, of them {loads} loads of swap pages"
