# SPDX-License-Identifier: GPL-2.0-or-later
"""The dataclasses cannot drift from the C structs that they stand for."""

import dataclasses

import pytest

from tmem_host.native import COUNTER_MEANINGS, Counters, PoolInfo, records
from tmem_host.native._engine import ffi
from tmem_host.native.records import STRUCTS, ArenaReport, Recovery, record


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_fields_are_those_of_the_c_struct(kind: type) -> None:
    struct_fields = [name for name, _ in ffi.typeof(STRUCTS[kind]).fields]
    assert [field.name for field in dataclasses.fields(kind)] == struct_fields


def test_every_dataclass_is_paired_with_a_struct() -> None:
    classes = {
        value
        for value in vars(records).values()
        if isinstance(value, type) and dataclasses.is_dataclass(value)
    }
    assert classes == set(STRUCTS)


def test_counter_meanings_are_in_the_order_of_the_fields() -> None:
    assert list(COUNTER_MEANINGS) == [field.name for field in dataclasses.fields(Counters)]
    assert all(COUNTER_MEANINGS.values())


def test_values_reach_the_field_of_their_name() -> None:
    struct = ffi.new("struct tmem_counters *")
    for value, name in enumerate(COUNTER_MEANINGS, start=1):
        setattr(struct, name, value)
    counters = record(Counters, struct)
    assert list(dataclasses.astuple(counters)) == list(range(1, len(COUNTER_MEANINGS) + 1))


def test_flags_of_c_become_booleans() -> None:
    struct = ffi.new("struct tmem_recovery *", {"scrub_done": 2})
    assert record(Recovery, struct).scrub_done is True


def test_a_uuid_of_zeros_is_none() -> None:
    struct = ffi.new("struct tmem_pool_info *")
    assert record(PoolInfo, struct).uuid is None
    struct = ffi.new("struct tmem_pool_info *", {"uuid": list(range(16))})
    assert str(record(PoolInfo, struct).uuid) == "00010203-0405-0607-0809-0a0b0c0d0e0f"


@pytest.mark.parametrize(
    "field",
    [
        "damaged_records",
        "damaged_rows",
        "damaged_extents",
        "damaged_contents",
        "header_damaged",
    ],
)
def test_any_damage_makes_an_arena_unsound(field: str) -> None:
    sound = record(ArenaReport, ffi.new("struct tmem_arena_report *", {"stale_records": 7}))
    assert sound.sound
    assert not record(ArenaReport, ffi.new("struct tmem_arena_report *", {field: 1})).sound


def test_no_kind_of_damage_is_forgotten() -> None:
    damage = {f.name for f in dataclasses.fields(ArenaReport) if "damaged" in f.name}
    assert damage == {
        "damaged_records",
        "damaged_rows",
        "damaged_extents",
        "damaged_contents",
        "header_damaged",
    }
