# SPDX-License-Identifier: GPL-2.0-or-later
"""The service and its clients for people: from what its methods answer to lines."""

from typing import Any

from tmem_host.cli.output import count, size, table
from tmem_host.cli.service import limit


def describe_service(service: dict[str, Any]) -> str:
    """The service for people."""
    usage = service["usage"]
    libvirt = service["libvirt"]
    rows = [
        ("service", f"version {service['version']}, process {service['pid']}"),
        ("runs for", f"{service['uptime_seconds']} s"),
        ("configuration", service["config"] or "built in"),
        ("libvirt", libvirt["uri"] if libvirt else "not followed"),
        ("arena", service["arena"]),
        (
            "memory",
            f"{size(usage['resident_bytes'])} of {size(usage['budget_bytes'])}; "
            f"{size(usage['freeable_bytes'])} could be given back at once",
        ),
        (
            "pages",
            f"{usage['ephemeral_pages']} ephemeral, {usage['persistent_pages']} persistent: "
            f"{size(usage['payload_bytes'])} stored",
        ),
        ("clients", str(usage["clients"])),
        ("shared pools", f"{usage['shared_pools']}, of these {usage['unserved_pools']} not served"),
        ("may be shared", "by every client" if service["shared_auth_all"] else "by who may"),
    ]
    for channel in service["channels"]:
        verb = "listens at" if channel["listen"] else "connects to"
        rows.append(("channel", f"{channel['client']}: {verb} {channel['path']}"))
    return table(rows)


def describe(client: dict[str, Any]) -> str:
    """A client for people."""
    settings = client["settings"]
    rows = [
        ("client", f"{client['name']} (number {client['uid']})"),
        ("state", state_words(client)),
        ("session", _session(client["session"])),
        (
            "pages",
            f"{client['ephemeral_pages']} ephemeral in {size(client['ephemeral_bytes'])},"
            f" {client['persistent_pages']} persistent in {size(client['persistent_bytes'])}",
        ),
        ("weight", _weight(client)),
        ("cap", limit(settings["cap_bytes"])),
        ("quota", limit(settings["persistent_quota_bytes"])),
        ("encoding", _encoding(settings)),
        ("may share", ", ".join(client["uuids"]) or "nothing"),
    ]
    rows += [(f"pool {pool['id']}", _pool(pool)) for pool in client["pool_list"]]
    return table(rows)


def state_words(client: dict[str, Any]) -> str:
    """How a client is, in words."""
    words = {
        "none": "no session",
        "gone": "gone",
        "active": "connected",
        "awaited": "waited for",
        "expelled": "expelled",
    }
    state = words[client["state"]]
    cap = client["settings"]["cap_bytes"]
    if cap and client["ephemeral_bytes"] + client["persistent_bytes"] > cap:
        state += ", over cap"
    return f"{state}, frozen" if client["settings"]["frozen"] else state


def _weight(client: dict[str, Any]) -> str:
    weight = client["settings"]["weight"]
    return (
        f"{weight}, a share of {size(client['share_bytes'])}" if weight else "0: no share, no limit"
    )


def _session(session: dict[str, Any] | None) -> str:
    if session is None:
        return "never had one"
    told = f"epoch {session['epoch']}, {count(session['requests'], 'request')}"
    if session["implementation"]:
        told += f", {session['implementation']}"
    since = {"gone": "ended", "awaited": "waited for since", "expelled": "expelled"}
    if words := since.get(session["state"]):
        ago = "" if words.endswith("since") else " ago"
        told += f", {words} {session['since_seconds']:.0f} s{ago}"
    return told


def _encoding(settings: dict[str, Any]) -> str:
    told = str(settings["encoding"])
    if told == "zstd":
        told += f" level {settings['zstd_level']}"
    if settings["dedup"]:
        told += ", equal pages shared"
        if settings["trust_group"]:
            told += f" in group {settings['trust_group']}"
    return told


def _pool(pool: dict[str, Any]) -> str:
    kind = "persistent" if "persistent" in pool["flags"] else "ephemeral"
    told = f"{kind}, {count(pool['pages'], 'page')} of {count(pool['objects'], 'object')}"
    if pool["uuid"]:
        told = f"shared {pool['uuid']} by {count(pool['members'], 'member')}, {told}"
    if pool["waits_for"]:
        told += f"; not served: waiting for {', '.join(_waited_for(pool))}"
    return told


def _waited_for(pool: dict[str, Any]) -> list[str]:
    silent = pool["silent_seconds"]
    return [
        f"{name} (silent for {silent[name]:.0f} s)" if name in silent else name
        for name in pool["waits_for"]
    ]
