# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest's kernel complains of is noticed, and told apart."""

from pathlib import Path
from typing import Any

import pytest

from tests.vm.torture.complaints import GuestBroke, SerialLog, blocked_tasks, is_known_hang
from tests.vm.torture.node import Node, NodeGone

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


def test_each_complaint_is_found_once_with_what_stands_around_it(tmp_path: Path) -> None:
    path = tmp_path / "serial.log"
    log = SerialLog(path)
    assert log.new_complaint() == ""
    path.write_text("a quiet boot\n")
    assert log.new_complaint() == ""
    with path.open("a") as file:
        file.write("before\nOops: 0002\nafter\n")
    assert log.new_complaint() == "before\nOops: 0002\nafter\n"
    assert log.new_complaint() == ""
    # the next boot begins the file anew
    path.write_text("Oops: again\n")
    assert log.new_complaint() == "Oops: again\n"


def test_half_a_line_is_looked_at_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "serial.log"
    log = SerialLog(path)
    path.write_text("kernel BUG a")
    assert log.new_complaint() == ""
    with path.open("a") as file:
        file.write("t fs\n")
    assert log.new_complaint() == "kernel BUG at fs\n"


def test_what_may_hang_is_no_complaint(tmp_path: Path) -> None:
    path = tmp_path / "serial.log"
    log = SerialLog(path)
    path.write_text("quiet\n")
    assert log.before_known_hang() == ""
    said = "dlm_restart_lock_mastery:1230 node 0 up while restarting\n"
    path.write_text(said)
    assert log.new_complaint() == ""
    assert log.before_known_hang() == said
    assert (
        GuestBroke(NODE, said).known == "the master of a lock was being chosen when a node joined"
    )


def test_a_hang_is_known_by_where_tasks_wait() -> None:
    waits = "Call Trace:\n schedule_timeout+0x7e\n dlm_wait_for_lock_mastery+0x1a2\n"
    assert is_known_hang(waits)
    assert not is_known_hang("Call Trace:\n schedule+0x3c\n io_schedule+0x12\n")
    assert not is_known_hang(waits + "Call Trace:\n tmem_shim_wait+0x40 [tmem_transport]\n")
    assert not is_known_hang("")


@pytest.mark.parametrize("answer", ["sysrq: Show Blocked State\n mine", TimeoutError(), NodeGone()])
def test_only_what_tasks_wait_for_now_counts(
    monkeypatch: pytest.MonkeyPatch, answer: str | Exception
) -> None:
    def call(*_: Any, **__: Any) -> dict[str, str]:
        if isinstance(answer, Exception):
            raise answer
        return {"said": f"tmem_hooks: loaded\nsysrq: Show Blocked State\n older\n{answer}"}

    monkeypatch.setattr(NODE, "call", call)
    assert blocked_tasks(NODE) == ("\n mine" if isinstance(answer, str) else "")
