/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hints: who serves a batch knows which pages come next, and the memory that finding them needs can
 * be on its way while earlier ones are served. A page is found through three or more places that
 * are rarely in a cache (bucket, record, links, and the same for each page before it in its chain),
 * and each says where the next one is: hence steps, one for each request that is served meanwhile.
 *
 * A hint changes nothing, waits for no lock, and may be wrong: any pool number, any handle.
 */
#ifndef TMEM_HINT_H
#define TMEM_HINT_H

#include <stdbool.h>

#include "engine.h"

enum { TMEM_HINT_STEPS = 4 };

struct tmem_hint {
	struct tmem_client *client;
	uint32_t pool;
	bool get; /* the contents will be read */
	bool over;
	struct tmem_oid oid;
	uint64_t index;
};

/*
 * Step 0 fetches the page's bucket; 1 the first record of its chain; 2 and 3 those behind it. The
 * page itself, once found, is fetched with its neighbours in the lists that it stands in.
 */
void tmem_hint_step(struct tmem_hint *untrusted_hint, unsigned int step);

#endif
