# SPDX-License-Identifier: GPL-2.0-or-later
"""Which phases a workload has. The programs are tmem_guest.workloads; seeds are the same in all
arms."""

import shlex
from collections.abc import Callable, Iterator

from tmem_host.experiment.datadisk import FILES
from tmem_host.experiment.phases import Phase
from tmem_host.experiment.settings import Settings
from tmem_host.experiment.stage import MANIFEST
from tmem_host.experiment.toolchain import SOURCES

_HELD = "/run/hold"
_BUILT = "/run/build.log"
# Room for so many seeds between two rounds.
_SEEDS_OF_A_ROUND = 1000


def phases(settings: Settings, names: list[str], round_: int) -> Iterator[Phase]:
    """The phases of one point with these guests, in order."""
    return _WORKLOADS[settings.workload](settings, names, round_)


def _read(settings: Settings, names: list[str], round_: int) -> Iterator[Phase]:
    """cold: the first guest reads everything. settle: it goes through it once more and drops what
    it has read, as it would when it needs its memory for something else. second: the others read
    everything for the first time. warm: the first guest reads it again, so that all begin alike.
    reread: all read it again, at the same time."""
    first, *others = names

    def reads(guests: list[str], phase: int, passes: int = 1) -> dict[str, tuple[str, ...]]:
        return {
            name: (
                *("tmem-guest", "workload", "read", MANIFEST, FILES),
                *("--pattern", settings.read.pattern, "--passes", str(passes)),
                *("--seed", str(_seed(settings, round_, 10 * phase + names.index(name)))),
            )
            for name in guests
        }

    yield Phase("cold", reads([first], 0))
    if settings.read.settle:
        yield Phase("settle", {first: ("tmem-guest", "workload", "drop", MANIFEST, FILES)})
    if others:
        yield Phase("second", reads(others, 1))
    if others or settings.read.settle:
        yield Phase("warm", reads([first], 2))
    yield Phase("reread", reads(names, 3, settings.read.passes))


def _memory(settings: Settings, names: list[str], round_: int) -> Iterator[Phase]:
    """hold: all fill their base. peak-GUEST: one after the other fills and verifies what it needs
    more. release: all verify their base, which was swapped out meanwhile."""
    load = settings.load
    common = ("--compressible", str(load.compressible))

    def fill(name: str, verb: str, size: int, passes: int) -> str:
        seed = _seed(settings, round_, names.index(name))
        words = ("tmem-guest", "workload", *verb.split(), "--size", str(size))
        return " ".join((*words, "--passes", str(passes), "--seed", str(seed), *common))

    yield Phase(
        "hold",
        {
            name: _shell(
                f"setsid nohup {fill(name, f'hold {_HELD}.state', load.base, 1)}"
                f" > {_HELD}.log 2>&1 < /dev/null & echo $! > {_HELD}.pid\n"
                f"while ! [ -s {_HELD}.state ]; do kill -0 $(cat {_HELD}.pid)"
                f" || {{ cat {_HELD}.log >&2; exit 1; }}; sleep 0.2; done"
            )
            for name in names
        },
    )
    for name in names:
        command = fill(name, "memory", load.peak, load.passes)
        yield Phase(f"peak-{name}", {name: tuple(command.split())})
    yield Phase(
        "release",
        {
            name: _shell(
                f"kill -TERM $(cat {_HELD}.pid)\n"
                f"while kill -0 $(cat {_HELD}.pid) 2> /dev/null; do sleep 0.2; done\n"
                f"grep -qx verified {_HELD}.state || {{ cat {_HELD}.state >&2; exit 1; }}"
            )
            for name in names
        },
    )


def _build(settings: Settings, names: list[str], round_: int) -> Iterator[Phase]:
    """build, then rebuild: the same again, with nothing but what was compiled removed."""
    build = settings.build
    folder = f"{SOURCES}/{build.package}-*/"

    def inside(command: str) -> str:
        return f"chroot {FILES} sh -e -c {shlex.quote(f'cd {folder}; {command}')} > {_BUILT} 2>&1"

    for name in ("build", "rebuild"):
        script = (
            f"mountpoint -q {FILES}/dev || mount -o bind /dev {FILES}/dev\n"
            f"{inside(build.clean)}\n"
            "echo begin\n"
            f"{inside(build.command)} || {{ tail -n 5 {_BUILT} >&2; exit 1; }}\n"
            "echo end\n"
            f"{inside(build.check)} || {{ tail -n 5 {_BUILT} >&2; exit 1; }}\n"
            "echo {}"
        )
        yield Phase(name, dict.fromkeys(names, ("sh", "-e", "-c", script)))


def _shell(script: str) -> tuple[str, ...]:
    return ("sh", "-e", "-c", f"echo begin\n{script}\necho end\necho {{}}")


def _seed(settings: Settings, round_: int, number: int) -> int:
    return settings.seed * _SEEDS_OF_A_ROUND**2 + round_ * _SEEDS_OF_A_ROUND + number


_WORKLOADS: dict[str, Callable[[Settings, list[str], int], Iterator[Phase]]] = {
    "read": _read,
    "memory": _memory,
    "build": _build,
}
