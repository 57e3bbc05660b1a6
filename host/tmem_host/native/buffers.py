# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks what a caller passes for a page or an object name, and lends it to C without a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmem_host.native._engine import ffi, lib
from tmem_host.native.abi import PAGE_BYTES

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from tmem_host.native._engine import Array, tmem_oid
    from tmem_host.native.abi import Oid


def readable_page(page: ReadableBuffer) -> Array[int]:
    """The memory of `page`; ValueError unless it is one piece of PAGE_BYTES bytes."""
    return _page(page, writable=False)


def writable_page(page: WriteableBuffer) -> Array[int]:
    """The memory of `page`; ValueError unless it is one writable piece of PAGE_BYTES bytes."""
    return _page(page, writable=True)


def _page(page: ReadableBuffer, *, writable: bool) -> Array[int]:
    try:
        memory = ffi.from_buffer("uint8_t[]", page, writable)
    except BufferError as error:
        kind = "writable, contiguous" if writable else "contiguous"
        raise ValueError(f"a page must be a {kind} buffer: {error}") from None
    if len(memory) != PAGE_BYTES:
        raise ValueError(f"a page has {PAGE_BYTES} bytes, not {len(memory)}")
    return memory


def oid_struct(oid: Oid) -> tmem_oid:
    """`oid` for C. ValueError unless it has three words, OverflowError if one is out of range."""
    if len(oid) != lib.TMEM_OID_WORDS:
        raise ValueError(f"an oid has {lib.TMEM_OID_WORDS} words, not {len(oid)}")
    return ffi.new("struct tmem_oid *", [oid])
