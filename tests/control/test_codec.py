# SPDX-License-Identifier: GPL-2.0-or-later
"""Typed values travel as plain ones and come back as they were."""

from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmem_host.control.codec import BadValue, decode, encode
from tmem_host.provision.vm.settings import Compression, TmemSettings
from tmem_host.provision.vm.spec import Accelerator, Disk, VmSpec

SETTINGS = st.builds(
    TmemSettings,
    weight=st.integers(0, 2**32 - 1),
    cap_bytes=st.integers(0, 2**63),
    compression=st.sampled_from(Compression),
    shared=st.frozensets(st.uuids(), max_size=3),
)
SPECS = st.builds(
    VmSpec,
    name=st.just("vm"),
    kernel=st.just(Path("/boot/vmlinuz")),
    base=st.none() | st.just(Path("/base")),
    accelerator=st.sampled_from(Accelerator),
    disks=st.just(()) | st.just((Disk(name="data", size_bytes=1 << 20),)),
    modules=st.lists(st.sampled_from(["ocfs2", "btrfs"])).map(tuple),
    settings=SETTINGS,
)


@given(SPECS)
def test_a_description_of_a_machine_comes_back(spec: VmSpec) -> None:
    assert decode(msgpack.unpackb(msgpack.packb(encode(spec))), VmSpec) == spec


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ({"weight": "5"}, TmemSettings),
        ({"wait": 5}, TmemSettings),
        ({"compression": "LZO"}, TmemSettings),
        ({"shared": ["five"]}, TmemSettings),
        ({"shared": {}}, TmemSettings),
        (5, TmemSettings),
        ("text", int),
        (True, int),
        (5, Path),
        (None, int),
        (5, list[int]),
    ],
)
def test_what_is_of_another_type_is_refused(value: Any, hint: Any) -> None:
    with pytest.raises(BadValue):
        decode(value, hint)


def test_optional_values_and_numbers() -> None:
    assert decode(None, int | None) is None
    assert decode(5, int | None) == 5
    assert decode(5, float) == 5.0
    assert decode({"a": None}, dict[str, str | None]) == {"a": None}
