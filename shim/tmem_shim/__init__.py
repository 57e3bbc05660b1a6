# SPDX-License-Identifier: GPL-2.0-or-later
"""What guest and host both need. A guest image carries this and tmem_guest, and no engine."""
