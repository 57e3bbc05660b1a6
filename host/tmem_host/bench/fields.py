# SPDX-License-Identifier: GPL-2.0-or-later
"""The fields of the engine's benchmark: which group measures each, what it is, and its target."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from tmem_host.bench.driver import Measured
from tmem_host.bench.figures import Better, Field, Figure, Spread, Wall, contest, counted

METADATA_SHAPES = ("files", "small_objects", "one_object", "twice")
CHURNS = ("churned_files", "churned_small_to_large", "churned_large_to_small")
LRU_SHAPES = ("one_pool", "pools", "lz4")
FULL_ENCODINGS = ("raw", "lz4")


def _ratio(ours: str, baseline: str) -> Callable[[Measured], Figure]:
    return lambda measured: contest(measured.series[ours], measured.series[baseline])


def _worst(figures: Sequence[Figure]) -> Figure:
    return max(figures, key=lambda figure: figure.value)


def _put_full(measured: Measured) -> Figure:
    figures = {
        encoding: contest(
            measured.series[f"put_full_{encoding}"], measured.series[f"put_room_{encoding}"]
        )
        for encoding in FULL_ENCODINGS
    }
    details = {f"value_{encoding}": figure.value for encoding, figure in figures.items()}
    for encoding in FULL_ENCODINGS:
        for name in (f"refused_share_{encoding}", f"evictions_per_put_{encoding}"):
            details[name] = measured.values[name]
    return replace(_worst(list(figures.values())), details=details)


def _max_evictions(measured: Measured) -> Figure:
    details = {
        encoding: measured.values[f"max_evictions_{encoding}"] for encoding in FULL_ENCODINGS
    }
    return counted(max(details.values()), 1, "pages", details)


def _scaling(measured: Measured) -> Figure:
    # ns for a page, alone over both: how many times as many pages two threads move
    put = contest(measured.series["put_alone"], measured.series["put_both"])
    copy = contest(measured.series["copy_alone"], measured.series["copy_both"])
    by_round = [
        (put_alone.own_ns / put_both.own_ns) / (copy_alone.own_ns / copy_both.own_ns)
        for put_alone, put_both, copy_alone, copy_both in zip(
            *(
                measured.series[name]
                for name in ("put_alone", "put_both", "copy_alone", "copy_both")
            ),
            strict=True,
        )
    ]
    assert put.wall is not None
    assert copy.wall is not None
    wall = Wall(
        put.wall.value / copy.wall.value,
        put.wall.value,
        copy.wall.value,
        max(put.wall.waited_share, copy.wall.waited_share),
    )
    details = {
        "put_alone_ns_per_page": put.ours.median,
        "put_both_ns_per_page": put.baseline.median,
        "copy_alone_ns_per_page": copy.ours.median,
        "copy_both_ns_per_page": copy.baseline.median,
    }
    return Figure(
        value=put.value / copy.value,
        unit="speedup_of_two_threads",
        # the speedups by the medians, with the rounds' own around them
        ours=replace(put.spread, median=put.value),
        baseline=replace(copy.spread, median=copy.value),
        spread=Spread.of(by_round),
        rounds=put.rounds,
        wall=wall,
        details=details,
    )


def _metadata(kind: str) -> Callable[[Measured], Figure]:
    def figure(measured: Measured) -> Figure:
        def value(shape: str, what: str) -> float:
            return measured.values[f"{kind}_{shape}_{what}"]

        # the worst moment since a quarter of the set is there; earlier ones are details
        figures = {
            shape: counted(
                value(shape, "from_1_4_bytes"), value(shape, "from_1_4_pages"), "bytes, pages", {}
            )
            for shape in METADATA_SHAPES
        }
        details = {
            f"{shape}_{what}_per_page": value(shape, f"{what}_per_page")
            for shape in METADATA_SHAPES
            for what in (*(f"from_1_{part}_bytes" for part in (64, 16, 4, 1)), "process_bytes")
        }
        details["empty_heap_bytes"] = value("files", "empty_heap_bytes")
        return replace(_worst(list(figures.values())), details=details)

    return figure


def _waste(*names: str) -> Callable[[Measured], Figure]:
    def figure(measured: Measured) -> Figure:
        figures = []
        details: dict[str, float] = {}
        for name in names:
            wasted, held, idle = (
                measured.values[f"{name}_{what}_bytes"] for what in ("wasted", "held", "idle")
            )
            figures.append(counted(wasted, held, "bytes", details))
            details[f"{name}_value"] = wasted / held
            # were idle extents counted as held, and as wasted
            details[f"{name}_value_with_idle"] = (wasted + idle) / (held + idle)
            details[f"{name}_idle_bytes"] = idle
            for what in ("metadata_bytes", "fill_ns", "replace_ns", "replace_same_ns"):
                key = f"{name}_{what}_per_page"
                # nothing is replaced after a mere fill
                if key in measured.values:
                    details[key] = measured.values[key]
        return _worst(figures)

    return figure


def _lru(measured: Measured) -> Figure:
    figures = []
    details: dict[str, float] = {}
    for shape in LRU_SHAPES:
        hit, exact, capacity = (
            measured.values[f"{shape}_{what}"]
            for what in ("hit_ratio", "exact_hit_ratio", "capacity_pages")
        )
        figures.append(counted(exact - hit, exact, "hit_ratio", details))
        details[f"{shape}_value"] = (exact - hit) / exact
        details[f"{shape}_hit_ratio"] = hit
        details[f"{shape}_exact_hit_ratio"] = exact
        details[f"{shape}_capacity_pages"] = capacity
    return _worst(figures)


def _against_both_copies(ours: str) -> Callable[[Measured], Figure]:
    def figure(measured: Measured) -> Figure:
        to_page = contest(measured.series[ours], measured.series["copy_to_page"])
        details = {
            "value_vs_memcpy_to_hot_page": to_page.value,
            "memcpy_to_hot_page_ns_per_page": to_page.baseline.median,
        }
        return replace(
            contest(measured.series[ours], measured.series["copy_to_area"]), details=details
        )

    return figure


_LOWER, _HIGHER = Better.LOWER, Better.HIGHER

FIELDS = (
    Field("put_raw_vs_memcpy", "put", 1.6, _LOWER, _ratio("put_raw", "copy_to_area")),
    Field("put_fresh_vs_put", "put_fresh", 2.0, _LOWER, _ratio("put_fresh", "put_raw")),
    Field("get_seq_vs_memcpy", "get_seq", 1.8, _LOWER, _ratio("get_seq", "copy_to_page")),
    Field("get_random_vs_memcpy", "get_random", 2.5, _LOWER, _ratio("get_random", "copy_to_page")),
    Field("put_lz4_vs_lz4", "put_lz4", 1.15, _LOWER, _ratio("put_lz4", "compress")),
    Field("get_lz4_vs_lz4", "get_lz4", 1.3, _LOWER, _ratio("get_lz4", "decompress")),
    Field("put_full_vs_put", "put_full", 1.5, _LOWER, _put_full),
    Field("max_evictions_per_put", "put_full", 8, _LOWER, _max_evictions),
    Field("put_scaling_vs_memcpy_scaling", "scaling", 0.85, _HIGHER, _scaling),
    Field("metadata_bytes_per_page", "metadata", 104, _LOWER, _metadata("plain")),
    Field("metadata_bytes_per_page_dedup", "metadata", 128, _LOWER, _metadata("dedup")),
    Field("arena_waste_ratio", "waste", 0.08, _LOWER, _waste("filled")),
    Field("arena_waste_ratio_churned", "waste", 0.15, _LOWER, _waste(*CHURNS)),
    Field("lru_hit_loss", "lru", 0.01, _LOWER, _lru),
    Field(
        "recover_ns_per_page_vs_memcpy", "recover", 0.25, _LOWER, _against_both_copies("recover")
    ),
    Field(
        "recover_verified_ns_per_page_vs_memcpy",
        "recover",
        1.2,
        _LOWER,
        _against_both_copies("recover_verified"),
    ),
    Field("destroy_ns_per_page_vs_memcpy", "destroy", 0.5, _LOWER, _against_both_copies("destroy")),
)
