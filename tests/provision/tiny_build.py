# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands for the build folder of a kernel: builds modules in a moment."""

from collections.abc import Sequence
from pathlib import Path

# What is printed and left is what the kernel's own build prints and leaves.
_HEAD = """\
modules: $(MODULES)
	@printf '%s\\n' $^ > $(M)/modules.order
"""
_RECIPE = """
	@echo '  CC [M]  $@'
	@$(CC) $(KCFLAGS) -Wall -x c -c -o $@ $<
	@echo $@ >> @COMPILED@
	@while test -e @HANGS@; do sleep 0.1; done
"""
# Each folder of M is a module of one object.
_FROM_SOURCES = """\
FOLDERS := $(patsubst %/,%,$(wildcard $(M)/*/))
MODULES := $(foreach folder,$(FOLDERS),$(folder)/$(notdir $(folder)).ko)
%.ko: %.c"""
_FROM_NOTHING = """\
MODULES := $(addprefix $(M)/,@NAMES@)
%.ko: /dev/null"""


class TinyBuild:
    """A build folder. While `hangs` exists, it is not done with what it has compiled."""

    def __init__(self, folder: Path, notes: Path, modules: Sequence[str] = ()) -> None:
        """Makes `folder`, which may be moved then; `notes` is what stays in its place.

        It builds the `modules`, empty and whatever their sources are; by default one of each folder
        of sources."""
        notes.mkdir(exist_ok=True)
        self._compiled = notes / "compiled"
        self.hangs = notes / "hangs"
        folder.mkdir(parents=True)
        names = " ".join(f"{name}.ko" for name in modules)
        rule = _FROM_NOTHING.replace("@NAMES@", names) if modules else _FROM_SOURCES
        recipe = _RECIPE.replace("@COMPILED@", str(self._compiled)).replace(
            "@HANGS@", str(self.hangs)
        )
        makefile = "default: modules\n" + rule + recipe + _HEAD
        (folder / "Makefile").write_text(makefile)

    @property
    def compiled(self) -> list[str]:
        """The names of the modules in the order in which they were compiled, each time anew."""
        if not self._compiled.exists():
            return []
        return [Path(line).name for line in self._compiled.read_text().splitlines()]
