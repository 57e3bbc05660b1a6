# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs in a guest: the agent, and whatever else `tmem-guest` does."""
