# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks what a caller passes for a page or an object name, and lends it to C without a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmem_host.native._engine import ffi
from tmem_shim.pages import oid_words, page_memory

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from tmem_host.native._engine import Array, tmem_oid
    from tmem_host.native.abi import Oid


def readable_page(page: ReadableBuffer) -> Array[int]:
    """The memory of `page`; ValueError unless it is one piece of PAGE_BYTES bytes."""
    memory: Array[int] = page_memory(ffi, page, writable=False)
    return memory


def writable_page(page: WriteableBuffer) -> Array[int]:
    """The memory of `page`; ValueError unless it is one writable piece of PAGE_BYTES bytes."""
    memory: Array[int] = page_memory(ffi, page, writable=True)
    return memory


def oid_struct(oid: Oid) -> tmem_oid:
    """`oid` for C. ValueError unless it has three words, OverflowError if one is out of range."""
    return ffi.new("struct tmem_oid *", oid_words(oid))
