# SPDX-License-Identifier: GPL-2.0-or-later
"""What Prometheus sees: the engine's and the server's numbers, read at the moment it asks.

The label `domain` is libvirt's, so that the series join with those of the libvirt exporter;
`channel` is "kernel", or what follows the slash in a client's name.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from tmem_host.native import (
    PAGE_BYTES,
    Client,
    ClientGone,
    ClientInfo,
    Counters,
    Engine,
    Server,
    SessionState,
)
from tmem_host.service.views import session_of, unserved_pools

LABELS = ("domain", "channel")

# Counters of the engine that are one metric with a label of its own.
_RESULTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "kvmtmem_puts": (
        "Puts by what became of them",
        "result",
        {
            "stored": "puts_stored",
            "replaced": "puts_replaced",
            "refused_frozen": "refused_frozen",
            "refused_cap": "refused_cap",
            "refused_quota": "refused_quota",
            "refused_full": "refused_full",
            "refused_host": "refused_host",
            "refused_unserved": "refused_unserved",
            "refused_admission": "refused_admission",
        },
    ),
    "kvmtmem_gets": (
        "Gets by what became of them",
        "result",
        {
            "hit": "gets_hit",
            "miss": "gets_missed",
            "unserved": "gets_unserved",
            "damaged": "gets_damaged",
        },
    ),
    "kvmtmem_flushes": (
        "Flushes by what was asked to go",
        "kind",
        {
            "page": "page_flushes",
            "object": "object_flushes",
            "range": "range_flushes",
            "pool": "pool_flushes",
        },
    ),
    "kvmtmem_encoded_pages": (
        "Pages by how they were stored",
        "encoding",
        {
            "same": "encoded_same",
            "raw": "encoded_raw",
            "lz4": "encoded_lz4",
            "zstd": "encoded_zstd",
            "deduplicated": "deduplicated",
        },
    ),
}
_SINGLE = {
    "kvmtmem_evicted_pages": ("Ephemeral pages evicted", "evicted"),
    "kvmtmem_hits_of_others": ("Hits of a page that another client had put", "hits_other"),
    "kvmtmem_damaged_pages": ("Pages dropped because they were damaged", "damaged"),
}
_ARENA = {
    "kvmtmem_budget_bytes": ("Arena memory that may be held", "budget_bytes"),
    "kvmtmem_resident_bytes": ("Arena memory that is held", "resident_bytes"),
    "kvmtmem_freeable_bytes": ("Arena memory that could be given back at once", "freeable_bytes"),
    "kvmtmem_heap_bytes": ("Index and tables outside the arena", "heap_bytes"),
    "kvmtmem_payload_bytes": ("Stored contents, encoded", "payload_bytes"),
}
_PAGES: dict[str, Callable[[ClientInfo], tuple[int, int]]] = {
    "ephemeral": lambda info: (info.ephemeral_pages, info.ephemeral_bytes),
    "persistent": lambda info: (info.persistent_pages, info.persistent_bytes),
}


class TmemCollector(Collector):
    """All metrics of one service."""

    def __init__(self, engine: Engine, server: Server, version: str) -> None:
        self._engine = engine
        self._server = server
        self._version = version

    def collect(self) -> Iterator[Metric]:
        """Every metric as it is now."""
        yield GaugeMetricFamily("kvmtmem_up", "1 while the service runs", 1)
        yield InfoMetricFamily("kvmtmem_build", "The service", {"version": self._version})
        usage = self._engine.usage()
        for name, (help_, field) in _ARENA.items():
            yield GaugeMetricFamily(name, help_, getattr(usage, field))
        unserved = unserved_pools(self._engine, self._server)
        yield GaugeMetricFamily(
            "kvmtmem_unserved_pools", "Shared pools that wait for a member", unserved
        )
        clients = []
        for client in self._engine.clients():
            with contextlib.suppress(ClientGone):  # meanwhile
                clients.append((client, client.info(), client.counters()))
        yield from _operations(clients)
        yield from _pages(clients)
        yield from self._sessions(clients)

    def _sessions(self, clients: list[tuple[Client, ClientInfo, Counters]]) -> Iterator[Metric]:
        connected = GaugeMetricFamily(
            "kvmtmem_client_connected", "1 while the client has a session", labels=LABELS
        )
        requests = CounterMetricFamily(
            "kvmtmem_requests", "Requests of the client's session", labels=LABELS
        )
        for client, _, _ in clients:
            session = session_of(self._server, client.name)
            connected.add_metric(
                labels(client.name),
                float(session is not None and session.state is SessionState.ACTIVE),
            )
            if session is not None:
                requests.add_metric(labels(client.name), session.requests)
        yield from (connected, requests)


def labels(client: str) -> list[str]:
    """The values of LABELS for a client."""
    domain, slash, channel = client.partition("/")
    return [domain, channel if slash else "kernel"]


def _operations(clients: list[tuple[Client, ClientInfo, Counters]]) -> Iterator[Metric]:
    for name, (help_, label, fields) in _RESULTS.items():
        metric = CounterMetricFamily(name, help_, labels=(*LABELS, label))
        for client, _, counters in clients:
            for value, field in fields.items():
                metric.add_metric([*labels(client.name), value], getattr(counters, field))
        yield metric
    for name, (help_, field) in _SINGLE.items():
        metric = CounterMetricFamily(name, help_, labels=LABELS)
        for client, _, counters in clients:
            metric.add_metric(labels(client.name), getattr(counters, field))
        yield metric


def _pages(clients: list[tuple[Client, ClientInfo, Counters]]) -> Iterator[Metric]:
    pages = GaugeMetricFamily("kvmtmem_pages", "Pages charged", labels=(*LABELS, "kind"))
    stored = GaugeMetricFamily(
        "kvmtmem_stored_bytes", "Arena bytes charged", labels=(*LABELS, "kind")
    )
    original = GaugeMetricFamily(
        "kvmtmem_original_bytes", "Bytes of the pages as guests put them", labels=(*LABELS, "kind")
    )
    settings: dict[str, Any] = {}
    for name, help_ in (("weight", "Weight"), ("cap_bytes", "Cap"), ("frozen", "1 while frozen")):
        settings[name] = GaugeMetricFamily(f"kvmtmem_client_{name}", help_, labels=LABELS)
    for client, info, _ in clients:
        for kind, charged in _PAGES.items():
            count, bytes_ = charged(info)
            pages.add_metric([*labels(client.name), kind], count)
            original.add_metric([*labels(client.name), kind], count * PAGE_BYTES)
            stored.add_metric([*labels(client.name), kind], bytes_)
        for name, metric in settings.items():
            metric.add_metric(labels(client.name), float(getattr(info.settings, name)))
    yield from (pages, stored, original, *settings.values())
