# SPDX-License-Identifier: GPL-2.0-or-later
"""Where mmdebstrap unpacks: stopped, it leaves files behind, and not all are this user's."""

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tmem_host.provision.errors import ProvisionError

_REMOVE = ("rm", "--recursive", "--force", "--one-file-system")


@contextmanager
def directory(name: str) -> Iterator[Path]:
    """A directory of that name, and of this user, for temporary files; removed at the end.

    Not in the cache, which may be where the ids that mmdebstrap works with have no way in. The
    caller holds a lock for the name: what is found there is of a process that died.
    """
    folder = Path(tempfile.gettempdir(), f"{name}-{os.geteuid()}")
    try:
        found = folder.lstat()
    except FileNotFoundError:
        pass
    else:
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise ProvisionError(f"{folder} is in the way and not yours; have it removed")
        _remove(folder)
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    if os.geteuid() != 0:
        # What belongs to the user's range of ids can be emptied with those ids alone.
        children = [str(path) for path in folder.iterdir()]
        command = ["mmdebstrap", "--unshare-helper", *_REMOVE, *children]
        subprocess.run(command, capture_output=True, check=False)
    subprocess.run([*_REMOVE, str(folder)], capture_output=True, check=False)
