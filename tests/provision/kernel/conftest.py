# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels for the tests: the guest's own, and a tree that is built in a moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tmem_host.provision.kernel import Kernel, KernelCache, find, kernel_cache

# What the kernel's own build is asked for, and nothing of what it does. The recipes of objects
# are as make shows them, since progress is read from there.
_MAKEFILE = """\
# SPDX-License-Identifier: GPL-2.0
VERSION = 5
PATCHLEVEL = 10
SUBLEVEL = 99
EXTRAVERSION =
NAME = Test

RELEASE = $(VERSION).$(PATCHLEVEL).$(SUBLEVEL)$(shell cat localversion)
OBJECTS := $(patsubst %.c,%.o,$(wildcard *.c))

allnoconfig:
	grep -v CONFIG_EXT4_FS_POSIX_ACL $(KCONFIG_ALLCONFIG) > .config
	test -e refuses || cp $(KCONFIG_ALLCONFIG) .config

prepare:
	mkdir -p include/config arch/x86/boot
	echo $(RELEASE) > include/config/kernel.release

modules_prepare: ;

descend: $(OBJECTS)

bzImage: $(OBJECTS)
	cat $^ > arch/x86/boot/bzImage
	touch System.map Module.symvers

modules: ;

modules_install:
	mkdir -p $(INSTALL_MOD_PATH)/lib/modules/$(RELEASE)
	ln -s $(CURDIR) $(INSTALL_MOD_PATH)/lib/modules/$(RELEASE)/build

%.o: %.c
	@echo '  CC      $@'
	@$(CC) -c -o $@ $<
	@echo $@ >> @COMPILED@
	@test ! -e hangs || exec sleep 1000.25
"""


@dataclass(frozen=True)
class TinyTree:
    """A source tree with a kernel's targets and two objects."""

    path: Path
    _compiled: Path

    @property
    def compiled(self) -> Sequence[str]:
        """The objects that builds have compiled so far, each build anew."""
        return self._compiled.read_text().split() if self._compiled.exists() else []


@pytest.fixture
def tiny_tree(tmp_path: Path) -> TinyTree:
    """A tree that is built in a moment."""
    tree = TinyTree(tmp_path / "tree", tmp_path / "compiled")
    tree.path.mkdir()
    makefile = _MAKEFILE.replace("@COMPILED@", str(tree._compiled))
    (tree.path / "Makefile").write_text(makefile)
    for name in ("first", "second"):
        (tree.path / f"{name}.c").write_text(f"int {name};\n")
    return tree


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KernelCache:
    """An empty cache, which the code under test finds by itself."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return kernel_cache()


@pytest.fixture(scope="session", params=[True, False], ids=["patched", "unpatched"])
def guest_kernel(request: pytest.FixtureRequest) -> Kernel:
    """The kernels that guests boot, with and without the cures; built by `make kernel`."""
    kernel = find(patched=request.param)
    if kernel is None:
        pytest.skip("the guest kernel is not in the cache; make kernel builds it")
    return kernel
