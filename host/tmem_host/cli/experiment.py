# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem experiment: runs experiments with guests and measures the host memory they save.

The work is in tmem_host.experiment, which is imported when a verb runs: it needs libvirt, and the
rest of `tmem` does not.
"""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tmem_host.cli import report
from tmem_host.cli.output import columns, table
from tmem_host.cli.sizes import size_argument
from tmem_host.provision.progress import progress_on
from tmem_host.units import exact_size

if TYPE_CHECKING:
    from tmem_host.experiment.settings import Settings

_RESULTS = Path("results")
_SIZES = ("arena", "size", "record", "base", "peak", "swap")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `tmem experiment` and its verbs."""
    experiment = commands.add_parser(
        "experiment",
        help="run experiments with guests and measure what they save",
        description="Runs experiments with guests and measures the host memory that they save.",
        epilog="docs/experiments.md says what is measured, and how.",
    )
    verbs = experiment.add_subparsers(metavar="VERB", required=True)

    lister = verbs.add_parser("list", help="list the project's experiments")
    lister.add_argument("--json", action="store_true", help="print one JSON object a line")
    lister.set_defaults(run=run_list)

    shower = verbs.add_parser("show", help="show an experiment with all its settings")
    shower.add_argument("experiment", metavar="NAME|FILE.toml")
    shower.add_argument("--json", action="store_true", help="print one JSON object")
    shower.set_defaults(run=run_show)

    runner = verbs.add_parser(
        "run",
        help="run an experiment",
        description="Builds what is missing, makes the guests, runs the workload in each arm,"
        " removes everything, and leaves a folder with the result.",
        epilog="`tmem report FOLDER` shows the result. Exit status: 0, 1 if it failed, 130 if it"
        " was interrupted; what was measured until then stays in the folder.",
    )
    runner.add_argument("experiment", metavar="NAME|FILE.toml")
    runner.add_argument(
        "--output", metavar="DIR", type=Path, help="default: results/NAME-TIME, a new folder"
    )
    runner.add_argument("--seed", metavar="N", type=int)
    runner.add_argument("--rounds", metavar="N", type=int)
    runner.add_argument("--guests", metavar="N", type=int)
    runner.add_argument("--arms", metavar="ARM", nargs="+")
    runner.add_argument("--profile", metavar="PROFILE", nargs="+", help="native, contended")
    runner.add_argument(
        "--memory", metavar="SIZE", nargs="+", type=size_argument, help="RAM of each guest"
    )
    runner.add_argument("--report", action="store_true", help="then show it, as `tmem report` does")
    runner.set_defaults(run=run_run)


def run_list(options: argparse.Namespace) -> int:
    """Lists the files of vm-configs/experiments."""
    from tmem_host.experiment import settings  # noqa: PLC0415  see above

    known = [settings.load(settings.find(name)) for name in settings.names()]
    if options.json:
        for each in known:
            print(json.dumps({"name": each.name, "title": each.title, "file": str(each.source)}))
        return 0
    print(columns(("NAME", "WHAT"), ((each.name, each.title) for each in known)))
    return 0


def run_show(options: argparse.Namespace) -> int:
    """Shows what would be run."""
    from tmem_host.experiment import settings  # noqa: PLC0415
    from tmem_host.experiment.arms import ARMS  # noqa: PLC0415
    from tmem_host.experiment.plan import plan  # noqa: PLC0415

    wanted = settings.load(settings.find(options.experiment))
    if options.json:
        print(json.dumps({"name": wanted.name} | wanted.as_map()))
        return 0
    print(table(_rows(wanted)))
    print()
    print(table((f"arm {name}", ARMS[name].meaning) for name in wanted.arms))
    print()
    print(f"{len(plan(wanted))} points to be measured")
    return 0


def run_run(options: argparse.Namespace) -> int:
    """Runs one; ExperimentError, ConfigError, ProvisionError, KeyboardInterrupt."""
    from tmem_host.experiment import settings  # noqa: PLC0415
    from tmem_host.experiment.run import run  # noqa: PLC0415
    from tmem_host.provision.vm.stopping import interruptible  # noqa: PLC0415

    wanted = _changed(settings.load(settings.find(options.experiment)), options)
    stamp = time.strftime("%Y%m%dT%H%M%S")
    output = options.output or _RESULTS / f"{wanted.name}-{stamp}"
    command = shlex.join(["tmem", *sys.argv[1:]])
    try:
        with interruptible():
            run(wanted, output, command=command, progress=progress_on(sys.stderr))
    except KeyboardInterrupt:
        if output.exists():
            print(f"tmem: what was measured is in {output}", file=sys.stderr)
        raise
    if options.report:
        report.show([output])
    else:
        print(output)
    return 0


def _changed(wanted: "Settings", options: argparse.Namespace) -> "Settings":
    from tmem_host.experiment import settings  # noqa: PLC0415

    given = {
        "seed": options.seed,
        "rounds": options.rounds,
        "guests": options.guests,
        "arms": options.arms,
        "profiles": options.profile,
        "memory": options.memory,
    }
    return settings.change(wanted, {k: v for k, v in given.items() if v is not None})


def _rows(wanted: "Settings") -> list[tuple[str, str]]:
    rows = [("experiment", wanted.name), ("file", str(wanted.source))]
    for name, value in wanted.as_map().items():
        if isinstance(value, dict):
            rows += [(f"{name}.{key}", _text(key, each)) for key, each in value.items()]
        else:
            rows.append((name, _text(name, value)))
    return rows


def _text(name: str, value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(_text(name, each) for each in value)
    if name == "memory":
        return f"{value}MiB"
    if name in _SIZES and isinstance(value, int):
        return exact_size(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
