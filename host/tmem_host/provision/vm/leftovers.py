# SPDX-License-Identifier: GPL-2.0-or-later
"""What libvirt's embedded driver leaves below its root when its process is killed.

It makes folders for a domain that starts, then writes the status file by which it finds the domain
again, and then lets QEMU begin. Killed before that file is there, it forgets the folders.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from tmem_host.provision.vm.errors import VmError
from tmem_host.provision.vm.places import Places

_WRITES = ("etc/qemu", "run/qemu")
_STATUS = "run/qemu"
# Folders of running domains, and how they are named: by number and name.
_FOLDERS = {
    "lib/qemu": re.compile(r"domain-(\d+)-"),
    "lib/qemu/channel/target": re.compile(r"domain-(\d+)-"),
    "lib/qemu/ram": re.compile(r"(\d+)-"),
}


def remove_leftovers(places: Places) -> None:
    """Removes what no domain has. The caller holds the root, and has not opened it yet. VmError."""
    try:
        # libvirt writes a file beside the one that it then replaces
        for folder in _WRITES:
            for path in (places.embed / folder).glob("*.new"):
                path.unlink()
        for path in _forgotten(places.embed):
            shutil.rmtree(path)
    except OSError as error:
        raise VmError(f"cannot remove {error.filename}: {error.strerror}") from error


def _forgotten(embed: Path) -> Iterator[Path]:
    running = {_number(path) for path in (embed / _STATUS).glob("*.xml")}
    if None in running:
        # libvirt will say what is wrong with it
        return
    for folder, named in _FOLDERS.items():
        for path in sorted((embed / folder).glob("*")):
            found = named.match(path.name)
            if found and path.is_dir() and found[1] not in running:
                yield path


def _number(status: Path) -> str | None:
    """The domain's number, by its status file."""
    try:
        domain = ElementTree.parse(status).find("domain")
    except ElementTree.ParseError:
        return None
    return None if domain is None else domain.get("id")
