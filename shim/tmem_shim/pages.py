# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks what a caller passes for pages or an object name, and lends it to C without a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PAGE_BYTES: Final = 4096
OID_WORDS: Final = 3


def page_memory(ffi: Any, pages: ReadableBuffer, *, writable: bool, count: int = 1) -> Any:
    """The memory of `count` pages for an extension whose ffi this is; ValueError unless `pages`
    is one piece of memory (`writable`, if it must be) of exactly that size."""
    try:
        memory = ffi.from_buffer("uint8_t[]", pages, writable)
    except BufferError as error:
        kind = "writable, contiguous" if writable else "contiguous"
        raise ValueError(f"a page must be a {kind} buffer: {error}") from None
    if len(memory) != count * PAGE_BYTES:
        what = "a page has" if count == 1 else f"{count} pages have"
        raise ValueError(f"{what} {count * PAGE_BYTES} bytes, not {len(memory)}")
    return memory


def oid_words(oid: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """What makes a struct tmem_oid of `oid`; ValueError unless it has three words."""
    if len(oid) != OID_WORDS:
        raise ValueError(f"an oid has {OID_WORDS} words, not {len(oid)}")
    return [oid]
