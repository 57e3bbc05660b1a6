# SPDX-License-Identifier: GPL-2.0-or-later
"""Where provisioning looks and keeps things."""

from pathlib import Path

import pytest

from tmem_host.provision import ProvisionError
from tmem_host.provision.paths import cache_directory, source_root


def test_the_checkout_is_found() -> None:
    assert (source_root() / "vm-configs").is_dir()
    assert (source_root() / "pyproject.toml").is_file()


def test_the_cache_is_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert cache_directory() == tmp_path / "elsewhere" / "kvm-tmem"
    assert cache_directory().is_dir()


@pytest.mark.parametrize("unset", [None, "", "relative/path"])
def test_the_cache_is_in_the_home_else(
    unset: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if unset is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
    assert cache_directory() == tmp_path / ".cache" / "kvm-tmem"


def test_no_place_for_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ProvisionError, match=r"file/kvm-tmem: Not a directory.*XDG_CACHE_HOME"):
        cache_directory()
