# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker: does on files what it is told, several things at once.

    python3 -m tmem_guest.workloads.worker DIRECTORY [THREADS]

Reads msgpack maps from its standard input: `id`, `operation` and that operation's arguments
(workloads/file_operations.py), paths relative to DIRECTORY; and answers each with `id` and either
`result` or `error`, an errno and a sentence. Answers come as operations end. Who sends the next
operation after an answer knows that the one was complete before the other began: no clock is
needed to tell what a read must see. Ends with its input.
"""

import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, BinaryIO

import msgpack

from tmem_guest.workloads.file_operations import OF_FILES, OTHERS

THREADS = 8
_READ_BYTES = 65536


def do(directory: str, command: Mapping[str, Any]) -> dict[str, Any]:
    """Does one command; the answer to it. The errno of what makes no sense is 0."""
    arguments = dict(command)
    answer = {"id": arguments.pop("id")}
    try:
        name = arguments.pop("operation")
        if name in OF_FILES:
            for key in ("path", "to"):
                if key in arguments:
                    arguments[key] = os.path.join(directory, arguments[key])
            return {**answer, "result": OF_FILES[name](**arguments)}
        return {**answer, "result": OTHERS[name](**arguments)}
    except OSError as error:
        return {**answer, "error": [error.errno or 0, str(error)]}
    except Exception as error:
        return {**answer, "error": [0, repr(error)]}


def serve(directory: str, commands: BinaryIO, answers: BinaryIO, threads: int = THREADS) -> None:
    """Does what is read from `commands` until that ends, `threads` at once."""
    writing = Lock()

    def one(command: Mapping[str, Any]) -> None:
        answer = msgpack.packb(do(directory, command))
        with writing:
            answers.write(answer)
            answers.flush()

    unpacker = msgpack.Unpacker()
    with ThreadPoolExecutor(threads) as pool:
        while data := os.read(commands.fileno(), _READ_BYTES):
            unpacker.feed(data)
            for command in unpacker:
                pool.submit(one, command)


if __name__ == "__main__":
    serve(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer, *map(int, sys.argv[2:]))
