# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem serve: the host service, in the foreground."""

import argparse
import asyncio
import dataclasses
import logging
import os
import sys
from pathlib import Path

from tmem_host.control.paths import user_run_directory
from tmem_host.service.config import Config, load

SYSTEM_CONFIG = Path("/etc/tmem/tmem.toml")
_ERROR_OUTPUT = 2  # as systemd hands it over


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `tmem serve`."""
    serve = commands.add_parser(
        "serve",
        help="run the host service",
        description="Runs the host service in the foreground until SIGTERM; SIGHUP reads the "
        "configuration again.",
    )
    serve.add_argument(
        "--config", metavar="FILE", type=Path, help=f"configuration (default: {SYSTEM_CONFIG})"
    )
    serve.add_argument("--socket", metavar="PATH", type=Path, help="control socket")
    serve.add_argument("--check", action="store_true", help="check the configuration and exit")
    serve.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serves; ConfigError, TmemError or OSError when it cannot."""
    config = read_config(options.config)
    if options.socket:
        control = dataclasses.replace(config.control, socket=options.socket.absolute())
        config = dataclasses.replace(config, control=control)
    if options.check:
        print(f"{config.source or 'built-in configuration'}: fine")
        return 0
    # Only this command needs all of the service.
    from tmem_host.service.daemon import Service  # noqa: PLC0415

    start_logging(config.log_level)
    try:
        asyncio.run(Service(config).run())
    except OSError as error:
        file = f"{error.filename}: " if error.filename else ""
        print(f"tmem: {file}{error.strerror or error}", file=sys.stderr)
        return 1
    return 0


def read_config(named: Path | None) -> Config:
    """The configuration: the named file, the system's, or what is built in."""
    if named is not None:
        return load(named)
    if SYSTEM_CONFIG.exists():
        return load(SYSTEM_CONFIG)
    if os.getuid() == 0:
        return Config()
    # an ordinary user's arena is that user's alone
    arena = Path("/dev/shm") / f"tmem-{os.getuid()}" / "arena"
    built_in = Config()
    return dataclasses.replace(
        built_in,
        arena=dataclasses.replace(built_in.arena, path=arena),
        control=dataclasses.replace(built_in.control, socket=user_run_directory() / "control.sock"),
    )


def start_logging(level: str) -> None:
    """Log lines with the journal's priorities when it listens, with times when it does not."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        _JournalFormatter("%(name)s: %(message)s")
        if _is_journal(_ERROR_OUTPUT)
        else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    root = logging.getLogger("tmem")
    root.handlers = [handler]
    root.setLevel(level.upper())


def _is_journal(descriptor: int) -> bool:
    """Whether systemd has connected it to the journal, which $JOURNAL_STREAM names."""
    status = os.fstat(descriptor)
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _JournalFormatter(logging.Formatter):
    _PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))

    def format(self, record: logging.LogRecord) -> str:
        priority = next(value for level, value in self._PRIORITIES if record.levelno >= level)
        return f"<{priority}>" + super().format(record).replace("\n", f"\n<{priority}>")
