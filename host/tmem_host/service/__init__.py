# SPDX-License-Identifier: GPL-2.0-or-later
"""The host service: `tmem serve`.

`config` is what an operator writes, `daemon` brings the parts up and down, `control` answers the
tools with `methods`, `channels` knows which socket is whose, `pressure` gives memory back to the
host in time, `journal` keeps what happened, `metrics` shows numbers to Prometheus.
"""
