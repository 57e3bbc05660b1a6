# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tmem_host.cli`: the command where it is not installed."""

import sys

from tmem_host.cli import main

sys.exit(main())
