# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds that are stopped, killed, or started twice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.provision.kernel.conftest import TinyTree
from tmem_host.provision.kernel import KernelCache, build

_PATIENCE_SECONDS = 300


def _until(condition: Callable[[], object]) -> None:
    for _ in range(_PATIENCE_SECONDS * 20):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("waited in vain")


def _start(tree: TinyTree) -> "subprocess.Popen[str]":
    arguments = ["kernel", "build", "--unpatched", "--jobs=1", f"--source={tree.path}"]
    return subprocess.Popen(
        [sys.executable, "-c", "from tmem_host.cli import main; exit(main())", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _is_working_in(folder: Path) -> bool:
    """Whether a process has its working directory below `folder`."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # a zombie has none
            if Path(os.readlink(process / "cwd")).is_relative_to(folder):
                return True
        except OSError:
            continue
    return False


@contextmanager
def _hanging_build(tree: TinyTree) -> "Iterator[subprocess.Popen[str]]":
    (tree.path / "hangs").touch()
    with _start(tree) as process:
        try:
            _until(lambda: tree.compiled)
            yield process
        finally:
            process.kill()
    (tree.path / "hangs").unlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped(number: signal.Signals, tiny_tree: TinyTree, cache: KernelCache) -> None:
    with _hanging_build(tiny_tree) as process:
        process.send_signal(number)
        _, said = process.communicate(timeout=_PATIENCE_SECONDS)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "tmem: interrupted"
    assert not _is_working_in(cache.root)
    assert list((cache.root / "building").iterdir()) == []
    assert cache.kernels() == []
    assert build(source=tiny_tree.path, patched=False) in cache.kernels()


def test_killed(tiny_tree: TinyTree, cache: KernelCache) -> None:
    with _hanging_build(tiny_tree) as process:
        process.kill()
        process.wait(_PATIENCE_SECONDS)
        _until(lambda: not _is_working_in(cache.root))
    (left,) = (cache.root / "building").iterdir()
    assert cache.kernels() == []
    # the next build of the same kernel does away with it
    (tiny_tree.path / "hangs").touch()
    assert cache.remove(left.name)
    assert list((cache.root / "building").iterdir()) == []


def test_what_a_killed_build_left_is_replaced(tiny_tree: TinyTree, cache: KernelCache) -> None:
    kernel = build(source=tiny_tree.path, patched=False)
    assert cache.remove(kernel.hash)
    stale = cache.root / "building" / kernel.hash
    (stale / "tree").mkdir(parents=True)
    (stale / "tree/Makefile").write_text("spoilt")
    assert build(source=tiny_tree.path, patched=False) == kernel
    assert not stale.exists()


def test_two_at_once_build_once(tiny_tree: TinyTree, cache: KernelCache) -> None:
    with _start(tiny_tree) as first, _start(tiny_tree) as second:
        printed = [process.communicate(timeout=_PATIENCE_SECONDS)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert printed[0] == printed[1]
    assert sorted(tiny_tree.compiled) == ["first.o", "second.o"]


def test_who_waits_says_so(tiny_tree: TinyTree, cache: KernelCache) -> None:
    with _hanging_build(tiny_tree) as first, _start(tiny_tree) as second:
        assert second.stderr is not None
        try:
            assert any("another process builds this kernel" in line for line in second.stderr)
        finally:
            second.kill()
        first.kill()


def test_a_kernel_that_is_being_built_is_not_removed(
    tiny_tree: TinyTree, cache: KernelCache
) -> None:
    with _hanging_build(tiny_tree):
        (hash_,) = cache.hashes()
        assert not cache.remove(hash_)
