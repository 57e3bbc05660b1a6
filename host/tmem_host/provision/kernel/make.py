# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the kernel's own build."""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tmem_host.provision.errors import ProvisionError
from tmem_host.provision.processes import watch

# The same for everybody, so that equal kernels are equal files.
_ENVIRONMENT = {
    "LC_ALL": "C",
    "KBUILD_BUILD_TIMESTAMP": "1970-01-01",
    "KBUILD_BUILD_USER": "tmem",
    "KBUILD_BUILD_HOST": "tmem",
}
# What make prints for an object, and what it would print.
_OBJECT = re.compile(r"^  (?:CC|AS) ")
_WOULD_BE_OBJECT = re.compile(r"\becho '  (?:CC|AS) ")
_MAKE_ITSELF = re.compile(r"^make(\[\d+\])?: ")
_SHOWN_LINES = 40


class BuildFailed(ProvisionError):
    """A build failed; the text ends with what the compiler said."""


class Make:
    """make in one kernel tree; what it says goes to a log."""

    def __init__(
        self,
        tree: Path,
        log: Path,
        *,
        jobs: int,
        ccache: Path | None,
        what: str = "the kernel",
        writes_to: Path | None = None,
    ) -> None:
        """`ccache` is where compiled objects are kept, if ccache is to be used. An error says that
        `what` could not be built; `writes_to` is where, if not in the tree, and the compiler's
        lines name files relative to it."""
        self._tree = tree
        self._log = log
        self._what = what
        self._writes_to = writes_to
        self._command = ["nice", "make", f"-j{jobs}", "LOCALVERSION="]
        # Not the caller's environment: ARCH, KCFLAGS or a jobserver would change what is built.
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ},
            **_ENVIRONMENT,
        }
        if ccache and shutil.which("ccache"):
            self._command.append("CC=ccache gcc")
            # By the dependencies that the compiler lists anyway: one more run of the preprocessor
            # for each new object would make a first build a quarter slower.
            self._environment.update(CCACHE_DIR=str(ccache), CCACHE_MAXSIZE="1G", CCACHE_DEPEND="1")

    def run(self, *arguments: str, on_object: Callable[[], None] | None = None) -> None:
        """Makes the targets among `arguments`; calls `on_object` for each object that is built.

        BuildFailed if it fails.
        """

        def each_line(line: str) -> None:
            if on_object and _OBJECT.match(line):
                on_object()

        self._watch(arguments, each_line)

    def count_objects(self) -> int:
        """How many objects the kernel and its modules have, but for a few of the boot code.

        The tree is prepared. BuildFailed if make cannot tell.
        """
        objects = 0

        def each_line(line: str) -> None:
            nonlocal objects
            objects += len(_WOULD_BE_OBJECT.findall(line))

        # All directories, without the links at the end: these run even dry, and fail.
        self._watch(["--dry-run", "KBUILD_MODULES=1", "descend"], each_line, logged=False)
        return objects

    def _watch(
        self, arguments: Sequence[str], each_line: Callable[[str], None], *, logged: bool = True
    ) -> None:
        with (
            open(self._log, "a", buffering=1, encoding="utf-8") as log,
            tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
        ):

            def keep(line: str) -> None:
                if logged:
                    print(line, file=log)
                each_line(line)

            status = watch(
                [*self._command, *arguments],
                keep,
                cwd=self._tree,
                env=self._environment,
                complaints=complaints,
            )
            complaints.seek(0)
            said = complaints.read().splitlines()
            print(*said, sep="\n", file=log)
        if status != 0:
            raise BuildFailed(self._story(arguments, said))

    def _story(self, arguments: Sequence[str], said: Sequence[str]) -> str:
        full = [line for line in said if "No space left on device" in line]
        if full:
            return f"no space is left in {self._writes_to or self._tree.parent}: {full[0]}"
        lines = [line for line in said if not _MAKE_ITSELF.match(line)] or list(said)
        first = next((i for i, line in enumerate(lines) if "error:" in line), 0)
        # the line before the first error says in which function it is
        shown = lines[max(first - 1, 0) :][:_SHOWN_LINES]
        if self._writes_to is not None:
            shown = [line.replace(f"{self._writes_to}/", "") for line in shown]
        targets = " ".join(word for word in arguments if "=" not in word)
        return "\n  ".join(
            [f"building {self._what} failed (make {targets}); log: {self._log}", *shown]
        )
