# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's side of kvm-tmem: the engine's Python face and the operator's tools."""
