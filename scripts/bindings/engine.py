# SPDX-License-Identifier: GPL-2.0-or-later
"""The cffi builder of tmem_host.native._engine; setup.py names it."""

from cffi import FFI

from bindings import cdef, sources

ffibuilder = FFI()
ffibuilder.cdef(cdef.read(sources.ENGINE_API))
ffibuilder.set_source(
    "tmem_host.native._engine",
    '#include "engine.h"',
    include_dirs=sources.INCLUDE_DIRS,
    libraries=["tmem-engine", *sources.ENGINE_LIBRARIES],
    # The library is linked in, so a change of its sources must link the extension again.
    depends=[*sources.ENGINE_HEADERS, *sources.ENGINE_SOURCES],
)
