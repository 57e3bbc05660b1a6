// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The shim and its memory. The device reads pages and headers where they are, many at a time, so
 * those are in pieces of the linear map (V4): no larger than what a small and full guest gives,
 * too.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "transport.h"
#include "wire.h"

enum { PIECE_ORDER = PAGE_ALLOC_COSTLY_ORDER };

static void free_pieces(void)
{
	struct tmem_transport *transport = &tmem_transport;

	while (transport->piece_count)
		free_pages((unsigned long)transport->pieces[--transport->piece_count], PIECE_ORDER);
	kvfree(transport->pieces);
	transport->pieces = NULL;
}

static int make_pieces(u32 count)
{
	struct tmem_transport *transport = &tmem_transport;

	transport->pieces = kvcalloc(count, sizeof(*transport->pieces), GFP_KERNEL);
	while (transport->pieces && transport->piece_count < count) {
		void *piece = (void *)__get_free_pages(
			GFP_KERNEL | __GFP_RETRY_MAYFAIL | __GFP_NOWARN, PIECE_ORDER);

		if (!piece)
			break;
		transport->pieces[transport->piece_count++] = piece;
	}
	return transport->pieces && transport->piece_count == count ? 0 : -ENOMEM;
}

int tmem_memory_make_shim(struct tmem_shim_config *config,
			  const struct tmem_shim_callbacks *callbacks)
{
	struct tmem_transport *transport = &tmem_transport;
	void *memory = NULL;
	size_t bytes;

	config->piece_bytes = PAGE_SIZE << PIECE_ORDER;
	bytes = tmem_shim_bytes(config);
	if (!bytes) {
		pr_err("tmem: staged_pages, queue_entries, landing_pages or pools is not "
		       "possible\n");
		return -EINVAL;
	}
	/* not among the module's own data, which is mapped page by page (V4) */
	transport->filler = kzalloc(TMEM_WIRE_MESSAGE_MAX, GFP_KERNEL);
	if (!transport->filler || make_pieces(tmem_shim_pieces(config)))
		goto no_memory;
	memory = vmalloc(bytes);
	if (!memory)
		goto no_memory;
	transport->shim = tmem_shim_init(memory, transport->pieces, config, callbacks);
	return 0;
no_memory:
	pr_err("tmem: there is no memory for the shim; fewer staged_pages or queue_entries need "
	       "less\n");
	free_pieces();
	kfree(transport->filler);
	return -ENOMEM;
}

void tmem_memory_free_shim(void)
{
	struct tmem_transport *transport = &tmem_transport;

	tmem_shim_destroy(transport->shim);
	tmem_backend_free_areas();
	vfree(transport->shim);
	free_pieces();
	kfree(transport->filler);
}
