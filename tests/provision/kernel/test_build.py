# SPDX-License-Identifier: GPL-2.0-or-later
"""Building with a tree that is built in a moment: what is kept, and what goes wrong."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.provision.kernel.conftest import TinyTree
from tmem_host.provision import ProvisionError
from tmem_host.provision.kernel import BuildFailed, Kernel, KernelCache, build
from tmem_host.provision.kernel.build import key
from tmem_host.provision.kernel.patches import Patch
from tmem_host.provision.kernel.source import TreeSource


def _build(tree: TinyTree) -> Kernel:
    return build(source=tree.path, patched=False, jobs=1)


def _patch(name: str, story: str, added: str) -> Patch:
    return Patch(
        Path(f"{name}.patch"), f"{story}\n\n--- a/file\n+++ b/file\n@@ -1 +1 @@\n{added}\n"
    )


def _nothing_is_left(cache: KernelCache) -> None:
    assert cache.kernels() == []
    assert list((cache.root / "building").iterdir()) == []


def test_a_kernel(tiny_tree: TinyTree, cache: KernelCache) -> None:
    kernel = _build(tiny_tree)
    assert kernel.version == f"5.10.99-tmem-unpatched-{kernel.hash[:8]}"
    assert kernel.image.stat().st_size > 0
    assert (kernel.directory / "System.map").is_file()
    assert "CONFIG_CLEANCACHE=y\n" in kernel.config.read_text()
    assert (kernel.build / "Makefile").is_file()
    assert (kernel.build / "Module.symvers").is_file()
    # the tree that the link named is gone, and so is the link
    assert list((kernel.modules / "lib/modules" / kernel.version).iterdir()) == []
    assert cache.kernels() == [kernel]
    assert list((cache.root / "building").iterdir()) == []
    assert sorted(path.name for path in tiny_tree.path.iterdir()) == [
        "Makefile",
        "first.c",
        "second.c",
    ]


def test_it_is_built_once(tiny_tree: TinyTree, cache: KernelCache) -> None:
    kernel = _build(tiny_tree)
    assert sorted(tiny_tree.compiled) == ["first.o", "second.o"]
    assert _build(tiny_tree) == kernel
    assert len(tiny_tree.compiled) == 2


def test_another_source_is_another_kernel(tiny_tree: TinyTree, cache: KernelCache) -> None:
    before = _build(tiny_tree)
    (tiny_tree.path / "first.c").write_text("int changed;\n")
    after = _build(tiny_tree)
    assert after.hash != before.hash
    assert set(cache.kernels()) == {before, after}


def test_the_key(tiny_tree: TinyTree) -> None:
    source = TreeSource(tiny_tree.path)
    options = {"CONFIG_A": "y", "CONFIG_B": "m"}
    patches = [_patch("1", "story", "+one"), _patch("2", "story", "+two")]
    this = key(source, options, patches)
    assert key(source, dict(reversed(options.items())), patches) == this
    assert key(source, options, [patches[0], _patch("2", "another", "+two")]) == this
    others = {
        key(source, {**options, "CONFIG_B": "y"}, patches),
        key(source, {**options, "CONFIG_C": "n"}, patches),
        key(source, options, patches[:1]),
        key(source, options, []),
        key(source, options, [patches[0], _patch("2", "story", "+three")]),
    }
    (tiny_tree.path / "Makefile").chmod(0o755)
    others.add(key(TreeSource(tiny_tree.path), options, patches))
    (tiny_tree.path / "link").symlink_to("first.c")
    others.add(key(TreeSource(tiny_tree.path), options, patches))
    assert len(others) == 7
    assert this not in others


def test_the_compilers_lines_are_shown(tiny_tree: TinyTree, cache: KernelCache) -> None:
    (tiny_tree.path / "second.c").write_text("int second(void) { return undeclared; }\n")
    with pytest.raises(BuildFailed) as caught:
        _build(tiny_tree)
    sentence, *lines = str(caught.value).splitlines()
    assert "building the kernel failed" in sentence
    assert any("second.c:1:" in line and "'undeclared'" in line for line in lines)
    assert not any("make" in line for line in lines)
    log = Path(sentence.rpartition("log: ")[2])
    assert "undeclared" in log.read_text()
    _nothing_is_left(cache)
    # once it is mended it builds
    (tiny_tree.path / "second.c").write_text("int second;\n")
    assert _build(tiny_tree) in cache.kernels()


def test_an_option_that_the_kernel_does_not_keep(tiny_tree: TinyTree, cache: KernelCache) -> None:
    (tiny_tree.path / "refuses").touch()
    with pytest.raises(ProvisionError, match=r"does not keep CONFIG_EXT4_FS_POSIX_ACL \(wanted y"):
        _build(tiny_tree)
    assert tiny_tree.compiled == []
    _nothing_is_left(cache)


def test_patches_that_do_not_apply(tiny_tree: TinyTree, cache: KernelCache) -> None:
    with pytest.raises(ProvisionError, match="do not apply to this kernel: ") as caught:
        build(source=tiny_tree.path, jobs=1)
    for name in ("01-f8", "02-f9", "03-s1", "04-s2", "05-s3", "06-s4", "07-s5", "08-f12"):
        assert name in str(caught.value)
    assert "no file mm/cleancache.c" in str(caught.value)
    assert "--unpatched" in str(caught.value)
    _nothing_is_left(cache)


def test_no_space(tiny_tree: TinyTree, cache: KernelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=1 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ProvisionError, match=r"needs 2.0 GiB in .*which has 1.0 GiB free;"):
        _build(tiny_tree)
    assert tiny_tree.compiled == []


def test_space_that_runs_out(tiny_tree: TinyTree, cache: KernelCache) -> None:
    makefile = tiny_tree.path / "Makefile"
    makefile.write_text(makefile.read_text().replace("cat $^ >", "cat $^ > /dev/full && : >"))
    with pytest.raises(ProvisionError, match=r"^no space is left in .*: No space left on device$"):
        _build(tiny_tree)
    _nothing_is_left(cache)


def test_a_missing_program(
    tiny_tree: TinyTree, cache: KernelCache, without: Callable[..., None]
) -> None:
    without("flex", "depmod")
    with pytest.raises(ProvisionError) as caught:
        _build(tiny_tree)
    assert str(caught.value) == ("depmod, flex are missing; run as root: apt-get install flex kmod")


def test_a_missing_library(
    tiny_tree: TinyTree, cache: KernelCache, without: Callable[..., None], tmp_path: Path
) -> None:
    without("gcc")
    (tmp_path / "bin/gcc").write_text('#!/bin/sh\n[ "$1" = --version ]\n')
    (tmp_path / "bin/gcc").chmod(0o755)
    with pytest.raises(ProvisionError, match="apt-get install libelf-dev"):
        _build(tiny_tree)


@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        ("VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\n", "is Linux 6.1.0, but .* 5.10 to 5.16"),
        ("VERSION = 5\nPATCHLEVEL = 4\nSUBLEVEL = 9\n", "is Linux 5.4.9, but"),
        ("all: ;\n", "its Makefile names no version"),
        (None, "Makefile: No such file"),
    ],
)
def test_a_tree_that_is_no_such_kernel(
    tmp_path: Path, cache: KernelCache, head: str | None, complaint: str
) -> None:
    if head is not None:
        (tmp_path / "Makefile").write_text(head)
    with pytest.raises(ProvisionError, match=complaint):
        build(source=tmp_path)


def test_a_tree_that_was_built_in(tiny_tree: TinyTree, cache: KernelCache) -> None:
    (tiny_tree.path / ".config").touch()
    with pytest.raises(ProvisionError, match="make mrproper"):
        _build(tiny_tree)
