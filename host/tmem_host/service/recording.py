# SPDX-License-Identifier: GPL-2.0-or-later
"""The recording of a trace, which ends when whoever wanted it has gone."""

import contextlib
import threading

from tmem_host.native import ClosedError, Server, TraceError, TraceStatus
from tmem_host.service.journal import Tell


class Recording:
    """At most one at a time. Any thread may call any method."""

    def __init__(self, server: Server, tell: Tell) -> None:
        self._server = server
        self._tell = tell
        self._lock = threading.Lock()
        self._keep_seconds: int | None = None
        self._timer: threading.Timer | None = None

    def start(
        self, path: str, contents: bool, max_bytes: int, keep_seconds: int | None = None
    ) -> None:
        """Begins one; after `keep_seconds` without a call of status() it ends. TraceError."""
        with self._lock:
            self._server.start_trace(path, contents=contents, max_bytes=max_bytes)
            self._keep_seconds = keep_seconds
            self._rearm()
        self._tell("trace", f"operations are recorded in {path}", None)

    def status(self) -> TraceStatus:
        """How far it is; whoever asks still wants it."""
        with self._lock:
            if self._timer is not None:
                self._rearm()
            return self._server.trace_status()

    def stop(self) -> TraceStatus:
        """Ends it. TraceError: there is none."""
        with self._lock:
            self._disarm()
            status = self._server.stop_trace()
        dropped = f", {status.dropped} were dropped" if status.dropped else ""
        self._tell("trace", f"{status.records} operations were recorded{dropped}", None)
        return status

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _rearm(self) -> None:
        self._disarm()
        if self._keep_seconds is not None:
            self._timer = threading.Timer(self._keep_seconds, self._forgotten)
            self._timer.daemon = True
            self._timer.start()

    def _forgotten(self) -> None:
        with self._lock:
            if threading.current_thread() is not self._timer:
                return  # asked for meanwhile
        with contextlib.suppress(TraceError, ClosedError):
            self.stop()
