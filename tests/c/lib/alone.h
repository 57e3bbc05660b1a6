/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One shim alone over the simulated transport, its pools and a swap area; nothing is silent for so
 * long that it breaks. Each call that fails ends the test, but where it says what it returns. */
#ifndef TMEM_TEST_ALONE_H
#define TMEM_TEST_ALONE_H

#include "sim.h"

enum { ALONE_AREA_PAGES = 100 };

extern const uint8_t alone_uuid[16]; /* of every pool */
extern struct sim alone_sim;
extern struct tmem_shim *alone_shim; /* its first client's */
extern void *alone_area;             /* for a swap area of ALONE_AREA_PAGES */

void alone_start(void);
/* And is connected, with a shared pool; its id. */
uint32_t alone_start_shared(void);
void alone_stop(void);
/* The clock goes on, and the shim does what is due. */
void alone_pass_ms(uint64_t ms);

struct tmem_oid alone_oid(uint64_t object);
/* Its id. */
uint32_t alone_new_pool(uint32_t flags);
/* enum tmem_shim_pool_state */
uint32_t alone_state_of(uint32_t pool);
uint32_t alone_pools_at_host(void);

/* Page 1 of the object. What the shim says. */
int alone_put(uint32_t pool, uint64_t object, uint32_t value);
/* The value of the page, 0: a miss. */
uint32_t alone_get(uint32_t pool, uint64_t object);

#endif
