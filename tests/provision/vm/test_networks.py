# SPDX-License-Identifier: GPL-2.0-or-later
"""Networks between VMs."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tmem_host.provision.vm import networks as module
from tmem_host.provision.vm.errors import BadName, VmError
from tmem_host.provision.vm.networks import Networks


def names(state: Path) -> list[str]:
    return sorted(path.name for path in state.glob("*.json"))


def test_members_meet_and_differ(state: Path) -> None:
    networks = Networks(state)
    a, b = networks.join("lan", "a"), networks.join("lan", "b")
    assert (a.group, a.port) == (b.group, b.port)
    assert (a.address, b.address) == ("10.77.0.1/24", "10.77.0.2/24")
    assert a.mac != b.mac
    assert networks.join("lan", "a") == a
    other = networks.join("wan", "a")
    assert other.address == "10.77.1.1/24"
    assert other.mac != a.mac
    assert networks.links("a") == {"lan": a, "wan": other}


def test_a_network_lives_as_long_as_somebody_is_on_it(state: Path) -> None:
    networks = Networks(state)
    networks.leave("nobody")
    for vm in ("a", "b"):
        networks.join("lan", vm)
    networks.leave("a")
    assert names(state) == ["lan.json"]
    assert networks.join("lan", "c").address == "10.77.0.1/24"
    networks.leave("b")
    networks.leave("c")
    assert names(state) == []


def test_joining_at_the_same_time(state: Path) -> None:
    def join(number: int) -> str:
        return Networks(state).join("lan", f"vm{number}").address

    with ThreadPoolExecutor(8) as pool:
        addresses = list(pool.map(join, range(40)))
    assert len(set(addresses)) == 40


def test_a_full_network(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMBERS_MAX", 2)
    networks = Networks(state)
    for vm in ("a", "b"):
        networks.join("lan", vm)
    with pytest.raises(VmError, match="the network lan is full"):
        networks.join("lan", "c")


def test_bad_name(state: Path) -> None:
    with pytest.raises(BadName, match="the name of a network"):
        Networks(state).join("../lan", "a")


def test_a_damaged_file_names_itself(state: Path) -> None:
    (state / "lan.json").write_text("{")
    with pytest.raises(VmError, match=r"cannot read the network .*lan\.json"):
        Networks(state).join("lan", "a")


def test_whoever_is_killed_leaves_a_file_whole(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = Networks(state)
    link = networks.join("lan", "a")

    def killed(path: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            networks.join("lan", "b")
    assert (state / "lan.new").exists()
    assert networks.links("a") == {"lan": link}
    assert sorted(path.name for path in state.iterdir()) == ["lan.json", "lock"]
