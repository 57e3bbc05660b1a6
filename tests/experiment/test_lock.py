# SPDX-License-Identifier: GPL-2.0-or-later
"""One experiment at a time."""

import os
import tempfile
from pathlib import Path

import pytest

from tmem_host.experiment import lock
from tmem_host.experiment.errors import ExperimentError
from tmem_host.experiment.lock import only_one
from tmem_host.provision.progress import Silent


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of this test's own, and with it the lock."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_the_second_one_is_told_of_the_first() -> None:
    with only_one(Silent()) as state:
        assert state.is_dir()
        with (
            pytest.raises(
                ExperimentError, match=f"another experiment runs, in process {os.getpid()}"
            ),
            only_one(Silent()),
        ):
            pass
        assert state.is_dir()
    assert not state.exists()
    with only_one(Silent()) as again:
        assert again != state


def test_it_ends_with_whatever_went_wrong() -> None:
    with pytest.raises(ValueError, match="x"), only_one(Silent()) as state:
        raise ValueError("x")
    assert not state.exists()
    with only_one(Silent()):
        pass


def test_a_record_of_what_was_left_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a folder that an experiment can have made is removed."""

    def remove(left: Path, **_: int) -> None:
        raise AssertionError(f"{left} is to be removed")

    monkeypatch.setattr(lock, "PrivateService", remove)
    elsewhere = tmp_path / "tmem-x-mine"
    elsewhere.mkdir()
    mine = Path(tempfile.mkdtemp(prefix="mine-", dir="/var/tmp"))
    folders = [f'{{"state": "{folder}"}}' for folder in (elsewhere, mine)]
    for text in ("", "nonsense", "[]", '{"state": 5}', *folders):
        (tmp_path / "kvm-tmem").mkdir(exist_ok=True)
        (tmp_path / "kvm-tmem/experiment.lock").write_text(text)
        with only_one(Silent()):
            pass
    assert elsewhere.is_dir()
    mine.rmdir()


def test_nowhere_to_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_PARENT", tmp_path / "missing")
    with (
        pytest.raises(
            ExperimentError, match=r"cannot make a directory for the experiment in .*: No"
        ),
        only_one(Silent()),
    ):
        pass
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "kvm-tmem/experiment.lock").unlink()
    (tmp_path / "kvm-tmem/experiment.lock").mkdir()
    with (
        pytest.raises(ExperimentError, match=r"cannot lock .*: Is a directory"),
        only_one(Silent()),
    ):
        pass
