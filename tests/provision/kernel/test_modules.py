# SPDX-License-Identifier: GPL-2.0-or-later
"""The project's modules: what they are built from, what is kept, and what goes wrong."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.provision.tiny_build import TinyBuild
from tmem_host.provision import ProvisionError
from tmem_host.provision.kernel import (
    BuildFailed,
    Kernel,
    KernelCache,
    Modules,
    build_modules,
    module_sources,
)
from tmem_host.provision.paths import source_root
from tmem_host.provision.processes import output_of

_PATIENCE_SECONDS = 300
_BUILD = """
import sys
from pathlib import Path
from tmem_host.provision.kernel import build_modules, kernel_cache, module_sources
from tmem_host.provision.progress import progress_on
from tmem_host.cli.stopping import sigterm_interrupts

sigterm_interrupts()
(kernel,) = kernel_cache().kernels()
build_modules(kernel, module_sources(Path(sys.argv[1])), progress=progress_on(sys.stderr))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Sources of two modules."""
    root = tmp_path / "checkout"
    for name in ("first", "second"):
        folder = root / "c/kmod" / name
        folder.mkdir(parents=True)
        (folder / f"{name}.c").write_text(f"const char *{name}_file = __FILE__;\n")
    return root


@pytest.fixture
def build_folder(cache: KernelCache, tmp_path: Path) -> TinyBuild:
    """What is the build folder of `kernel`."""
    return TinyBuild(cache.root / "staged/build", tmp_path / "notes")


@pytest.fixture
def kernel(cache: KernelCache, build_folder: TinyBuild) -> Kernel:
    """A kernel in the cache."""
    return _add(cache, "5.10.1")


def _add(cache: KernelCache, version: str) -> Kernel:
    hash_ = f"hash-of-{version}"
    kernel = Kernel(cache.place(hash_), hash_, version, True, False, "nothing", ())
    return cache.add(cache.root / "staged", kernel)


def _build(kernel: Kernel, checkout: Path) -> Modules:
    return build_modules(kernel, module_sources(checkout), jobs=1)


def _start(checkout: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _BUILD, str(checkout)], stderr=subprocess.PIPE, text=True
    )


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def _nothing_is_left(cache: KernelCache) -> None:
    assert cache.modules.places() == []
    assert list((cache.modules.root / "building").iterdir()) == []


def test_modules(cache: KernelCache, kernel: Kernel, checkout: Path) -> None:
    before = sorted(checkout.rglob("*"))
    modules = _build(kernel, checkout)
    assert [path.name for path in modules.files] == ["first.ko", "second.ko"]
    assert sorted(checkout.rglob("*")) == before
    assert list((cache.modules.root / "building").iterdir()) == []


def test_no_path_of_this_machine_is_in_them(
    cache: KernelCache, kernel: Kernel, checkout: Path
) -> None:
    first, _ = _build(kernel, checkout).files
    text = first.read_bytes()
    assert b"c/kmod/first/first.c" in text
    assert str(cache.root).encode() not in text
    assert str(checkout).encode() not in text


def test_they_are_built_once(kernel: Kernel, checkout: Path, build_folder: TinyBuild) -> None:
    modules = _build(kernel, checkout)
    assert sorted(build_folder.compiled) == ["first.ko", "second.ko"]
    assert _build(kernel, checkout) == modules
    assert len(build_folder.compiled) == 2


def test_for_another_kernel_they_are_others(
    cache: KernelCache, kernel: Kernel, checkout: Path, tmp_path: Path
) -> None:
    TinyBuild(cache.root / "staged/build", tmp_path / "other")
    other = _add(cache, "5.10.2")
    assert _build(kernel, checkout).directory != _build(other, checkout).directory


@pytest.mark.parametrize(
    ("path", "matters"),
    [
        ("c/kmod/Kbuild", True),
        ("c/kmod/first/first.h", True),
        ("c/include/tmem_abi.h", True),
        ("c/shim/put.c", True),
        ("c/shim/kernel/platform_kernel.c", True),
        ("c/wire/decoder.c", True),
        ("c/shim/user/pump.c", False),
        ("c/engine/reclaim.c", False),
        ("c/kmod/first/first.mod.c", False),
        ("c/kmod/first/first.o", False),
    ],
)
def test_what_they_are_built_from(checkout: Path, path: str, *, matters: bool) -> None:
    before = module_sources(checkout).key
    (checkout / path).parent.mkdir(parents=True, exist_ok=True)
    (checkout / path).write_text("")
    empty = module_sources(checkout).key
    (checkout / path).write_text("/* another */")
    changed = module_sources(checkout).key
    assert len({before, empty, changed}) == (3 if matters else 1)


def test_the_compilers_lines_are_shown(cache: KernelCache, kernel: Kernel, checkout: Path) -> None:
    source = checkout / "c/kmod/second/second.c"
    source.write_text("int second(void) { return undeclared; }\n")
    with pytest.raises(BuildFailed) as caught:
        _build(kernel, checkout)
    sentence, *lines = str(caught.value).splitlines()
    assert sentence.startswith(f"building modules for {kernel.version} failed (make modules); ")
    # named as in the checkout
    assert any(line.startswith("  c/kmod/second/second.c:1:") for line in lines)
    assert any("'undeclared'" in line for line in lines)
    assert "undeclared" in Path(sentence.rpartition("log: ")[2]).read_text()
    _nothing_is_left(cache)
    source.write_text("int second;\n")
    assert _build(kernel, checkout).files


def test_a_warning_is_an_error(cache: KernelCache, kernel: Kernel, checkout: Path) -> None:
    (checkout / "c/kmod/first/first.c").write_text("static int unused;\n")
    with pytest.raises(BuildFailed, match="'unused' defined but not used"):
        _build(kernel, checkout)
    _nothing_is_left(cache)


def test_a_missing_program(kernel: Kernel, checkout: Path, without: Callable[..., None]) -> None:
    without("make", "strip")
    missing = r"^make, strip are missing; run as root: apt-get install binutils make$"
    with pytest.raises(ProvisionError, match=missing):
        _build(kernel, checkout)


def test_no_space(
    kernel: Kernel, checkout: Path, build_folder: TinyBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    with pytest.raises(ProvisionError, match=r"building modules needs 0\.1 GiB in .* 0\.0 GiB"):
        _build(kernel, checkout)
    assert build_folder.compiled == []


def test_two_at_once_build_once(kernel: Kernel, checkout: Path, build_folder: TinyBuild) -> None:
    build_folder.hangs.touch()
    with _start(checkout) as first, _start(checkout) as second:
        try:
            _until(lambda: build_folder.compiled)
            build_folder.hangs.unlink()
            for process in (first, second):
                process.communicate(timeout=_PATIENCE_SECONDS)
        finally:
            first.kill()
            second.kill()
    assert (first.returncode, second.returncode) == (0, 0)
    assert sorted(build_folder.compiled) == ["first.ko", "second.ko"]


def test_who_waits_says_so(kernel: Kernel, checkout: Path, build_folder: TinyBuild) -> None:
    build_folder.hangs.touch()
    with _start(checkout) as first:
        _until(lambda: build_folder.compiled)
        with _start(checkout) as second:
            try:
                assert second.stderr is not None
                waits = f"another process builds modules for {kernel.version}; waiting for it"
                assert any(waits in line for line in second.stderr)
                build_folder.hangs.unlink()
                assert (first.wait(_PATIENCE_SECONDS), second.wait(_PATIENCE_SECONDS)) == (0, 0)
            finally:
                first.kill()
                second.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped(
    number: signal.Signals,
    cache: KernelCache,
    kernel: Kernel,
    checkout: Path,
    build_folder: TinyBuild,
) -> None:
    build_folder.hangs.touch()
    with _start(checkout) as process:
        try:
            _until(lambda: build_folder.compiled)
            process.send_signal(number)
            process.wait(_PATIENCE_SECONDS)
        finally:
            process.kill()
    _nothing_is_left(cache)
    build_folder.hangs.unlink()
    assert _build(kernel, checkout).files


def test_the_real_ones(guest_kernel: Kernel) -> None:
    modules = build_modules(guest_kernel, module_sources(source_root()))
    assert [path.stem for path in modules.files] == ["tmem_bench", "tmem_hooks", "tmem_transport"]
    for path in modules.files:
        assert output_of(["modinfo", "-F", "vermagic", path]).split()[0] == guest_kernel.version
        assert output_of(["modinfo", "-F", "license", path]).startswith("GPL")
        assert str(source_root()).encode() not in path.read_bytes()
        assert b".cache" not in path.read_bytes()
