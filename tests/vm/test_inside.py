# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem vm exec, cp and console: into a guest and back, while another process has libvirt open."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.vm.conftest import MakeVm
from tests.vm.guest import Guest

Tmem = Callable[..., subprocess.CompletedProcess[bytes]]
TMEM = str(Path(sys.executable).with_name("tmem"))


@pytest.fixture
def guest(make_vm: MakeVm) -> Guest:
    return make_vm("inside")[0]


@pytest.fixture
def tmem(guest: Guest) -> Tmem:
    """Runs `tmem vm`."""

    def run(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [TMEM, "vm", *words],
            input=stdin,
            env=os.environ | {"TMEM_VM_STATE": str(guest.vms.places.state)},
            capture_output=True,
            check=False,
        )

    return run


def test_commands_and_files(guest: Guest, tmem: Tmem, tmp_path: Path) -> None:
    done = tmem("exec", "inside", "--", "sh", "-c", "tr a-z A-Z; echo oh >&2; exit 3", stdin=b"abc")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"ABC", b"oh\n")
    assert tmem("exec", "inside", "sh", "-c", "kill -9 $$").returncode == 137
    assert tmem("exec", "--limit", "1", "inside", "sleep", "600").returncode == 124
    done = tmem("exec", "--env", "A=b", "--cwd", "/tmp", "inside", "sh", "-c", "echo $A; pwd")
    assert done.stdout == b"b\n/tmp\n"
    done = tmem("exec", "inside", "no-such-program")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no-such-program" in done.stderr
    assert done.stderr.count(b"\n") == 1

    data = os.urandom(3 << 20)
    (tmp_path / "up").write_bytes(data)
    (tmp_path / "up").chmod(0o750)
    assert tmem("cp", str(tmp_path / "up"), "inside:/root/").returncode == 0
    assert guest.run("stat", "-c", "%a %s", "/root/up") == f"750 {3 << 20}\n"
    assert tmem("cp", "inside:/root/up", str(tmp_path / "down")).returncode == 0
    assert (tmp_path / "down").read_bytes() == data
    assert (tmp_path / "down").stat().st_mode & 0o7777 == 0o750
    assert tmem("cp", "inside:/proc/version", str(tmp_path)).returncode == 0
    assert b"Linux version" in (tmp_path / "version").read_bytes()

    done = tmem("cp", "inside:/no/such", str(tmp_path / "down"))
    assert done.returncode == 1
    assert b"/no/such" in done.stderr
    assert (tmp_path / "down").read_bytes() == data
    assert sorted(path.name for path in tmp_path.iterdir()) == ["down", "up", "version"]
    assert tmem("cp", str(tmp_path / "none"), "inside:/x").returncode == 1


def test_console(guest: Guest) -> None:
    environment = os.environ | {"TMEM_VM_STATE": str(guest.vms.places.state)}
    command = [TMEM, "vm", "console", "inside"]
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=subprocess.PIPE, env=environment
    )
    os.close(terminal)
    seen = b""
    deadline = time.monotonic() + 120
    while b"=42=" not in seen:
        assert time.monotonic() < deadline, seen
        # until a shell is there to answer
        os.write(master, b"echo =$((6 * 7))=\r")
        while select.select([master], [], [], 1)[0]:
            seen += os.read(master, 4096)
    # one at a time
    second = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert second.returncode == 1
    assert b"another process is on the console of inside" in second.stderr
    os.write(master, b"\x1d")
    _, said = process.communicate()
    os.close(master)
    assert process.returncode == 0
    assert b"Ctrl-] leaves" in said
    assert "=42=" in guest.serial()
