# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong while guests are provisioned."""


class ProvisionError(Exception):
    """Provisioning cannot go on. The text is one sentence: what, where, and what to do."""
