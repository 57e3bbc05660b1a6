# SPDX-License-Identifier: GPL-2.0-or-later
"""What a result of an experiment shows: host memory saved at equal work, and what it cost.

points.py makes figures of runs, saving.py compares arms, analysis.py puts both together; answer.py,
notices.py and tables.py say it in words; plots.py draws it; page.py and console.py show it.
docs/report.md says how to read it.
"""
