# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest builds software with: a minimal Debian with a compiler and a package's sources."""

from pathlib import Path

from tmem_host.experiment.settings import BuildSettings
from tmem_host.provision.image.root import SUITE, bootstrap
from tmem_host.provision.progress import Task

# Raise it when equal settings yield another disk.
RECIPE = 1
STEPS = 12
SOURCES = "/src"
_PACKAGES = ("gcc", "libc6-dev", "make", "dpkg-dev")
_NOT_NEEDED = tuple(
    f"path-exclude=/usr/share/{folder}/*" for folder in ("doc", "man", "locale", "info")
)


def write_tar(build: BuildSettings, tar: Path, log: Path, task: Task) -> None:
    """Writes it as an archive, with the packages of today; ProvisionError."""
    bootstrap(
        tar,
        log,
        task,
        name=f"tmem-{SUITE}-{build.package}",
        packages=_PACKAGES,
        dpkg_options=_NOT_NEEDED,
        hooks=[
            f'chroot "$1" sh -e -c "mkdir {SOURCES}; cd {SOURCES}; apt-get -qq source'
            f' {build.package}; rm -f *.dsc *.tar.*"',
            'rm -rf "$1"/var/lib/apt/lists "$1"/var/cache/apt',
        ],
        with_sources=True,
    )
