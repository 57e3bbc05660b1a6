/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "transport.h"

enum { DEPTH_MAX = 256 };

int tmem_transport_flush(struct tmem_shim *shim, uint32_t op, uint32_t pool,
			 const struct tmem_oid *oid, uint64_t first, uint64_t count)
{
	struct tmem_shim_request request = {
		.op = op, .pool = pool, .oid = *oid, .index = first, .count = count};
	int result = tmem_shim_start(shim, &request);

	return result == TMEM_SHIM_PENDING ? tmem_shim_wait(shim, &request) : result;
}

uint64_t tmem_transport_run(struct tmem_shim *shim, uint32_t op, uint32_t pool,
			    const struct tmem_oid *oid, uint64_t first, uint64_t count,
			    uint32_t depth, void *pages, int32_t *results)
{
	struct tmem_shim_request requests[DEPTH_MAX];
	uint64_t started = 0, done = 0;

	if (!depth || depth > DEPTH_MAX)
		depth = depth ? DEPTH_MAX : 1;
	for (uint64_t finished = 0; finished < count; finished++) {
		struct tmem_shim_request *oldest = &requests[finished % depth];

		for (; started < count && started < finished + depth; started++) {
			struct tmem_shim_request *request = &requests[started % depth];

			*request = (struct tmem_shim_request){
				.op = op,
				.pool = pool,
				.oid = *oid,
				.index = first + started,
				.page = (uint8_t *)pages + started * TMEM_PAGE_BYTES,
			};
			results[started] = tmem_shim_start(shim, request);
		}
		if (results[finished] == TMEM_SHIM_PENDING)
			results[finished] = tmem_shim_wait(shim, oldest);
		done += results[finished] == TMEM_DONE;
	}
	return done;
}
