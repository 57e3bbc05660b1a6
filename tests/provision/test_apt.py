# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of a host's apt sources an image is made from."""

from tmem_host.provision.apt import release_sources

_MIRROR = "https://mirror.invalid/debian/"


def _target(release: str, **fields: str) -> dict[str, str]:
    return {"Repo-URI": _MIRROR, "Component": "main", "Release": release, **fields}


def test_a_release_with_its_updates_and_security() -> None:
    security = "https://mirror.invalid/debian-security/"
    lines = release_sources(
        [
            _target("bookworm", Origin="Debian"),
            _target("bookworm", Component="non-free", Origin="Debian"),
            # Its lists were never fetched.
            _target("bookworm-updates"),
            _target("bookworm-backports", Origin="Debian"),
            _target("bookworm-security", **{"Repo-URI": security}),
            _target("bookworm", Origin="Somebody else"),
            _target("trixie", Origin="Debian"),
        ],
        "bookworm",
    )
    assert [line.split("] ")[-1].removeprefix("deb ") for line in lines] == [
        f"{_MIRROR} bookworm main",
        f"{_MIRROR} bookworm-updates main",
        f"{security} bookworm-security main",
    ]
    assert all(line.startswith("deb ") for line in lines)


def test_another_release_than_the_hosts() -> None:
    assert release_sources([_target("trixie", Origin="Debian")], "bookworm") == []
