# SPDX-License-Identifier: GPL-2.0-or-later
"""Which changed keys a running service cannot take over."""

from dataclasses import fields

from tmem_host.service.config import Config

_RESTART = {
    "": ("state",),
    "arena": ("path", "max", "extent", "scrub"),
    "server": ("workers", "lease", "expel", "giveup"),
    "control": ("socket", "group"),
    "pressure": ("enabled", "psi_share", "psi_window", "step", "floor", "available_min", "calm"),
    "metrics": ("socket", "port"),
    "libvirt": ("uri",),
}


def restart_keys(old: Config, new: Config) -> list[str]:
    """The keys that differ and need a restart, as the documentation writes them."""
    changed = []
    for section, keys in _RESTART.items():
        before, after = (getattr(config, section) if section else config for config in (old, new))
        known = {item.name for item in fields(before)}
        assert known.issuperset(keys)
        changed += [
            f"{section}.{key}".lstrip(".")
            for key in keys
            if getattr(before, key) != getattr(after, key)
        ]
    return changed
