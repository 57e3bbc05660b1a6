# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages of Debian releases, by an apt of our own.

The host's apt is asked for its mirror, its keyring and how it reaches them, and is left as it is:
lists, cache and state of a download are in a temporary directory.
"""

import os
import re
import tempfile
from pathlib import Path

from tmem_host.provision.errors import ProvisionError
from tmem_host.provision.processes import output_of, require

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_NOT_A_RELEASE = re.compile(r"-(security|updates|backports|proposed|debug)|/updates$")


def download(package: str, suite: str, into: Path) -> Path:
    """Downloads the newest `package` of the Debian release `suite`, verified as apt does.

    Returns its path in `into`. ProvisionError if this host knows no Debian mirror, or the mirror
    has no such release or package any more.
    """
    require({"apt-get": "apt", "apt-config": "apt"})
    target = debian_release(_host_targets())
    with tempfile.TemporaryDirectory(prefix="tmem-apt-") as folder:
        environment = _private_apt(Path(folder), target, suite)
        try:
            output_of(["apt-get", "-qq", "update"], env=environment)
            output_of(["apt-get", "-qq", "download", package], cwd=into, env=environment)
        except ProvisionError as error:
            raise ProvisionError(
                f"cannot get {package} of {suite} from {target['Repo-URI']}: {error}"
            ) from error
    (path,) = into.glob(f"{package}_*.deb")
    return path


def sources(suite: str) -> list[str]:
    """The lines of a sources.list for the Debian release `suite`, as this host would fetch it.

    With its updates and security if the host has that release itself. ProvisionError if this host
    knows no Debian mirror.
    """
    require({"apt-get": "apt", "apt-config": "apt"})
    targets = _host_targets()
    return release_sources(targets, suite) or [_line(debian_release(targets), suite)]


def release_sources(targets: list[dict[str, str]], suite: str) -> list[str]:
    """The lines for those `targets` that are of the release `suite`. Public for the tests."""
    wanted = {suite, f"{suite}-updates", f"{suite}-security"}
    return [
        _line(target, target["Release"])
        for target in targets
        if target.get("Origin", "Debian") in ("Debian", "")
        and target.get("Component") == "main"
        and target.get("Release") in wanted
    ]


def acquire_options() -> list[str]:
    """The lines of apt's configuration that say how the host reaches its mirror: proxies, checks of
    dates. Not what it fetches for others."""
    return [
        line
        for line in output_of(["apt-config", "dump"]).splitlines()
        if line.startswith("Acquire::") and "IndexTargets" not in line
    ]


def _host_targets() -> list[dict[str, str]]:
    return _targets(output_of(["apt-get", "indextargets", "Created-By: Packages"]))


def _line(target: dict[str, str], suite: str) -> str:
    """The line of a sources.list for `suite` on the mirror of `target`."""
    uri = target["Repo-URI"]
    signed_by = keyring(target.get("Sourcesentry", ""), uri)
    option = f"[signed-by={signed_by}] " if signed_by else ""
    return f"deb {option}{uri} {suite} main"


def _targets(text: str) -> list[dict[str, str]]:
    """What `apt-get indextargets` prints: stanzas of fields."""
    stanzas = (stanza.splitlines() for stanza in text.strip().split("\n\n"))
    return [dict(line.split(": ", 1) for line in lines if ": " in line) for lines in stanzas]


def debian_release(targets: list[dict[str, str]]) -> dict[str, str]:
    """The target that is a Debian release itself, not its updates nor another archive.

    Public for the tests. ProvisionError if there is none.
    """
    for target in targets:
        if (
            target.get("Component") == "main"
            # the lists may never have been fetched; then apt does not know the origin yet
            and target.get("Origin", "Debian") in ("Debian", "")
            and "/debian" in target.get("Repo-URI", "")
            and not _NOT_A_RELEASE.search(target.get("Release", ""))
            and "security" not in target.get("Repo-URI", "")
        ):
            return target
    raise ProvisionError(
        "this host's apt sources name no mirror of Debian; add one below /etc/apt/sources.list.d"
    )


def keyring(entry: str, uri: str) -> Path | None:
    """The Signed-By of the source `entry` (FILE:LINE, as apt says it) that names `uri`.

    Public for the tests. Without one: Debian's own keyring, or what apt trusts by default.
    """
    path = Path(entry.rpartition(":")[0])
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    for stanza in text.split("\n\n") if path.suffix == ".sources" else text.splitlines():
        found = re.search(r"(?:^Signed-By:\s*|\bsigned-by=)(/[^\s\],]+)", stanza, re.M | re.I)
        if found and uri.rstrip("/") in stanza:
            return Path(found[1])
    return _KEYRING if _KEYRING.is_file() else None


def _private_apt(folder: Path, target: dict[str, str], suite: str) -> dict[str, str]:
    """Writes the configuration; returns the environment in which apt uses it."""
    for name in ("lists/partial", "archives/partial", "none"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(_line(target, suite) + "\n")
    places = {
        "Dir::State": folder,
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder,
        "Dir::Cache::archives": folder / "archives",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": folder / "none",
        "Dir::Etc::preferences": folder / "none",
        "Dir::Etc::preferencesparts": folder / "none",
        # neither the host's settings nor its hooks
        "Dir::Etc::main": folder / "none",
        "Dir::Etc::parts": folder / "none",
    }
    lines = [f'{name} "{path}";' for name, path in places.items()]
    if os.geteuid() == 0:
        # apt's own user may not enter our directories
        lines.append('APT::Sandbox::User "root";')
    (folder / "apt.conf").write_text("\n".join([*acquire_options(), *lines]) + "\n")
    return {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C"}
