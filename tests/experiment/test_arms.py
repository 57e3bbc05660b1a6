# SPDX-License-Identifier: GPL-2.0-or-later
"""What arms give to guests."""

from dataclasses import replace
from uuid import UUID

from tmem_host.experiment.arms import ARMS
from tmem_host.provision.vm.settings import Compression

SHARED = UUID("6d1e7b0a-4f0c-4d0e-9d57-3c2b1a0f9e8d")


def test_who_may_join() -> None:
    joins = {name for name, arm in ARMS.items() if arm.settings(SHARED).shared == {SHARED}}
    assert joins == {"shared", "shared-compressed"}
    assert all(not arm.settings(None).shared for arm in ARMS.values())


def test_the_control_differs_from_shared_in_sharing_alone() -> None:
    control, shared = ARMS["control"], ARMS["shared"]
    assert replace(control, name="", meaning="", shares=True) == replace(
        shared, name="", meaning=""
    )


def test_only_none_has_no_tmem() -> None:
    assert [name for name, arm in ARMS.items() if not arm.tmem] == ["none"]
    assert ARMS["shared"].settings(SHARED).compression is Compression.NONE
    assert ARMS["shared-compressed"].settings(SHARED).compression is Compression.LZ4
