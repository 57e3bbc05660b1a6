# SPDX-License-Identifier: GPL-2.0-or-later
"""Which mirrors, releases and keyrings the host's apt sources name."""

from pathlib import Path

import pytest

from tmem_host.provision import ProvisionError
from tmem_host.provision.apt import debian_release, keyring, release_sources

_MIRROR = "http://mirror.example/debian/"
_SECURITY = "http://mirror.example/debian-security/"


def _target(**fields: str) -> dict[str, str]:
    usual = {
        "Component": "main",
        "Origin": "Debian",
        "Release": "bookworm",
        "Repo-URI": _MIRROR,
    }
    return {**usual, **{name.replace("_", "-"): value for name, value in fields.items()}}


OTHERS = [
    _target(Release="bookworm-updates"),
    _target(Release="bookworm-backports"),
    _target(Release="bookworm-security", Repo_URI=_SECURITY),
    _target(Component="contrib"),
    _target(Origin="Somebody", Repo_URI="http://apt.example/tool/"),
    _target(Origin="", Repo_URI="http://apt.example/tool/"),
]


@pytest.mark.parametrize("origin", ["Debian", ""], ids=["updated", "never updated"])
def test_the_release_itself(origin: str) -> None:
    release = _target(Origin=origin)
    assert debian_release([*OTHERS, release]) == release
    assert debian_release([release, *OTHERS]) == release


def test_no_debian() -> None:
    with pytest.raises(ProvisionError, match="no mirror of Debian"):
        debian_release(OTHERS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "debian.sources",
            "Types: deb\nURIs: http://apt.example/tool\nSigned-By: /keys/tool.gpg\n\n"
            "Types: deb\nURIs: http://mirror.example/debian\nSigned-By: /keys/debian.gpg\n",
        ),
        (
            "sources.list",
            "deb [signed-by=/keys/tool.gpg] http://apt.example/tool stable main\n"
            "deb [arch=amd64 signed-by=/keys/debian.gpg] http://mirror.example/debian x main\n",
        ),
    ],
)
def test_the_keyring(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    found = keyring(f"{tmp_path / name}:1", _MIRROR)
    assert found == Path("/keys/debian.gpg")


def test_no_keyring_is_named(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://mirror.example/debian x main\n")
    found = keyring(f"{tmp_path}/sources.list:1", _MIRROR)
    assert found in (None, Path("/usr/share/keyrings/debian-archive-keyring.gpg"))


def test_a_release_with_its_updates_and_security() -> None:
    lines = release_sources(
        [
            _target(),
            _target(Component="non-free"),
            # Its lists were never fetched.
            _target(Release="bookworm-updates", Origin=""),
            _target(Release="bookworm-backports"),
            _target(Release="bookworm-security", Repo_URI=_SECURITY),
            _target(Origin="Somebody else"),
            _target(Release="trixie"),
        ],
        "bookworm",
    )
    assert [line.split("] ")[-1].removeprefix("deb ") for line in lines] == [
        f"{_MIRROR} bookworm main",
        f"{_MIRROR} bookworm-updates main",
        f"{_SECURITY} bookworm-security main",
    ]
    assert all(line.startswith("deb ") for line in lines)


def test_another_release_than_the_hosts() -> None:
    assert release_sources([_target(Release="trixie")], "bookworm") == []
