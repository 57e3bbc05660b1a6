# SPDX-License-Identifier: GPL-2.0-or-later
"""Serves the metrics over HTTP: on a unix socket or on a port of the loopback address."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from tmem_host.service.config import MetricsConfig
from tmem_host.service.control import listen


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _UnixServer(_Server):
    """Takes over a listening unix socket, which has neither host nor port."""

    def server_bind(self) -> None:
        self.server_name, self.server_port = "localhost", 0
        self.setup_environ()

    def server_activate(self) -> None:
        pass

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, _ = self.socket.accept()
        return connection, ("localhost", 0)


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Who reads metrics every few seconds is no news."""


@contextlib.contextmanager
def exporter(config: MetricsConfig, collector: Collector) -> Iterator[None]:
    """Serves for as long as the context lasts, if the configuration says where. OSError."""
    if config.socket is None and config.port is None:
        yield
        return
    registry = CollectorRegistry()
    registry.register(collector)
    app = make_wsgi_app(registry)
    if config.socket is not None:
        server: _Server = _UnixServer(("", 0), _QuietHandler, bind_and_activate=False)
        server.socket.close()
        server.socket = listen(config.socket, 0o660)
        server.server_bind()
        server.set_app(app)
    else:
        server = make_server("127.0.0.1", config.port or 0, app, _Server, _QuietHandler)
    thread = threading.Thread(target=server.serve_forever, name="tmem-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        if config.socket is not None:
            config.socket.unlink(missing_ok=True)
