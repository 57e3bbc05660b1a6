# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem-guest put, get and flush: pages of the guest's own pools."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tmem_guest.cli.errors import CommandError
from tmem_guest.cli.options import add_command, add_handle, count, session

if TYPE_CHECKING:
    from tmem_shim.abi import Put

PAGE_BYTES: Final = 4096
_STDIO = "-"
# Pages in memory at a time, and in one request of the shim.
_CHUNK_PAGES: Final = 256


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tmem-guest put`, `tmem-guest get` and `tmem-guest flush`."""
    put = add_command(
        commands,
        "put",
        "store pages",
        "Stores a file, page by page from INDEX on; the last page is filled up with zeros.",
    )
    add_handle(put, index=True)
    put.add_argument("file", nargs="?", default=_STDIO, help="default: standard input")
    put.set_defaults(run=run_put)

    get = add_command(
        commands,
        "get",
        "fetch pages",
        "Fetches pages from INDEX on, up to the first that is not there, which is a failure.",
    )
    add_handle(get, index=True)
    get.add_argument("--pages", type=count, default=1, help="how many (default %(default)s)")
    get.add_argument(
        "--output", default=_STDIO, metavar="FILE", help="default: standard output, not a terminal"
    )
    get.add_argument("--json", action="store_true", help="print one JSON object (with --output)")
    get.set_defaults(run=run_get)

    flush = add_command(
        commands,
        "flush",
        "forget pages",
        "Forgets the pages from INDEX on, or without INDEX the whole object.",
    )
    add_handle(flush, index=False)
    flush.add_argument("--pages", type=count, default=1, help="how many (default %(default)s)")
    flush.set_defaults(run=run_flush)


# ---- put -----------------------------------------------------------------------------------


def run_put(options: argparse.Namespace) -> int:
    """Runs `tmem-guest put`; CommandError when a page was not stored."""
    data = _read(options.file)
    if not data:
        raise CommandError(f"{_name(options.file, 'standard input')} is empty: no page to store")
    data += bytes(-len(data) % PAGE_BYTES)
    pages = len(data) // PAGE_BYTES
    _check_end(options.index, pages)
    with session(options) as entered:
        pool = entered.pool(persistent=options.persistent)
        for at in range(0, pages, _CHUNK_PAGES):
            some = min(_CHUNK_PAGES, pages - at)
            chunk = memoryview(data)[at * PAGE_BYTES : (at + some) * PAGE_BYTES]
            for i, put in enumerate(pool.put_run(options.oid, options.index + at, some, chunk)):
                if not put:
                    raise CommandError(
                        f"page {options.index + at + i} was not stored: {_why(put)};"
                        f" {at + i} of {pages} pages were stored before it"
                    )
    return 0


def _why(put: Put) -> str:
    return {
        "NO_ROOM": "the host has no room",
        "OVER_LIMIT": "this guest is over its cap or quota",
        "FROZEN": "this guest is frozen by the operator",
        "UNAVAILABLE": "the host did not answer",
        "DROPPED": "the host has no room for it, and the page that was there is gone",
    }[put.name]


# ---- get -----------------------------------------------------------------------------------


def run_get(options: argparse.Namespace) -> int:
    """Runs `tmem-guest get`; CommandError when a page is not there."""
    if options.output == _STDIO and (options.json or sys.stdout.isatty()):
        raise CommandError("pages are bytes, not text: name a file with --output")
    _check_end(options.index, options.pages)
    found = bytearray()
    with session(options) as entered:
        pool = entered.pool(persistent=options.persistent)
        while len(found) < options.pages * PAGE_BYTES:
            done = len(found) // PAGE_BYTES
            # Behind a page that is not there none is taken: a get may remove it.
            page = pool.read(options.oid, options.index + done)
            if page is None:
                break
            found += page
    _write(options.output, found)
    hits = len(found) // PAGE_BYTES
    if options.json:
        print(json.dumps({"wanted_pages": options.pages, "pages": hits, "output": options.output}))
    if hits < options.pages:
        raise CommandError(f"page {options.index + hits} is not there")
    return 0


# ---- flush ---------------------------------------------------------------------------------


def run_flush(options: argparse.Namespace) -> int:
    """Runs `tmem-guest flush`."""
    with session(options) as entered:
        pool = entered.pool(persistent=options.persistent)
        if options.index is None:
            pool.flush_object(options.oid)
            return 0
        _check_end(options.index, options.pages)
        for at in range(0, options.pages, _CHUNK_PAGES):
            some = min(_CHUNK_PAGES, options.pages - at)
            pool.flush_range(options.oid, options.index + at, some)
    return 0


# ---- files ---------------------------------------------------------------------------------


def _check_end(index: int, pages: int) -> None:
    if index + pages > 2**64:
        raise CommandError(f"{pages} pages from index {index} on: the largest index is 2^64 - 1")


def _name(file: str, stdio: str) -> str:
    return stdio if file == _STDIO else file


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == _STDIO else Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {_name(file, 'standard input')}: {error.strerror}") from (
            error
        )


def _write(file: str, data: bytearray) -> None:
    try:
        if file == _STDIO:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            Path(file).write_bytes(data)
    except OSError as error:
        if file == _STDIO:
            # Python would flush what is left, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CommandError(
            f"cannot write {_name(file, 'standard output')}: {error.strerror}"
        ) from (error)
