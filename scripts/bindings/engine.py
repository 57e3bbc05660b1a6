# SPDX-License-Identifier: GPL-2.0-or-later
"""The cffi builder of tmem_host.native._engine; setup.py names it."""

from cffi import FFI

from bindings import cdef, sources

ffibuilder = FFI()
ffibuilder.cdef(cdef.read(sources.HOST_APIS))
ffibuilder.set_source(
    "tmem_host.native._engine",
    cdef.including(sources.HOST_APIS),
    include_dirs=sources.INCLUDE_DIRS,
    libraries=[*(f"tmem-{part}" for part in sources.HOST_PARTS), *sources.HOST_LIBRARIES],
    # The libraries are linked in, so a change of their sources must link the extension again.
    depends=[*sources.HEADERS, *(file for part in sources.HOST_PARTS.values() for file in part)],
)
