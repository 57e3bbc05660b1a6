# SPDX-License-Identifier: GPL-2.0-or-later
"""What README.md shows is what happens."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_text_says(arena_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (path,) = set(re.findall(r'"(/dev/shm/[^"]+)"', example))
    assert f"tmem arena check {path}" in README
    done = subprocess.run(
        [sys.executable, "-c", example.replace(path, str(arena_path))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = re.search(r"It prints `([^`]*)`, then `([^`]*)`", README)
    assert said is not None
    assert done.stdout.splitlines() == list(said.groups())


def test_the_service_gives_a_guest_its_pages_back(arena_path: Path) -> None:
    (script,) = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    folder = arena_path.parent
    for path in ("/tmp/tmem-demo.toml", "/tmp/tmem-demo", "/dev/shm/tmem-demo"):
        script = script.replace(path, str(folder / Path(path).name))
    # on a machine that is busy, longer
    script = script.replace("--timeout 30", "--timeout 120")
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail\n{script}\nwait $!"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    licence = (TOP / "LICENSE").read_text(encoding="utf-8").splitlines()
    lines = done.stdout.splitlines()
    assert lines[:3] == licence[:3]
    assert "5 persistent in 12" in done.stdout
    assert "session-resumed" in done.stderr


@pytest.mark.parametrize("path", sorted(set(re.findall(r"^([\w/-]+/)  +", README, re.MULTILINE))))
def test_the_folders_it_lists_exist(path: str) -> None:
    assert (TOP / path).is_dir()


def test_every_top_folder_is_listed() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    tops = {Path(path).parts[0] for path in tracked if "/" in path}
    listed = {path.split("/")[0] for path in re.findall(r"^([\w/-]+/)  +", README, re.MULTILINE)}
    assert {top for top in tops if not top.startswith(".")} - {"LICENSES"} == listed


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?make ([\w-]+)", README))))
def test_the_commands_it_names_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (TOP / "Makefile").read_text(), re.MULTILINE)
