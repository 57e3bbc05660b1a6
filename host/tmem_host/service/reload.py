# SPDX-License-Identifier: GPL-2.0-or-later
"""Which changed keys a running service cannot take over. docs/configuration.md marks them; a test
compares."""

from dataclasses import fields

from tmem_host.service.config import Config

Keys = dict[str, tuple[str, ...]]

# At the next start.
RESTART: Keys = {
    "": ("state",),
    "arena": ("path", "scrub"),
    "server": ("workers", "lease", "expel", "giveup", "patience"),
    "control": ("socket", "group"),
    "metrics": ("socket", "port"),
    "libvirt": ("uri",),
}
# With an arena that is made anew.
FIXED: Keys = {"arena": ("max", "extent")}


def later_keys(old: Config, new: Config) -> str:
    """The keys that differ and are not taken over, in words; empty when there are none."""
    told = []
    for when, keys in (("at the next start", RESTART), ("with another arena", FIXED)):
        if changed := _changed(keys, old, new):
            told.append(f"{when}: {', '.join(changed)}")
    return "; ".join(told)


def _changed(keys: Keys, old: Config, new: Config) -> list[str]:
    """Those of `keys` that differ, as the documentation writes them."""
    changed = []
    for section, names in keys.items():
        before, after = (getattr(config, section) if section else config for config in (old, new))
        assert {item.name for item in fields(before)}.issuperset(names)
        changed += [
            f"{section}.{name}".lstrip(".")
            for name in names
            if getattr(before, name) != getattr(after, name)
        ]
    return changed
