/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "alone.h"

#include <stdlib.h>

#include "check.h"
#include "core.h"
#include "frontends.h"
#include "page.h"

const uint8_t alone_uuid[16] = {4, 2};
struct sim alone_sim;
struct tmem_shim *alone_shim;
void *alone_area;

struct tmem_oid alone_oid(uint64_t object)
{
	return (struct tmem_oid){{object, 1, 1}};
}

void alone_start(void)
{
	const struct tmem_shim_config config = {
		.queue_entries = 64, .pools = 4, .silent_ms = 1000000, .get_ms = 1000000};

	sim_start(&alone_sim, &config);
	alone_shim = alone_sim.clients[0].shim;
	alone_area = malloc(tmem_frontswap_area_bytes(ALONE_AREA_PAGES));
}

uint32_t alone_start_shared(void)
{
	uint32_t pool;

	alone_start();
	pool = alone_new_pool(TMEM_POOL_SHARED);
	sim_connect(&alone_sim, 0);
	sim_settle(&alone_sim, 0);
	return pool;
}

void alone_stop(void)
{
	sim_stop(&alone_sim);
	free(alone_area);
}

void alone_pass_ms(uint64_t ms)
{
	alone_sim.now_ns += ms * 1000000;
	tmem_shim_tick(alone_shim);
}

uint32_t alone_new_pool(uint32_t flags)
{
	int id = tmem_shim_new_pool(alone_shim, flags, alone_uuid);

	CHECK(id >= 0);
	return (uint32_t)id;
}

uint32_t alone_state_of(uint32_t pool)
{
	struct tmem_shim_pool_info info;

	CHECK_EQ(tmem_shim_pool_info(alone_shim, pool, &info), 0);
	return info.state;
}

uint32_t alone_pools_at_host(void)
{
	struct tmem_client_info info;

	tmem_client_info(alone_sim.clients[0].client, &info);
	return info.pools;
}

int alone_put(uint32_t pool, uint64_t object, uint32_t value)
{
	struct tmem_oid oid = alone_oid(object);
	uint8_t page[TMEM_PAGE_BYTES];

	page_make(page, value);
	return tmem_shim_put(alone_shim, pool, &oid, 1, page);
}

uint32_t alone_get(uint32_t pool, uint64_t object)
{
	uint8_t page[TMEM_PAGE_BYTES];
	struct tmem_shim_request request = {.op = TMEM_OP_GET_PAGE,
					    .pool = pool,
					    .oid = alone_oid(object),
					    .index = 1,
					    .page = page};

	tmem_shim_start(alone_shim, &request);
	sim_settle(&alone_sim, 0);
	CHECK(tmem_shim_finished(alone_shim, &request) != TMEM_SHIM_PENDING);
	return request.result == TMEM_DONE ? page_read(page) : 0;
}
