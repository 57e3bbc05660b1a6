# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the Python faces of the C parts from their headers, the only place of each declaration."""
