# SPDX-License-Identifier: GPL-2.0-or-later
"""Serves the metrics over HTTP: on a unix socket or on a port of the loopback address."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from tmem_host.peers import is_meant_for, peer_of
from tmem_host.service.config import MetricsConfig
from tmem_host.service.control import listen
from tmem_host.service.journal import Tell


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _UnixServer(_Server):
    """Takes over a listening unix socket, which has neither host nor port."""

    gid = -1  # of the socket's file
    tell: Tell

    def server_bind(self) -> None:
        self.server_name, self.server_port = "localhost", 0
        self.setup_environ()

    def server_activate(self) -> None:
        pass

    def verify_request(self, request: Any, client_address: Any) -> bool:
        if is_meant_for(request, self.gid):
            return True
        self.tell("refused-tool", f"{peer_of(request)} may not read the metrics", None)
        return False

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, _ = self.socket.accept()
        return connection, ("localhost", 0)


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Who reads metrics every few seconds is no news."""


def _unix_server(path: Path, tell: Tell) -> _UnixServer:
    server = _UnixServer(("", 0), _QuietHandler, bind_and_activate=False)
    server.socket.close()
    server.socket = listen(path, 0o660)
    server.gid, server.tell = path.stat().st_gid, tell
    server.server_bind()
    return server


def _port_server(port: int, app: Any) -> _Server:
    try:
        server: _Server = make_server("127.0.0.1", port, app, _Server, _QuietHandler)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen at port {port}: {error.strerror}") from None
    return server


@contextlib.contextmanager
def exporter(config: MetricsConfig, collector: Collector, tell: Tell) -> Iterator[None]:
    """Serves for as long as the context lasts, if the configuration says where. OSError."""
    if config.socket is None and config.port is None:
        yield
        return
    registry = CollectorRegistry()
    registry.register(collector)
    app = make_wsgi_app(registry)
    if config.socket is not None:
        server: _Server = _unix_server(config.socket, tell)
        server.set_app(app)
    else:
        server = _port_server(config.port or 0, app)
    thread = threading.Thread(target=server.serve_forever, name="tmem-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        if config.socket is not None:
            config.socket.unlink(missing_ok=True)
