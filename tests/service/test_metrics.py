# SPDX-License-Identifier: GPL-2.0-or-later
"""The metrics of a live service, read by Prometheus' own parser."""

import contextlib
import re
import socket
import urllib.request
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.server.peer import page_of
from tests.service.live import Live
from tests.service.states import States
from tmem_host.native import Counters

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
Key = tuple[str, ...]


def scrape(path: Path) -> list[Metric]:
    """What Prometheus would read at the unix socket."""
    with socket.socket(socket.AF_UNIX) as reader:
        reader.connect(str(path))
        reader.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        answer = b""
        while data := reader.recv(65536):
            answer += data
    return [*text_string_to_metric_families(answer.partition(b"\r\n\r\n")[2].decode())]


def samples_of(families: list[Metric]) -> dict[Key, float]:
    """Values by name and the values of the labels, by the labels' names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_what_clients_did_is_in_them(stopped: Live) -> None:
    path = stopped.folder / "metrics.sock"
    stopped.write_config(f"[metrics]\nsocket = '{path}'\n")
    stopped.start()
    guest = stopped.guest("vm/user")
    pool = guest.new_pool()
    guest.put(pool, 0, page_of(1))
    guest.put(pool, 1, page_of(1))
    guest.get(pool, 0)
    guest.get(pool, 0)
    samples = samples_of(scrape(path))
    assert samples["kvmtmem_up",] == 1
    assert samples["kvmtmem_puts_total", "user", "vm", "stored"] == 2
    assert samples["kvmtmem_gets_total", "user", "vm", "hit"] == 1
    assert samples["kvmtmem_gets_total", "user", "vm", "miss"] == 1
    assert samples["kvmtmem_client_connected", "user", "vm"] == 1
    assert samples["kvmtmem_original_bytes", "user", "vm", "ephemeral"] == 4096
    assert samples["kvmtmem_budget_bytes",] == 32 << 20
    assert stopped.stop() == 0
    assert not path.exists()


def test_clients_in_every_state_are_in_them(states: States) -> None:
    assert states.present.echo()
    samples = samples_of(scrape(states.live.folder / "metrics.sock"))
    connected = {
        key[2]: value for key, value in samples.items() if key[0] == "kvmtmem_client_connected"
    }
    assert {name for name, value in connected.items() if value} == {
        "active",
        "frozen",
        "capped",
        "present",
    }
    assert samples["kvmtmem_client_frozen", "kernel", "frozen"] == 1
    assert samples["kvmtmem_puts_total", "kernel", "frozen", "refused_frozen"] == 1
    assert samples["kvmtmem_client_cap_bytes", "kernel", "capped"] == 1
    assert samples["kvmtmem_pages", "kernel", "waiting", "persistent"] == 1
    assert samples["kvmtmem_unserved_pools",] == 1


def test_every_metric_is_documented_as_it_is(states: States) -> None:
    rows = re.findall(r"^\| `\w+` \|.*\|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [row_of(family) for family in scrape(states.live.folder / "metrics.sock")]


def row_of(family: Metric) -> str:
    """What the document says of it: of labels that are no names, every value."""
    labels: dict[str, set[str]] = {}
    for sample in family.samples:
        for label, value in sample.labels.items():
            labels.setdefault(label, set()).add(value)
    names = [name for name in ("domain", "channel", "version") if name in labels]
    told = [f"`{name}`" for name in names]
    told += [f"`{name}`: {', '.join(sorted(labels[name]))}" for name in labels.keys() - names]
    name = family.name + ("_total" if family.type == "counter" else "")
    return f"| `{name}` | {family.type} | {'; '.join(told)} | {family.documentation} |"


def test_names_are_as_prometheus_wants_them(states: States) -> None:
    for family in scrape(states.live.folder / "metrics.sock"):
        assert family.name.startswith("kvmtmem_")
        assert family.documentation
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total"), sample.name
            assert not re.search(r"_(ms|us|ns|kib|mib|pages_bytes)\b", sample.name)


def test_every_outcome_of_puts_and_gets_is_in_them(states: States) -> None:
    """puts = stored + replaced + refused, whatever the reason: no counter of the engine is left
    out."""
    samples = samples_of(scrape(states.live.folder / "metrics.sock"))
    for metric, prefixes in (
        ("kvmtmem_puts_total", ("puts_", "refused_")),
        ("kvmtmem_gets_total", ("gets_",)),
    ):
        outcomes = {key[3] for key in samples if key[0] == metric}
        counters = {name for name in Counters.__slots__ if name.startswith(prefixes)}
        # a get of an empty pool is no get
        assert len(outcomes) == len(counters - {"gets_empty"}), metric


def test_they_may_be_on_a_loopback_port(stopped: Live) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stopped.write_config(f"[metrics]\nport = {port}\n")
    stopped.start()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert b"kvmtmem_build_info" in answer.read()


def test_they_are_off_by_default(live: Live) -> None:
    assert not [*live.folder.glob("metrics*")]
    listening = Path("/proc/net/tcp").read_text(encoding="ascii")
    pid = live.call("service.info")["pid"]
    inodes: set[str] = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            inodes |= {*re.findall(r"socket:\[(\d+)\]", str(file.readlink()))}
    assert not inodes & {line.split()[9] for line in listening.splitlines()[1:]}
