# SPDX-License-Identifier: GPL-2.0-or-later
"""The series of cures: each with its story and its marker, and all of them fit."""

import re
import subprocess
from pathlib import Path

import pytest

from tmem_host.provision import ProvisionError
from tmem_host.provision.kernel import Kernel, kernel_cache, patches
from tmem_host.provision.kernel.patches import Patch
from tmem_host.provision.kernel.source import PACKAGE, kept_package
from tmem_host.provision.paths import source_root

SERIES = patches.series(source_root() / "vm-configs/kernel/patches")
CURES = ["f8", "f9", "s1", "s2", "s3", "s4", "s5", "f12"]


def test_one_for_each_cure() -> None:
    assert [patch.markers for patch in SERIES] == [(f"tmem_cure_{cure}",) for cure in CURES]
    assert ["-".join(patch.name.split("-")[:2]) for patch in SERIES] == [
        f"{number:02}-{cure}" for number, cure in enumerate(CURES, 1)
    ]


@pytest.mark.parametrize("patch", SERIES, ids=lambda patch: patch.name)
def test_its_story(patch: Patch) -> None:
    story = patch.text.partition("\n--- a/")[0]
    assert story.startswith("SPDX-License-Identifier: GPL-2.0-only\nSubject: ")
    # in which context the code runs, and why it may do there what it does
    assert "\nContext: " in story


def _touched() -> list[str]:
    found = re.findall(r"^--- a/(\S+)$", "".join(patch.text for patch in SERIES), re.M)
    return sorted(set(found))


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the series changes, as Debian publishes them."""
    folder = tmp_path_factory.mktemp("source")
    if kept_package(kernel_cache().sources) is None:
        pytest.skip("the kernel's source is not in the cache; make kernel fetches it")
    (deb,) = kernel_cache().sources.glob("*.deb")
    members = " ".join(f"{PACKAGE}/{name}" for name in _touched())
    subprocess.run(
        f"dpkg-deb --fsys-tarfile {deb} | tar -xO ./usr/src/{PACKAGE}.tar.xz"
        f" | tar -xJ --strip-components=1 -C {folder} {members}",
        shell=True,
        check=True,
    )
    return folder


@pytest.fixture
def tree(untouched: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-a", f"{untouched}/.", str(tmp_path)], check=True)
    return tmp_path


def _markers(tree: Path) -> set[str]:
    texts = [path.read_text() for path in tree.rglob("*.[ch]")]
    return {
        name
        for text in texts
        for name in re.findall(r"^EXPORT_SYMBOL_GPL\((tmem_cure_\w+)\);$", text, re.M)
    }


def test_they_apply_in_order_and_each_adds_its_marker(tree: Path) -> None:
    before: set[str] = set()
    assert _markers(tree) == before
    for patch in SERIES:
        patches.apply([patch], tree)
        after = _markers(tree)
        assert after - before == set(patch.markers)
        before = after
    assert list(tree.rglob("*.rej")) == list(tree.rglob("*.orig")) == []


def test_exactly_what_does_not_apply_is_named(tree: Path) -> None:
    changed = tree / "fs/ocfs2/super.c"
    changed.write_text(changed.read_text().replace("sb->s_root = root;", "sb->s_root = dentry;"))
    (tree / "fs/iomap/direct-io.c").unlink()
    with pytest.raises(ProvisionError) as caught:
        patches.apply(SERIES, tree)
    named = re.findall(r"\d\d-[\w-]+\.patch", str(caught.value))
    assert named == [SERIES[1].name, SERIES[5].name]
    assert "no file fs/iomap/direct-io.c" in str(caught.value)
    assert re.search(r"fs/ocfs2/super.c: hunk #\d FAILED at \d+", str(caught.value))


def test_a_patch_that_is_there_already(tree: Path) -> None:
    patches.apply(SERIES[:1], tree)
    with pytest.raises(ProvisionError, match=rf"{SERIES[0].name} \(mm/cleancache.c has it"):
        patches.apply(SERIES[:1], tree)


def test_the_kernel_knows_its_cures(guest_kernel: Kernel) -> None:
    expected = [marker for patch in SERIES for marker in patch.markers]
    assert list(guest_kernel.markers) == (expected if guest_kernel.patched else [])
    exported = re.findall(
        r"\t(tmem_cure_\w+)\t", (guest_kernel.build / "Module.symvers").read_text()
    )
    assert sorted(exported) == sorted(guest_kernel.markers)
