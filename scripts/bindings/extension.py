# SPDX-License-Identifier: GPL-2.0-or-later
"""The cffi builders of the extensions; setup.py names them."""

from cffi import FFI

from bindings import cdef, sources


def builder(extension: sources.Extension) -> FFI:
    """What builds `extension` from its headers and libraries."""
    ffi = FFI()
    ffi.cdef(cdef.read(extension.headers))
    ffi.set_source(
        extension.module,
        cdef.including(extension.headers),
        include_dirs=sources.INCLUDE_DIRS,
        libraries=[*(f"tmem-{part}" for part in extension.parts), *extension.libraries],
        # The libraries are linked in, so a change of their sources must link the extension again.
        depends=[*sources.HEADERS, *extension.sources],
    )
    return ffi


host = builder(sources.HOST)
shim = builder(sources.SHIM)
