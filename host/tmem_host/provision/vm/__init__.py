# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual machines over libvirt, and what their lives mean to their tmem clients."""
