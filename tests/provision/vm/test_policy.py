# SPDX-License-Identifier: GPL-2.0-or-later
"""What may be done to a guest depends on its swap pages."""

from uuid import UUID, uuid4

import pytest

from tmem_host.provision.vm.errors import Refused
from tmem_host.provision.vm.policy import NobodyKnows, check_may_rewind


class Holding:
    def __init__(self, pages: int | None) -> None:
        self._pages = pages

    def persistent_pages(self, domain: UUID) -> int | None:
        return self._pages


@pytest.mark.parametrize("force", [False, True])
def test_held_pages_refuse_whatever_is_forced(force: bool) -> None:
    with pytest.raises(Refused, match=r"cannot save a: 3 swap pages .* swapoff -a"):
        check_may_rewind("save", "a", uuid4(), Holding(3), force=force)


@pytest.mark.parametrize("force", [False, True])
def test_no_pages_no_objection(force: bool) -> None:
    check_may_rewind("save", "a", uuid4(), Holding(0), force=force)


def test_what_nobody_knows_takes_force() -> None:
    with pytest.raises(Refused, match=r"cannot migrate a: nobody can tell .*--force"):
        check_may_rewind("migrate", "a", uuid4(), NobodyKnows(), force=False)
    check_may_rewind("migrate", "a", uuid4(), NobodyKnows(), force=True)
