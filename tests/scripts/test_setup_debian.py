# SPDX-License-Identifier: GPL-2.0-or-later
"""The package step of make setup, with stand-ins for the system's commands."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "setup-debian"
LIST = SCRIPT.with_name("debian-packages.txt")
WANTED = [line.split()[0] for line in LIST.read_text().splitlines() if line[:1].isalpha()]


class System:
    """A folder of commands that record how they are called."""

    def __init__(
        self, folder: Path, *, installed: list[str], uid: int, libvirt_user: bool = True
    ) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.log.touch()
        for name in ("bash", "awk", "dirname", "grep", "sed"):
            for directory in os.get_exec_path():
                if Path(directory, name).exists():
                    (folder / name).symlink_to(Path(directory, name))
                    break
        lines = "".join(f"{name} installed\\n" for name in installed)
        self.command("dpkg-query", f"printf '{lines}'")
        self.command("id", f"echo {uid}")
        self.command("apt-get", f'echo "apt-get $* [$DEBIAN_FRONTEND]" >>{self.log}')
        self.command("getent", f"exit {0 if libvirt_user else 2}")
        for name in ("useradd", "groupadd"):
            self.command(name, f'echo "{name} $*" >>{self.log}')

    def command(self, name: str, body: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def setup(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", SCRIPT],
            env={"PATH": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )


def test_nothing_missing_is_silent(tmp_path: Path) -> None:
    system = System(tmp_path, installed=WANTED, uid=1000)
    done = system.setup()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert system.log.read_text() == ""


def test_root_installs_what_is_missing_and_only_that(tmp_path: Path) -> None:
    missing = WANTED[2:4]
    system = System(tmp_path, installed=[w for w in WANTED if w not in missing], uid=0)
    done = system.setup()
    assert (done.returncode, done.stderr) == (0, "")
    update, install = system.log.read_text().splitlines()
    assert " update" in update
    assert install.endswith(f"--yes {' '.join(missing)} [noninteractive]")
    assert " install " in install


def test_root_makes_the_user_that_libvirt_needs(tmp_path: Path) -> None:
    done = System(tmp_path, installed=WANTED, uid=0, libvirt_user=False).setup()
    assert (done.returncode, done.stderr) == (0, "")
    made = (tmp_path / "log").read_text().splitlines()
    assert [line.split()[0] for line in made] == ["groupadd", "groupadd", "useradd"]
    assert made[-1].endswith("--gid kvm --groups libvirt-qemu libvirt-qemu")


def test_anybody_else_is_told_the_command(tmp_path: Path) -> None:
    missing = WANTED[-1]
    system = System(tmp_path, installed=WANTED[:-1], uid=1000)
    done = system.setup()
    assert done.returncode == 1
    assert done.stderr.endswith(f"apt-get install {missing}\n")
    assert len(done.stderr.splitlines()) == 1
    assert system.log.read_text() == ""


def test_a_package_that_was_removed_is_missing(tmp_path: Path) -> None:
    system = System(tmp_path, installed=WANTED, uid=1000)
    lines = "".join(f"{name} config-files\\n" for name in WANTED)
    system.command("dpkg-query", f"printf '{lines}'")
    assert system.setup().returncode == 1


def test_a_failing_installation_fails(tmp_path: Path) -> None:
    system = System(tmp_path, installed=WANTED[1:], uid=0)
    system.command("apt-get", "exit 100")
    assert system.setup().returncode == 100


def test_another_system_is_told_what_to_look_for(tmp_path: Path) -> None:
    system = System(tmp_path, installed=[], uid=1000)
    (tmp_path / "dpkg-query").unlink()
    done = system.setup()
    assert done.returncode == 0
    for name in WANTED:
        assert name in done.stderr


@pytest.mark.parametrize("name", ["gcc", "clang-14", "python3-venv", "liblz4-dev"])
def test_the_list_is_read(name: str) -> None:
    assert name in WANTED
