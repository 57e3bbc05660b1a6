# SPDX-License-Identifier: GPL-2.0-or-later
"""What keeps a subcommand from its work."""


class CommandError(Exception):
    """The text is one sentence: what, where, and what to do."""
