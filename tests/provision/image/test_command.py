# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem image: what it prints, what it keeps, and when it is started twice."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tmem_host.cli import main
from tmem_host.provision.image import ImageCache
from tmem_host.provision.image.cache import _FLOCK, Root
from tmem_host.provision.kernel import Kernel

MakeKernel = Callable[[str], Kernel]
_F_OFD_SETLK = 37


def test_build_and_list(
    tiny_root: Root, make_kernel: MakeKernel, capsys: pytest.CaptureFixture[str]
) -> None:
    make_kernel("5.10.1")
    make_kernel("5.10.2")
    assert main(["image", "list"]) == 0
    printed = capsys.readouterr()
    assert (printed.out, "`tmem image build`" in printed.err) == ("", True)

    assert main(["image", "build", "--json"]) == 0
    built = json.loads(capsys.readouterr().out)
    assert built["kernels"] == ["5.10.1", "5.10.2"]
    assert built["bytes"] == Path(built["path"]).stat().st_size
    assert main(["image", "build", "--json", "--kernel", "5.10.2"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["kernels"] == ["5.10.2"]

    assert main(["image", "list", "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(image["hash"] for image in listed) == sorted([built["hash"], second["hash"]])
    assert main(["image", "list"]) == 0
    assert capsys.readouterr().out.count("current  yes") == 2


def test_no_kernel(tiny_root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "build"]) == 1
    assert capsys.readouterr().err == (
        "tmem: no kernel is in the cache; run `tmem kernel build` first\n"
    )


def test_another_kernel(
    tiny_root: Root, make_kernel: MakeKernel, capsys: pytest.CaptureFixture[str]
) -> None:
    make_kernel("5.10.1")
    assert main(["image", "build", "--kernel", "6.1"]) == 1
    assert "no kernel 6.1 is in the cache; `tmem kernel list`" in capsys.readouterr().err


def test_clean(
    tiny_root: Root,
    make_kernel: MakeKernel,
    sources: Path,
    cache: ImageCache,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_kernel("5.10.1")
    assert main(["image", "build"]) == 0
    assert main(["image", "clean"]) == 0
    assert capsys.readouterr().out.endswith("0 images removed\n")
    with open(sources / "guest/tmem_guest/__init__.py", "a") as file:
        file.write("# changed\n")
    assert main(["image", "build"]) == 0
    (old,) = (image for image in cache.images() if image != cache.images()[0])
    assert main(["image", "clean"]) == 0
    assert capsys.readouterr().out.endswith("1 image removed\n")
    assert old not in cache.images()
    assert main(["image", "clean", "--all"]) == 0
    assert cache.images() == []
    assert cache.roots.hashes() == set()


def test_what_a_guest_uses_stays(
    tiny_root: Root,
    make_kernel: MakeKernel,
    cache: ImageCache,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_kernel("5.10.1")
    assert main(["image", "build"]) == 0
    (image,) = cache.images()
    with open(image.path, "rb") as disk:
        # as QEMU holds one on a disk that is shared read-only
        fcntl.fcntl(disk, _F_OFD_SETLK, _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 100, 1, 0))
        assert main(["image", "clean", "--all"]) == 0
        printed = capsys.readouterr()
        assert "is the disk of a running guest and stays" in printed.err
        assert printed.out.endswith("0 images removed\n")
    assert main(["image", "clean", "--all"]) == 0
    assert cache.images() == []


def test_two_at_once_build_once(tiny_root: Root, make_kernel: MakeKernel) -> None:
    make_kernel("5.10.1")
    command = [sys.executable, "-c", "from tmem_host.cli import main; exit(main())"]
    processes = [
        subprocess.Popen([*command, "image", "build"], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = {process.communicate(timeout=120)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(printed) == 1
