# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest's kernel complains of is noticed, and told apart."""

from tests.vm.torture.node import Node
from tests.vm.torture.site import GuestBroke

NODE = Node(0, "node0", "/nowhere", 1)


def test_what_ocfs2_does_by_itself_is_known() -> None:
    said = (
        "(dlm-C2,93,0):ocfs2_locking_ast:1185 ERROR: AST fired with invalid action: 0\nkernel BUG"
    )
    broke = GuestBroke(NODE, said)
    assert broke.known == "a lock that was being converted when its master died"
    assert "node0" in str(broke)
    assert said in str(broke)


def test_anything_else_is_not() -> None:
    assert GuestBroke(NODE, "BUG: unable to handle page fault in tmem_transport").known is None
