# SPDX-License-Identifier: GPL-2.0-or-later
"""The cures that the guest kernel carries, one patch each."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tmem_host.provision.errors import ProvisionError

_MARKER = re.compile(r"^\+EXPORT_SYMBOL_GPL\((tmem_cure_\w+)\);$", re.M)
_HUNK = re.compile(r"^Hunk #\d+ FAILED at \d+", re.M)
_NO_FILE = re.compile(r"^\|\+\+\+ \S+", re.M)


@dataclass(frozen=True)
class Patch:
    """One patch of the series."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """Its file's name, which also says its place in the series."""
        return self.path.name

    @property
    def diff(self) -> str:
        """What it changes, without its story."""
        return self.text[self.text.find("--- a/") :]

    @property
    def markers(self) -> tuple[str, ...]:
        """The symbols by which a module finds that the cure is there."""
        return tuple(_MARKER.findall(self.text))


def series(folder: Path) -> list[Patch]:
    """The patches of `folder` in the order in which they apply."""
    return [
        Patch(path, path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.patch"))
    ]


def apply(patches: Sequence[Patch], tree: Path) -> None:
    """Applies `patches` to the kernel's source in `tree`.

    ProvisionError names every patch that does not apply, and where; the tree is spoilt then.
    """
    refused = [
        f"{patch.name} ({reason})" for patch in patches if (reason := _apply(patch, tree)) != ""
    ]
    if refused:
        raise ProvisionError(
            "these patches do not apply to this kernel: "
            + "; ".join(refused)
            + ". They are written for 5.10; --unpatched builds a kernel without any"
        )


def _apply(patch: Patch, tree: Path) -> str:
    """Applies one patch whole or not at all; says why it could not, else nothing."""
    arguments = ["patch", "-p1", "--forward", "--batch", "--fuzz=0", "--no-backup-if-mismatch"]
    for further in (["--dry-run"], ["--quiet"]):
        done = subprocess.run(
            [*arguments, *further],
            cwd=tree,
            input=patch.text,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            return _reason(done.stdout + done.stderr)
    return ""


def _reason(output: str) -> str:
    file = ""
    found: list[str] = []
    for line in output.splitlines():
        if line.startswith(("checking file ", "patching file ")):
            file = line.split(" ", 2)[2]
        elif _HUNK.match(line):
            found.append(f"{file}: {line[0].lower()}{line[1:].rstrip('.')}")
        elif _NO_FILE.match(line):
            found.append(f"no file {line.split()[1].partition('/')[2]}")
        elif line.startswith("Reversed (or previously applied)"):
            found.append(f"{file} has it already")
    return ", ".join(found) or output.strip().replace("\n", ", ")
