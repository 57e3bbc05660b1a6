# SPDX-License-Identifier: GPL-2.0-or-later
"""Files to and from a guest: whole or not at all, and never all of one in memory."""

import io
import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.guest.agent.conftest import GuestPort
from tmem_host.provision.agent import Agent, GuestRefused, OutputTooLong
from tmem_shim.agent_protocol import CHUNK_BYTES, WINDOW_BYTES

edges = st.sampled_from([0, 1, CHUNK_BYTES, 2 * CHUNK_BYTES, WINDOW_BYTES, 3 * WINDOW_BYTES])
sizes = st.builds(lambda edge, off: max(0, edge + off), edges, st.integers(-2, 2))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes, st.integers())
def test_a_file_comes_back_as_it_was(agent: Agent, tmp_path: Path, size: int, seed: int) -> None:
    data = random.Random(seed).randbytes(size)
    path = tmp_path / "file"
    agent.write_file(str(path), data)
    assert path.read_bytes() == data
    assert agent.read_file(str(path)) == data


def test_big_files_in_parts(agent: Agent, tmp_path: Path) -> None:
    source, there, back = tmp_path / "source", tmp_path / "there", tmp_path / "back"
    with source.open("wb") as file:
        for seed in range(40):
            file.write(random.Random(seed).randbytes(1 << 20))
    parts: list[int] = []
    with source.open("rb") as file:
        agent.upload(file, str(there), mode=0o640)
    with back.open("wb") as file:
        info = agent.download(str(there), file, received=parts.append)
    assert (info.size_bytes, info.mode) == (40 << 20, 0o640)
    assert sum(parts) == 40 << 20
    assert max(parts) <= CHUNK_BYTES
    assert back.read_bytes() == source.read_bytes()


def test_modes(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "file"
    agent.write_file(str(path), b"new")
    assert path.stat().st_mode & 0o7777 == 0o644
    path.chmod(0o750)
    agent.write_file(str(path), b"replaced")
    assert path.stat().st_mode & 0o7777 == 0o750
    agent.write_file(str(path), b"again", mode=0o4711)
    assert path.stat().st_mode & 0o7777 == 0o4711
    assert path.read_bytes() == b"again"


def test_a_link_is_followed(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    agent.write_file(str(tmp_path / "link"), b"data")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"data"


def test_files_of_the_kernel(agent: Agent) -> None:
    assert agent.read_file("/proc/version").startswith(b"Linux version")
    agent.write_file("/proc/self/comm", b"renamed", in_place=True)
    assert agent.read_file("/proc/self/comm") == b"renamed\n"


def test_in_place_neither_cuts_nor_replaces(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    number = path.stat().st_ino
    agent.write_file(str(path), b"abc", in_place=True)
    assert (path.read_bytes(), path.stat().st_ino) == (b"abc3456789", number)
    with pytest.raises(GuestRefused, match="No such file"):
        agent.write_file(str(tmp_path / "other"), b"abc", in_place=True)


@pytest.mark.parametrize("path", ["/none/such", "/etc"])
def test_what_cannot_be_read_or_written(agent: Agent, path: str) -> None:
    with pytest.raises(GuestRefused, match=f"cannot read '{path}': (No such|not a regular)"):
        agent.read_file(path)
    with pytest.raises(GuestRefused, match=f"cannot write '{path}.*': (No such|not a regular)"):
        agent.write_file(path + "/x" if path.startswith("/none") else path, b"")
    assert agent.ping()


def test_a_pipe_is_refused_at_once(agent: Agent, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(GuestRefused, match="not a regular file"):
        agent.read_file(str(tmp_path / "fifo"))
    with pytest.raises(GuestRefused, match="not a regular file"):
        agent.write_file(str(tmp_path / "fifo"), b"")


def test_no_space(agent: Agent) -> None:
    with pytest.raises(GuestRefused, match="cannot write '/dev/full': No space left") as refused:
        agent.write_file("/dev/full", bytes(1_000_000), in_place=True)
    assert refused.value.errno_name == "ENOSPC"
    assert agent.ping()


def test_more_than_the_caller_wants(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(1000))
    assert len(agent.read_file(str(tmp_path / "file"), max_bytes=1000)) == 1000
    with pytest.raises(OutputTooLong, match="has more than 999 bytes"):
        agent.read_file(str(tmp_path / "file"), max_bytes=999)


class _Broken(io.BytesIO):
    """A file that fails after a megabyte."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 1 << 20:
            raise OSError("the disk is on fire")
        return super().read(size)


@pytest.mark.parametrize("before", [None, b"before"])
def test_an_upload_that_breaks_off_leaves_what_was(
    agent: Agent, port: GuestPort, tmp_path: Path, before: bytes | None
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "file"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(OSError, match="on fire"):
        agent.upload(_Broken(bytes(4 << 20)), str(path))
    assert agent.ping()
    assert [entry.name for entry in folder.iterdir()] == (["file"] if before else [])
    assert before is None or path.read_bytes() == before
