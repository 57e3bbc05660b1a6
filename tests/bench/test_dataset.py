# SPDX-License-Identifier: GPL-2.0-or-later
"""The data set: which pages, in which order, under which hash."""

import hashlib
import os
import struct
from pathlib import Path

import pytest

from tmem_host.bench.dataset import ROOTS, files, gather
from tmem_host.bench.errors import BenchError
from tmem_host.native import PAGE_BYTES


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Folders with files of several sizes, links, and things that are no files."""
    root = tmp_path / "tree"
    (root / "b").mkdir(parents=True)
    (root / "b/long").write_bytes(b"L" * (2 * PAGE_BYTES + 1))
    (root / "a").write_bytes(b"A" * 10)
    (root / "empty").write_bytes(b"")
    (root / "c").write_bytes(b"C" * PAGE_BYTES)
    os.link(root / "a", root / "z-second-name")
    (root / "symlink").symlink_to(root / "c")
    os.mkfifo(root / "fifo")
    return root


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_roots_are_those_of_the_documentation() -> None:
    assert ROOTS == ("/usr/bin", "/usr/share/doc", "/usr/lib")


def test_files_are_sorted_and_come_once(tree: Path) -> None:
    assert list(files([str(tree)])) == [str(tree / name) for name in ("a", "b/long", "c")]


def test_roots_keep_their_order(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "a-root-before"
    other.mkdir()
    (other / "file").write_bytes(b"x")
    found = list(files([str(tree), str(other)]))
    assert found[0] == str(tree / "a")
    assert found[-1] == str(other / "file")


def test_pages_and_handles(tree: Path, out: Path) -> None:
    data_set = gather(out, 5 * PAGE_BYTES, [str(tree)])
    assert (data_set.pages, data_set.files, data_set.unreadable) == (5, 3, 0)
    assert data_set.content_bytes == 10 + 2 * PAGE_BYTES + 1 + PAGE_BYTES
    pages = (out / "pages").read_bytes()
    assert pages == b"".join(
        (
            (b"A" * 10).ljust(PAGE_BYTES, b"\0"),
            (b"L" * (2 * PAGE_BYTES + 1)).ljust(3 * PAGE_BYTES, b"\0"),
            b"C" * PAGE_BYTES,
        )
    )
    handles = list(struct.iter_unpack("=II", (out / "handles").read_bytes()))
    assert handles == [(0, 0), (1, 0), (1, 1), (1, 2), (2, 0)]


def test_the_last_file_is_cut(tree: Path, out: Path) -> None:
    data_set = gather(out, 3 * PAGE_BYTES, [str(tree)])
    assert (data_set.pages, data_set.files) == (3, 2)
    assert data_set.content_bytes == 10 + 2 * PAGE_BYTES
    assert (out / "pages").stat().st_size == 3 * PAGE_BYTES


def test_the_hash_is_of_the_list(tree: Path, out: Path) -> None:
    data_set = gather(out, 5 * PAGE_BYTES, [str(tree)])
    listing = b"".join(
        b"%s\0%d\0%s\n"
        % (os.fsencode(tree / name), len(contents), hashlib.sha256(contents).hexdigest().encode())
        for name, contents in (
            ("a", b"A" * 10),
            ("b/long", b"L" * (2 * PAGE_BYTES + 1)),
            ("c", b"C" * PAGE_BYTES),
        )
    )
    assert data_set.sha256 == hashlib.sha256(listing).hexdigest()


def test_other_contents_are_another_hash(tree: Path, out: Path) -> None:
    before = gather(out, 5 * PAGE_BYTES, [str(tree)])
    (tree / "c").write_bytes(b"D" * PAGE_BYTES)
    after = gather(out, 5 * PAGE_BYTES, [str(tree)])
    assert (before.pages, before.files) == (after.pages, after.files)
    assert before.sha256 != after.sha256


def test_too_few_files(tree: Path, out: Path) -> None:
    with pytest.raises(BenchError, match=r"make 5 pages, 6 are needed"):
        gather(out, 6 * PAGE_BYTES, [str(tree)])


def test_a_root_that_is_not_there(out: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"nowhere make 0 pages"):
        gather(out, PAGE_BYTES, [str(tmp_path / "nowhere")])


def test_unreadable_files_are_counted(
    tree: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # root may read everything, hence a system call that says no
    real_open = open

    def guarded(path: object, *arguments: object, **keywords: object) -> object:
        if path == str(tree / "b/long"):
            raise PermissionError(13, "Permission denied", path)
        return real_open(path, *arguments, **keywords)  # type: ignore[call-overload]

    monkeypatch.setattr("builtins.open", guarded)
    data_set = gather(out, 2 * PAGE_BYTES, [str(tree)])
    assert (data_set.files, data_set.unreadable) == (2, 1)
