# SPDX-License-Identifier: GPL-2.0-or-later
"""The document that `tmem bench engine --json` prints: its shape, and what holds on any machine.

No time is looked at, only that there is one.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench.conftest import Bench
from tests.bench.exact_lru import hit_ratio
from tests.bench.shape import check_agreement, check_shape
from tmem_host.bench.dataset import ROOTS, gather
from tmem_host.bench.driver import build, measure
from tmem_host.bench.fields import FIELDS, LRU_SHAPES
from tmem_host.bench.report import describe
from tmem_host.native import PAGE_BYTES

GOLDEN = Path(__file__).with_name("golden_shape.json")

# As in docs/performance.md, which is where a reader looks.
FIELD_NAMES = [
    "put_raw_vs_memcpy",
    "put_fresh_vs_put",
    "get_seq_vs_memcpy",
    "get_random_vs_memcpy",
    "put_lz4_vs_lz4",
    "get_lz4_vs_lz4",
    "put_full_vs_put",
    "max_evictions_per_put",
    "put_scaling_vs_memcpy_scaling",
    "metadata_bytes_per_page",
    "metadata_bytes_per_page_dedup",
    "arena_waste_ratio",
    "arena_waste_ratio_churned",
    "lru_hit_loss",
    "recover_ns_per_page_vs_memcpy",
    "recover_verified_ns_per_page_vs_memcpy",
    "destroy_ns_per_page_vs_memcpy",
]


def test_shape(document: dict[str, Any]) -> None:
    check_shape(document, GOLDEN)


def test_every_field_is_there(document: dict[str, Any]) -> None:
    assert list(document["fields"]) == FIELD_NAMES
    assert [field.name for field in FIELDS] == FIELD_NAMES


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_a_field_agrees_with_itself(document: dict[str, Any], name: str) -> None:
    check_agreement(document["fields"][name], rounds=1)


def test_settings_and_data_set(document: dict[str, Any]) -> None:
    assert document["settings"] == {"size_bytes": 8 << 20, "rounds": 1, "arena": "/dev/shm"}
    data_set = document["data_set"]
    assert data_set["pages"] * PAGE_BYTES == 8 << 20
    assert data_set["roots"] == list(ROOTS)
    assert len(data_set["sha256"]) == 64


def test_the_data_set_is_the_same_again(document: dict[str, Any], tmp_path: Path) -> None:
    assert gather(tmp_path, 8 << 20).sha256 == document["data_set"]["sha256"]


def test_the_table_has_every_field(document: dict[str, Any]) -> None:
    lines = describe(document).splitlines()
    for name, field in document["fields"].items():
        (line,) = (line for line in lines if line.split()[:1] == [name])
        assert ("MISSED" in line) != field["met"]


def test_some_fields_only(bench: Bench) -> None:
    done = bench("--size", "4MiB", "--rounds", "2", "--fields", "put_raw_vs_memcpy", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    fields = json.loads(done.stdout)["fields"]
    assert list(fields) == ["put_raw_vs_memcpy"]
    assert fields["put_raw_vs_memcpy"]["rounds"] == 2


def test_exact_lru_is_exact(arena_path: Path) -> None:
    folder = arena_path.parent
    gather(folder, 4 << 20)
    values = measure(build(), "lru", folder, 1).values
    data = (folder / "pages").read_bytes()
    pages = [
        number
        for number in range(len(data) // PAGE_BYTES)
        if (page := data[number * PAGE_BYTES :][:PAGE_BYTES]) != page[:8] * (PAGE_BYTES // 8)
    ]
    for shape in LRU_SHAPES:
        capacity_pages = int(values[f"{shape}_capacity_pages"] + 0.5)
        exact = hit_ratio(pages, capacity_pages, len(pages) * 8)
        assert values[f"{shape}_exact_hit_ratio"] == pytest.approx(exact, abs=1e-6)
