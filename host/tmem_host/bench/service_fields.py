# SPDX-License-Identifier: GPL-2.0-or-later
"""The fields of the service's benchmark, and their targets."""

from collections.abc import Callable, Sequence
from statistics import median

from tmem_host.bench.driver import Measured, Sample
from tmem_host.bench.figures import Better, Field, Figure, Spread, Wall, counted, waited_share

VALUES = ("incompressible", "real")
OPERATIONS = ("put", "get")
OURS = "tmem_raw"
"""Our server storing pages as they are, which is what the others do."""
COMPRESSING = "tmem_lz4"
RAW = "raw"
OTHERS = ("redis", "memcached")
SERVERS = (RAW, OURS, COMPRESSING, *OTHERS)

READINGS = ("private_object", "shared_object", "private_files", "shared_files")

Numbers = dict[str, list[float]]


def _rates(measured: Measured, operation: str, depth: int) -> Numbers:
    """Operations a second of each server, round by round."""
    return {
        server: [
            1e9 / sample.wall_ns for sample in measured.series[f"{operation}_{depth}_{server}"]
        ]
        for server in SERVERS
    }


def _server_times(measured: Measured, operation: str, depth: int) -> Numbers:
    """Nanoseconds of processor time for an operation, of all threads of each server."""
    return {
        server: [
            sample.wall_ns for sample in measured.series[f"{operation}_{depth}_{server}_server"]
        ]
        for server in SERVERS
    }


def _against(numbers: Numbers, baseline: str, unit: str, samples: Sequence[Sample]) -> Figure:
    medians = {server: median(numbers[server]) for server in SERVERS}
    value = medians[OURS] / medians[baseline]
    details = {server: medians[server] for server in SERVERS if server != OURS}
    details["value_lz4"] = medians[COMPRESSING] / medians[baseline]
    return Figure(
        value=value,
        unit=unit,
        ours=Spread.of(numbers[OURS]),
        baseline=Spread.of(numbers[baseline]),
        spread=Spread.of(
            [ours / its for ours, its in zip(numbers[OURS], numbers[baseline], strict=True)]
        ),
        rounds=len(numbers[OURS]),
        wall=Wall(value, medians[OURS], medians[baseline], waited_share(samples)),
        details=details,
    )


def _clients(measured: Measured, operation: str, depth: int) -> list[Sample]:
    return [
        sample for server in SERVERS for sample in measured.series[f"{operation}_{depth}_{server}"]
    ]


def _wall(operation: str, depth: int, *baselines: str) -> Callable[[Measured], Figure]:
    """Operations a second, against the best of the baselines."""

    def figure(measured: Measured) -> Figure:
        rates = _rates(measured, operation, depth)
        best = max(baselines, key=lambda server: median(rates[server]))
        return _against(rates, best, "ops_per_s", _clients(measured, operation, depth))

    return figure


def _cpu(operation: str, depth: int) -> Callable[[Measured], Figure]:
    """Processor time of the server, against that of the cheaper of the others."""

    def figure(measured: Measured) -> Figure:
        times = _server_times(measured, operation, depth)
        best = min(OTHERS, key=lambda server: median(times[server]))
        return _against(times, best, "server_ns_per_op", _clients(measured, operation, depth))

    return figure


_LOWER, _HIGHER = Better.LOWER, Better.HIGHER
_WALL_TARGETS = {"put": 1.15, "get": 1.3}
_CPU_TARGETS = {"put": 0.75, "get": 0.65}


def _fields(values: str, operation: str) -> tuple[Field, ...]:
    name = f"{operation}_{values}"
    wall, cpu = _WALL_TARGETS[operation], _CPU_TARGETS[operation]
    return (
        Field(f"{name}_vs_best", values, wall, _HIGHER, _wall(operation, 64, *OTHERS)),
        Field(f"{name}_cpu_vs_best", values, cpu, _LOWER, _cpu(operation, 64)),
        Field(f"{name}_vs_raw", values, 0.75, _HIGHER, _wall(operation, 64, RAW)),
        Field(f"{name}_depth1_vs_best", values, 0.9, _HIGHER, _wall(operation, 1, *OTHERS)),
    )


def _trips(outcome: str) -> Callable[[Measured], Figure]:
    """The worse of a private and a shared pool, for one long object."""

    def figure(measured: Measured) -> Figure:
        def count(kind: str, what: str) -> float:
            return measured.values[f"{kind}_{what}_{outcome}"]

        details = {
            f"{what}_value": count("trips", what) / count("pages", what) for what in READINGS
        }
        worst = max(
            (what for what in READINGS if what.endswith("object")),
            key=lambda what: details[f"{what}_value"],
        )
        return counted(count("trips", worst), count("pages", worst), "trips, pages", details)

    return figure


SERVICE_FIELDS = (
    *(
        field
        for values in VALUES
        for operation in OPERATIONS
        for field in _fields(values, operation)
    ),
    Field("trips_per_page_miss", "trips", 0.05, _LOWER, _trips("miss")),
    Field("trips_per_page_hit", "trips", 0.06, _LOWER, _trips("hit")),
)
