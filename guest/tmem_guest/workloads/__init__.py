# SPDX-License-Identifier: GPL-2.0-or-later
"""What guests do to put their page cache to work."""
