# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest's kernel says when something is wrong with it."""

import contextlib
import re
from pathlib import Path

from tests.vm.torture.node import Node, NodeGone

_COMPLAINT = re.compile(
    r"kernel BUG at|Kernel panic|Oops:|WARNING: |BUG: |general protection fault"
    r"|ocfs2 is very sorry to be fencing|blocked for more than"
)
_CONTEXT_CHARACTERS = 200
# What Linux 5.10's ocfs2 does by itself (docs/coherency.md).
_KNOWN = {
    "AST fired with invalid action": "a lock that was being converted when its master died",
    "kernel BUG at fs/ocfs2/dlm/dlmast.c:340": "a node that was taken for dead granted its locks",
    "up while restarting": "the master of a lock was being chosen when a node joined",
}
# Those after which nothing breaks, but somebody may wait for ever.
_HANGS = re.compile("up while restarting")
# The function in which it waits then.
_HANGS_IN = "dlm_wait_for_lock_mastery"
_PATIENCE_S = 30.0


class GuestBroke(AssertionError):
    """A guest's kernel complained."""

    def __init__(self, node: Node, said: str) -> None:
        super().__init__(f"the kernel of {node.name} complained:\n{said}")
        self.known = next((why for words, why in _KNOWN.items() if words in said), None)
        """what is known of it, if it is ocfs2's own doing and not ours"""


class SerialLog:
    """One guest's, looked at again and again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen_bytes = 0

    def new_complaint(self) -> str:
        """The first complaint since the last look, with what stands around it; "" if none."""
        # a new boot may have begun another one
        said = self._path.read_bytes() if self._path.exists() else b""
        start = self._seen_bytes if len(said) >= self._seen_bytes else 0
        end = said.rfind(b"\n") + 1
        self._seen_bytes = max(start, end)
        return _around(_COMPLAINT, said[start:end].decode(errors="replace"))

    def before_known_hang(self) -> str:
        """What this boot has said after which ocfs2 may wait for ever; "" if nothing."""
        return _around(_HANGS, self._path.read_text(errors="replace"))


def blocked_tasks(node: Node) -> str:
    """What a guest's kernel says its tasks wait for; "" if the guest does not answer."""
    argv = ["sh", "-c", "echo w > /proc/sysrq-trigger; dmesg | tail -n 400"]
    with contextlib.suppress(TimeoutError, OSError, NodeGone):
        said = str(node.call("run", _PATIENCE_S, argv=argv)["said"])
        return said.rpartition("Show Blocked State")[2]
    return ""


def is_known_hang(waits: str) -> bool:
    """Whether ocfs2 waits as it is known to do by itself, and nobody waits in tmem."""
    return _HANGS_IN in waits and not re.search(r"\btmem_|\[tmem", waits)


def _around(words: re.Pattern[str], text: str) -> str:
    found = words.search(text)
    if found is None:
        return ""
    begin = max(0, found.start() - _CONTEXT_CHARACTERS)
    return text[begin : found.end() + 20 * _CONTEXT_CHARACTERS]
