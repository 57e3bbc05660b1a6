# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem kernel: what it prints, and what it removes."""

import json
from pathlib import Path

import pytest

from tests.provision.kernel.conftest import TinyTree
from tests.provision.tiny_build import TinyBuild
from tmem_host.cli import main
from tmem_host.provision.kernel import Kernel, KernelCache

Capture = pytest.CaptureFixture[str]


def _build(tree: TinyTree, *more: str) -> int:
    return main(["kernel", "build", "--unpatched", "--jobs=1", f"--source={tree.path}", *more])


def test_build_and_list(tiny_tree: TinyTree, cache: KernelCache, capsys: Capture) -> None:
    assert main(["kernel", "list"]) == 0
    assert capsys.readouterr() == ("", "no kernel is in the cache; `tmem kernel build` makes one\n")
    assert _build(tiny_tree) == 0
    out, err = capsys.readouterr()
    (kernel,) = cache.kernels()
    for line in (kernel.version, str(tiny_tree.path), "none", str(kernel.image)):
        assert line in out
    assert "compiling the kernel ..." in err.splitlines()
    assert main(["kernel", "list"]) == 0
    assert capsys.readouterr() == (out, "")


def test_json(tiny_tree: TinyTree, cache: KernelCache, capsys: Capture) -> None:
    assert _build(tiny_tree, "--json") == 0
    built = json.loads(capsys.readouterr().out)
    (kernel,) = cache.kernels()
    assert built["version"] == kernel.version
    assert built["hash"] == kernel.hash
    assert built["build"] == str(kernel.build)
    assert main(["kernel", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == built


def test_a_failure_is_one_sentence_and_the_compilers_lines(
    tiny_tree: TinyTree, cache: KernelCache, capsys: Capture
) -> None:
    (tiny_tree.path / "first.c").write_text("int first = ;\n")
    assert _build(tiny_tree) == 1
    out, err = capsys.readouterr()
    assert out == ""
    sentence, *lines = err[err.index("tmem: ") :].splitlines()
    assert sentence.startswith("tmem: building the kernel failed (make bzImage modules); log: ")
    assert lines
    assert all(line.startswith("  ") for line in lines)


def test_modules(
    cache: KernelCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert main(["kernel", "modules"]) == 1
    assert capsys.readouterr().err == (
        "tmem: no kernel is in the cache; run `tmem kernel build` first\n"
    )
    TinyBuild(cache.root / "staged/build", tmp_path / "notes", ["tmem_hooks", "tmem_transport"])
    place = cache.place("hash")
    cache.add(cache.root / "staged", Kernel(place, "hash", "5.10.1", True, False, "nothing", ()))
    assert main(["kernel", "modules"]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in paths] == ["tmem_hooks.ko", "tmem_transport.ko"]
    assert main(["kernel", "modules", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["version"] == "5.10.1"
    assert facts["modules"] == {path.stem: str(path) for path in paths}
    # they go with their kernel, which is of no source that is known
    assert main(["kernel", "clean"]) == 0
    assert capsys.readouterr().out == "1 kernel and 1 build of modules removed\n"
    assert not paths[0].exists()


def test_no_tree(cache: KernelCache, capsys: Capture) -> None:
    assert main(["kernel", "build", "--source", "/there/is/none"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "tmem: /there/is/none is no kernel's source:"
        " /there/is/none/Makefile: No such file or directory"
    )


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
def test_jobs(jobs: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["kernel", "build", f"--jobs={jobs}"])
    assert caught.value.code == 2
    assert "--jobs" in capsys.readouterr().err


def test_clean(tiny_tree: TinyTree, cache: KernelCache, capsys: Capture) -> None:
    _build(tiny_tree)
    (tiny_tree.path / "first.c").write_text("int first = ;\n")
    _build(tiny_tree)
    cache.sources.mkdir()
    (cache.sources / "kept").touch()
    capsys.readouterr()
    # a kernel of another source than Debian's, and the log of the one that failed
    assert main(["kernel", "clean"]) == 0
    assert capsys.readouterr().out == "2 kernels and 0 builds of modules removed\n"
    assert cache.hashes() == set()
    assert (cache.sources / "kept").exists()
    assert main(["kernel", "clean", "--all"]) == 0
    assert capsys.readouterr().out == "0 kernels and 0 builds of modules removed\n"
    assert not cache.sources.exists()
    assert not cache.objects.exists()
