# SPDX-License-Identifier: GPL-2.0-or-later
"""Read-only file systems, by mksquashfs."""

import os
import shutil
import subprocess
from pathlib import Path

from tmem_host.provision.errors import ProvisionError
from tmem_host.provision.processes import watch

# Guests read many small files at boot, so nothing is gained by larger blocks or more effort.
OPTIONS = ("-comp", "zstd", "-Xcompression-level", "6", "-b", "128K")
_QUIET = ("-quiet", "-no-progress")


def from_archive(archive: Path, target: Path, log: Path) -> None:
    """Makes the squashfs `target` of a tar archive, with the owners that it names."""
    # It reads archives from standard input only.
    script = 'archive=$1; shift; exec mksquashfs "$@" <"$archive"'
    arguments = ["-", str(target), "-tar", *OPTIONS, *_QUIET]
    _run(["sh", "-c", script, "mksquashfs", str(archive), *arguments], target, log)


def with_folder(base: Path, folder: Path, target: Path, log: Path) -> None:
    """Makes `target` of the squashfs `base` and what is in `folder`, owned by root.

    `folder` may hold nothing that `base` has; neither is unpacked or compressed again.
    """
    shutil.copyfile(base, target)
    _run(
        ["mksquashfs", str(folder), str(target), "-no-recovery", "-all-root", *_QUIET], target, log
    )


def _run(command: list[str], target: Path, log: Path) -> None:
    said: list[str] = []
    status = watch(
        command,
        said.append,
        cwd=target.parent,
        env={**os.environ, "LC_ALL": "C"},
        complaints=subprocess.STDOUT,
    )
    with open(log, "a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in said)
    if status != 0:
        said.append(said[-1] if said else f"mksquashfs ended with status {status}")
        reason = next(line for line in said if "FATAL" in line or line is said[-1])
        raise ProvisionError(f"cannot make {target}: {reason.strip()}")
