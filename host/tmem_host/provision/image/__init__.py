# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds what guests run: a small Debian with the project's guest side in it.

An image is one read-only squashfs that all guests share. It is made in two steps, each kept: the
Debian root, which takes a minute and changes seldom, and below /tmem the project's own files and
the kernels' modules, which are added in seconds.
"""

from tmem_host.provision.image.build import build, build_for, image_cache, is_current
from tmem_host.provision.image.cache import Image, ImageCache

__all__ = ["Image", "ImageCache", "build", "build_for", "image_cache", "is_current"]
