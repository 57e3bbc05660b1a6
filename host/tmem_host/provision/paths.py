# SPDX-License-Identifier: GPL-2.0-or-later
"""Where provisioning finds the project's sources and keeps what it builds."""

import os
from pathlib import Path

from tmem_host.provision.errors import ProvisionError


def source_root() -> Path:
    """The source checkout: vm-configs/, guest/, shim/ and c/ are below it.

    ProvisionError if this package was installed apart from a checkout.
    """
    root = Path(__file__).resolve().parents[3]
    if not (root / "vm-configs").is_dir():
        raise ProvisionError(
            f"guests are provisioned from a source checkout and {root} is none;"
            " run `make setup` in a checkout and use its .venv/bin/tmem"
        )
    return root


def cache_directory() -> Path:
    """The directory for whatever can be built again, made if need be; absolute.

    ProvisionError if it cannot be made.
    """
    home = os.environ.get("XDG_CACHE_HOME", "")
    # The base directory specification: a relative path is invalid and to be ignored.
    base = Path(home) if os.path.isabs(home) else _home() / ".cache"
    path = base / "kvm-tmem"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProvisionError(
            f"cannot make the cache directory {path}: {error.strerror};"
            " name another place with XDG_CACHE_HOME"
        ) from error
    return path


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise ProvisionError(
            "this user has no home directory; name a place for the cache with XDG_CACHE_HOME"
        ) from error
