# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent reads of a kernel's counters."""

from pathlib import Path

from tmem_guest.agent.counters import counters
from tmem_host.provision.agent import Agent

_FILES = {
    "proc/meminfo": "MemTotal:       16384 kB\nActive(anon):  12 kB\nHugePages_Total:     3\n",
    "proc/vmstat": "nr_free_pages 12\npswpin 0\n",
    "proc/diskstats": (
        " 254       0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n"
        "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0\n"
    ),
    "sys/kernel/debug/frontswap/loads": "17\n",
    "sys/kernel/debug/cleancache/succ_gets": "0\n",
    "sys/kernel/debug/tmem/pool0/puts": "5\n",
    "sys/kernel/debug/tmem/state": "running\n",
    "sys/kernel/debug/other/number": "1\n",
}


def test_what_is_read(tmp_path: Path) -> None:
    for name, text in _FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = counters(str(tmp_path))
    assert found["meminfo"] == {
        "MemTotal": 16384 * 1024,
        "Active(anon)": 12 * 1024,
        "HugePages_Total": 3,
    }
    assert found["vmstat"] == {"nr_free_pages": 12, "pswpin": 0}
    disks = found["diskstats"]
    assert isinstance(disks, dict)
    assert list(disks) == ["vda", "loop0"]
    assert (disks["vda"]["reads"], disks["vda"]["sectors_written"]) == (1, 7)
    assert found["tmem"] == {
        "frontswap/loads": 17,
        "cleancache/succ_gets": 0,
        "tmem/pool0/puts": 5,
    }


def test_a_kernel_without_them(tmp_path: Path) -> None:
    assert counters(str(tmp_path)) == {"meminfo": {}, "vmstat": {}, "diskstats": {}, "tmem": {}}


def test_over_the_port(agent: Agent) -> None:
    found = agent.counters()
    assert found.meminfo["MemTotal"] > found.meminfo["MemFree"] > 0
    assert found.vmstat["pgfault"] > 0
