# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest kernel's use of tmem: the modules tmem_hooks and tmem_transport.

`devices` finds the virtio device that they are for, `modules` loads and unloads them, `attach`
does both in order; `debugfs` reads what they show, `state` puts it together, `report` makes text
of it. Everything takes the root of the
file system that it looks at, and raises CommandError.
"""
