# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine (c/engine) as Python objects."""
