# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem bench guest with a guest that is as small as can be: its numbers mean nothing, its document
everything."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench import shape
from tests.bench.conftest import run_bench
from tests.bench.shape import check_agreement, check_shape
from tests.provision.vm.skips import needs_libvirt, needs_qemu
from tmem_host.bench.guest_fields import GUEST_FIELDS
from tmem_host.bench.report import describe

pytestmark = pytest.mark.timeout(1800)

GOLDEN = Path(shape.__file__).with_name("golden_shape_guest.json")
FIELD_NAMES = [field.name for field in GUEST_FIELDS]
ROUNDS = 2
COLD_BYTES = 64 << 20


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """What `tmem bench guest` says as JSON of 256 pages at a time in two rounds."""
    needs_libvirt()
    needs_qemu()
    done = run_bench(
        *("--json", "--rounds", str(ROUNDS), "--pages", "256"),
        *("--cold", f"{COLD_BYTES >> 20}MiB", "--memory", "192MiB"),
        what="guest",
        limit_s=1800,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_shape(document: dict[str, Any]) -> None:
    check_shape(document, GOLDEN)


def test_every_field_is_there(document: dict[str, Any]) -> None:
    assert list(document["fields"]) == FIELD_NAMES


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_a_field_agrees_with_itself(document: dict[str, Any], name: str) -> None:
    rounds = 1 if name == "cold_trips_per_page" else ROUNDS
    field = document["fields"][name]
    check_agreement(field, rounds=rounds)
    if rounds > 1:
        assert field["ours"]["min"] > 0


def test_what_was_measured_is_what_it_is_called(document: dict[str, Any]) -> None:
    """Counted by the shim: who is alone has a trip of its own, who is not shares it, and what the
    summary knows takes none."""
    field = document["fields"]["cold_trips_per_page"]
    trips = field["details"]
    assert trips["get_alone"] == 1
    assert trips["miss_asked"] == 1
    assert trips["miss_summary"] == 0
    assert trips["put"] < 0.05
    assert 0 < trips["get_sequential"] < 0.1
    assert field["met"]
    # the file fits, and then does not
    assert field["baseline"]["median"] == 2 * ROUNDS * COLD_BYTES // 4096
    readings = document["fields"]
    assert readings["cold_read_vs_off"]["details"]["puts_per_page"] < 0.05
    assert readings["cold_read_evicting_vs_off"]["details"]["puts_per_page"] > 0.1


def test_the_table_has_every_field(document: dict[str, Any]) -> None:
    table = describe(document)
    for name, field in document["fields"].items():
        (line,) = (line for line in table.splitlines() if line.split()[:1] == [name])
        assert ("MISSED" in line) != field["met"]
    assert "a guest with 192 MiB" in table
