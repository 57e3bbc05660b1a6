# SPDX-License-Identifier: GPL-2.0-or-later
"""What is read of the modules, what people see of it, and one sentence where it cannot be read."""

import dataclasses
import errno
import json
import os
from pathlib import Path

import pytest

from tests.guest.kernel.conftest import System
from tmem_guest.cli import kernel as command
from tmem_guest.cli import main
from tmem_guest.cli.errors import CommandError
from tmem_guest.kernel.attach import attach
from tmem_guest.kernel.debugfs import swap_files
from tmem_guest.kernel.report import described
from tmem_guest.kernel.state import Status, counters, status

Capture = pytest.CaptureFixture[str]
_UUID = "6d1e7b0a-4f0c-4d0e-9d57-3c2b1a0f9e8d"
_NONE = "00000000-0000-0000-0000-000000000000"
_INFO = """\
device virtio2
host_open 1
attached 1
state running
session 305419896
epoch 3
last_code -5
queued 7
staged 5
waiting 0
waiting_loads 0
owed 0
"""
_MOUNTS = f"""\
id=1 kind=private uuid={_NONE} pool=0 state=open was_member=N
id=2 kind=shared uuid={_UUID} pool=1 state=open was_member=Y
id=3 kind=shared uuid={_UUID} pool=2 state=open was_member=N
id=4 kind=private uuid={_NONE} pool=-1 state=none was_member=N
"""
_POOLS = f"""\
0 ready ephemeral private uuid={_NONE} host_id=7 refused=0 owed_objects=0 owed_pages=0
1 stays-out ephemeral shared uuid={_UUID} host_id=-1 refused=0 owed_objects=0 owed_pages=0
2 ready ephemeral private uuid={_UUID} host_id=8 refused=0 owed_objects=0 owed_pages=0
"""


@pytest.fixture
def attached(system: System) -> System:
    """A guest whose kernel uses tmem."""
    attach(system.root)
    system.debug(
        "hooks",
        counters="mounts_uncured 0\nputs 5\n",
        mounts=_MOUNTS,
        areas="type=0 pages=65536 held=12 taken=Y\n",
        frontswap_pages="12\n",
    )
    system.debug("transport", counters="kicks 9\nputs 4\n", info=_INFO, pools=_POOLS)
    return system


def _line(text: str, begin: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(begin))


def _described(system: System, **session: int | str) -> str:
    found = status(system.root)
    changed = None if found.session is None else found.session | session
    return described(dataclasses.replace(found, session=changed))


def test_nothing_is_loaded(system: System) -> None:
    found = status(system.root)
    assert found == Status(
        hooks=False,
        transport=False,
        attached=False,
        device=None,
        session=None,
        pools=[],
        mounts=[],
        areas=[],
        frontswap_pages=None,
        uncured_mounts=0,
        missing_cures=[],
    )
    assert described(found) == (
        "kernel   does not use tmem; run: tmem-guest kernel attach\nmodules  none is loaded"
    )
    with pytest.raises(CommandError, match=r"^the kernel does not use tmem; run: "):
        counters(system.root)


def test_attached(attached: System) -> None:
    assert (
        described(status(attached.root))
        == f"""\
kernel   uses tmem, over virtio2
modules  tmem_hooks, tmem_transport
session  runs: 0x12345678, epoch 3
waiting  nobody
queue    7 operations are on their way, 5 pages staged, no flushes owed
swap     12 pages are with the host

MOUNT  POOL  KIND     UUID
1      0     private  {_NONE}
2      1     shared   {_UUID}  left out of the shared pool until the next mount
3      2     shared   {_UUID}  private: the host does not let this guest share it
4      -1    private  {_NONE}  no pool

AREA  PAGES  WITH THE HOST
0     65536  12"""
    )


@pytest.mark.parametrize(
    ("state", "note"),
    [
        ("ready ephemeral private", ""),
        ("wanted ephemeral private", "the host is to be asked"),
        ("asked ephemeral private", "the host has not answered"),
        ("refused ephemeral private", "the host refuses a pool (-1)"),
        ("leaving ephemeral private", "being left"),
    ],
)
def test_notes(attached: System, state: str, note: str) -> None:
    attached.debug("transport", pools=f"0 {state} refused=-1\n")
    assert status(attached.root).mounts[0]["note"] == note


def test_a_pool_that_is_not_granted_yet_is_not_called_private(attached: System) -> None:
    attached.debug("transport", pools="2 asked ephemeral private refused=0\n")
    mount = next(mount for mount in status(attached.root).mounts if mount["pool"] == 2)
    assert (mount["kind"], mount["note"]) == ("shared", "the host has not answered")


def test_uncured(attached: System) -> None:
    symbols = "".join(f"0000 R tmem_cure_{cure}\t[ocfs2]\n" for cure in ("f8", "s1", "s4", "s5"))
    (attached.root / "proc/kallsyms").write_text(symbols)
    assert status(attached.root).missing_cures == []
    attached.debug("hooks", counters="mounts_uncured 2\n")
    found = status(attached.root)
    assert (found.uncured_mounts, found.missing_cures) == (2, ["S2", "S3"])
    assert (
        "S2, S3 are not in this kernel: what could be shared got a private pool 2 times"
        in described(found)
    )


def test_who_waits(attached: System) -> None:
    text = _described(attached, waiting=3, waiting_loads=1)
    assert _line(text, "waiting") == "waiting  3 operations, 1 of them for a page of swap"


def test_what_is_owed(attached: System) -> None:
    text = _described(attached, queued=2048, staged=0, owed=262144)
    assert _line(text, "queue") == (
        "queue    2048 operations are on their way, 0 pages staged, 262144 flushes owed"
    )


def test_no_session(attached: System) -> None:
    text = _described(attached, state="hello")
    assert _line(text, "session") == "session  none yet: hello, last error -5"
    text = _described(attached, state="closed", host_open=0)
    assert _line(text, "session") == "session  none: no service has the port open on the host"


def test_detached(attached: System) -> None:
    (attached.root / "sys/module/tmem_transport/parameters/attached").write_text("N\n")
    assert _line(_described(attached), "kernel") == (
        "kernel   is detached; run: tmem-guest kernel attach"
    )


def test_debugfs_is_not_mounted(attached: System) -> None:
    (attached.root / "sys/kernel/debug/tmem").rename(attached.root / "elsewhere")
    (attached.root / "proc/mounts").write_text("sysfs /sys sysfs rw 0 0\n")
    with pytest.raises(CommandError) as caught:
        status(attached.root)
    assert str(caught.value) == (
        "debugfs is not mounted; run: mount -t debugfs debugfs /sys/kernel/debug"
    )


def test_modules_of_another_make(attached: System) -> None:
    (attached.root / "sys/kernel/debug/tmem/hooks/areas").unlink()
    with pytest.raises(CommandError, match=r"^the module tmem_hooks has no .*areas: it is of "):
        status(attached.root)


def test_not_root(attached: System, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.read_text

    def read_text(path: Path, *arguments: str | None, **named: str | None) -> str:
        if "debug" in path.parts:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", read_text)
    with pytest.raises(CommandError, match=r"^only root may read .*/sys/kernel/debug/tmem/"):
        status(attached.root)


def test_swap_files(system: System) -> None:
    assert swap_files(system.root) == []


def test_commands(attached: System, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(command, "_ROOT", attached.root)
    assert main(["kernel", "attach", "poll_us=0"]) == 0
    assert capsys.readouterr().out == "the kernel uses tmem, over virtio2\n"
    with pytest.raises(SystemExit) as stopped:
        main(["kernel", "attach", "poll_us"])
    assert stopped.value.code == 2
    assert "'poll_us' is not NAME=VALUE" in capsys.readouterr().err
    assert main(["kernel", "status"]) == 0
    assert "uses tmem" in capsys.readouterr().out
    assert main(["kernel", "status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["attached"], found["frontswap_pages"]) == (True, 12)
    assert main(["kernel", "counters"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "hooks.mounts_uncured 0",
        "hooks.puts 5",
        "transport.kicks 9",
        "transport.puts 4",
    ]
    assert main(["kernel", "counters", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["transport"] == {"kicks": 9, "puts": 4}
    assert main(["kernel", "detach"]) == 0
    assert main(["kernel", "detach"]) == 0
    assert capsys.readouterr().out == "the kernel uses tmem no more\nthe kernel did not use tmem\n"
    attached.programs(missing="tmem_transport")
    assert main(["kernel", "attach"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("tmem-guest: there is no module tmem_transport for the kernel ")
