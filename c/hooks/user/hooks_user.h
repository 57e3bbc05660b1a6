/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hooks in user space: a table of a guest's own, and a shim as the backend. A page is 4096
 * bytes of memory, and stands where the kernel has a struct page.
 */
#ifndef TMEM_HOOKS_USER_H
#define TMEM_HOOKS_USER_H

#include "hooks.h"
#include "shim.h"

/* A table without mounts, areas and backend. NULL: no memory. */
struct tmem_hooks *tmem_hooks_new(void);

/* Nobody is in any function of it any more, and no backend is attached. */
void tmem_hooks_free(struct tmem_hooks *hooks);

struct tmem_shim_backend;

/* What hooks call, on top of @shim. NULL: no memory. */
struct tmem_shim_backend *tmem_shim_backend_new(struct tmem_shim *shim);

const struct tmem_backend *tmem_shim_backend_ops(struct tmem_shim_backend *backend);

/* Detached, and its shim is gone: until then the memory of swap areas is the shim's. */
void tmem_shim_backend_free(struct tmem_shim_backend *backend);

#endif
