# SPDX-License-Identifier: GPL-2.0-or-later
"""What guests do in tests and experiments, with their page cache and their memory."""
