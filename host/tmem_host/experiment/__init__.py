# SPDX-License-Identifier: GPL-2.0-or-later
"""Experiments with guests, and what they leave: how much host memory is saved, at equal work."""
