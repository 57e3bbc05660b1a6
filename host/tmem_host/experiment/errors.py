# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong with experiments."""


class ExperimentError(Exception):
    """An experiment cannot go on. The text is one sentence: what, where, and what to do."""


class BadResult(ExperimentError):
    """A result cannot be read; the sentence names file and line."""
