# SPDX-License-Identifier: GPL-2.0-or-later
"""A load on a site, and what came of it."""

import json
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.vm.torture.ledger import Ledger
from tests.vm.torture.load import Load
from tests.vm.torture.mix import Mix
from tests.vm.torture.node import Node
from tests.vm.torture.site import Site
from tests.vm.torture.verdict import Violation

_FILL_BLOCKS = 64


class Stale(AssertionError):
    """Reads returned what they must not."""


class Run:
    """The clients of a site, as a context manager: they rest until go_on(), and are gone outside.

    `seed` decides what they choose; in which order the cluster does it, nobody can. Outside, every
    read has been judged: Stale names those that were wrong. With `tolerate_direct` those that
    would be right if direct writes took no effect for others are only counted.
    """

    def __init__(
        self, site: Site, seed: int, mix: Mix, *, tolerate_direct: bool = False, label: str = "run"
    ) -> None:
        self.site = site
        self.seed = seed
        self.turns = 0
        self.options = "noatime"
        self._tolerate_direct = tolerate_direct
        self._label = label
        self._log = (site.folder / f"{label}.ledger.jsonl").open("w", encoding="utf-8")
        self.ledger = Ledger(mix.paths())
        facts = {"seed": seed, "mix": vars(mix), "kernel": site.plan.kernel.version}
        self._log.write(json.dumps(facts | {"nodes": len(site.nodes), "label": label}) + "\n")
        self.load = Load(
            self.ledger,
            site.nodes,
            seed=seed,
            mix=mix,
            log=self._log,
            enough=self._enough,
            look=site.look_at_guests,
            explain_hang=site.explain_hang,
        )
        self._hits = site.hits()

    def _enough(self, bad: Sequence[Violation]) -> bool:
        return len(self._wrong(bad)) >= 20

    def _wrong(self, bad: Sequence[Violation]) -> list[Violation]:
        return [v for v in bad if not (self._tolerate_direct and v.direct_only)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_value is not None:
            exc_value.add_note(f"{self._label}: seed {self.seed}")
        try:
            self.load.end(quietly=exc_type is not None)
        finally:
            self._log.close()
            wrong = self._wrong(self.ledger.violations)
            if wrong:
                report = "\n".join(map(str, wrong))
                (self.site.folder / f"{self._label}.violations").write_text(report + "\n")
        if wrong:
            raise Stale(
                f"{len(wrong)} reads were wrong (seed {self.seed}; everything is in"
                f" {self.site.folder}). The first: {wrong[0]}"
            )

    # ---- driving it --------------------------------------------------------------------------

    def fill(self) -> None:
        """Makes the large file and half of the small ones."""
        self.load.fill(self.site.nodes[0], _FILL_BLOCKS)

    def go_on(self, seconds: float) -> None:
        """Lets the load run; raises as soon as something is wrong that ends it."""
        there = [node for node in self.site.nodes if node.there]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.load.check()
            self.site.look_at_guests()
            for node in there:
                if not node.there:
                    raise AssertionError(f"{node.name} went away by itself: {node.ending}")
            time.sleep(0.5)

    def sync(self, node: Node) -> None:
        """Has a node write everything back."""
        self.load.sync(node)

    def names_that_exist(self) -> list[str]:
        """Paths of the files that there are now."""
        return [name.path for name in self.ledger.names.values() if name.file is not None]

    def other_hits(self) -> int:
        """How many pages nodes have got so far that other nodes had put."""
        return sum(self.site.hits().values()) - sum(self._hits.values())

    def summary(self) -> str:
        """What was done, in one line."""
        ledger, done = self.ledger, self.load.done
        operations = ", ".join(f"{name} {done[name]}" for name in sorted(done))
        direct = sum(violation.direct_only for violation in ledger.violations)
        return (
            f"{self._label}: {sum(done.values())} operations ({operations});"
            f" {ledger.mixtures} blocks read half written,"
            f" {ledger.uncopied} of clones before they were copied;"
            f" {len(ledger.violations)} reads wrong, {direct} of them behind a direct write;"
            f" {self.other_hits()} pages got that another node had put"
        )
