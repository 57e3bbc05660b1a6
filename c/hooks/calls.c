// SPDX-License-Identifier: GPL-2.0-or-later
#include "hooks_table.h"

/*
 * What cleancache calls between mount and umount, without a lock. The pool, whether it is open, and
 * the backend are read one after the other; a detach waits for the read section before another
 * backend can come, so they belong together, or one of them is gone.
 */

/* Where a call goes. backend is NULL if it goes nowhere; then `why`. */
struct target {
	const struct tmem_backend *backend;
	int pool;
	enum { OPEN, LEAVING, NO_POOL, NO_BACKEND, NO_MOUNT } why;
};

static struct target aim(struct tmem_hooks *hooks, int id)
{
	struct target target = {NULL, -1, NO_MOUNT};
	struct tmem_mount *mount = tmem_mount_find(hooks, id);

	if (!mount)
		return target;
	target.why = TMEM_SEAM_LOAD(&mount->open) ? OPEN : LEAVING;
	target.pool = TMEM_SEAM_LOAD(&mount->pool);
	target.backend = TMEM_SEAM_LOAD(&hooks->backend);
	if (!target.backend) {
		target.why = NO_BACKEND;
	} else if (target.pool < 0) {
		target.why = NO_POOL;
		target.backend = NULL;
	}
	return target;
}

static int get(struct tmem_hooks *hooks, const struct target *to, const struct tmem_oid *oid,
	       uint64_t index, struct page *page)
{
	switch (to->why) {
	case OPEN:
		if (!to->backend->get(to->backend->context, to->pool, oid, index, page)) {
			TMEM_SEAM_COUNT(&hooks->counters, gets_hit);
			return 0;
		}
		TMEM_SEAM_COUNT(&hooks->counters, gets_missed);
		break;
	case LEAVING:
		TMEM_SEAM_COUNT(&hooks->counters, gets_leaving);
		break;
	case NO_POOL:
		TMEM_SEAM_COUNT(&hooks->counters, gets_no_pool);
		break;
	case NO_BACKEND:
		TMEM_SEAM_COUNT(&hooks->counters, gets_no_backend);
		break;
	case NO_MOUNT:
		TMEM_SEAM_COUNT(&hooks->counters, gets_no_mount);
		break;
	}
	return -ENOENT;
}

int tmem_hooks_get_page(struct tmem_hooks *hooks, int id, const struct tmem_oid *oid,
			uint64_t index, struct page *page)
{
	int at = tmem_seam_enter(&hooks->calls);
	struct target to = aim(hooks, id);
	int result = get(hooks, &to, oid, index, page);

	tmem_seam_leave(&hooks->calls, at);
	return result;
}

static void put(struct tmem_hooks *hooks, const struct target *to, const struct tmem_oid *oid,
		uint64_t index, struct page *page)
{
	switch (to->why) {
	case OPEN:
		to->backend->put(to->backend->context, to->pool, oid, index, page);
		TMEM_SEAM_COUNT(&hooks->counters, puts);
		break;
	case LEAVING:
		TMEM_SEAM_COUNT(&hooks->counters, puts_leaving);
		break;
	case NO_POOL:
		TMEM_SEAM_COUNT(&hooks->counters, puts_no_pool);
		break;
	case NO_BACKEND:
		TMEM_SEAM_COUNT(&hooks->counters, puts_no_backend);
		break;
	case NO_MOUNT:
		TMEM_SEAM_COUNT(&hooks->counters, puts_no_mount);
		break;
	}
}

void tmem_hooks_put_page(struct tmem_hooks *hooks, int id, const struct tmem_oid *oid,
			 uint64_t index, struct page *page)
{
	int at = tmem_seam_enter(&hooks->calls);
	struct target to = aim(hooks, id);

	put(hooks, &to, oid, index, page);
	tmem_seam_leave(&hooks->calls, at);
}

/* Nobody gets a page of a pool that is being left, so there is no need to flush it. */
static void flush_pages(struct tmem_hooks *hooks, int id, const struct tmem_oid *oid,
			uint64_t index, uint64_t count)
{
	int at = tmem_seam_enter(&hooks->calls);
	struct target to = aim(hooks, id);

	for (; count; index++, count--) {
		if (to.why == OPEN) {
			to.backend->flush_page(to.backend->context, to.pool, oid, index);
			TMEM_SEAM_COUNT(&hooks->counters, page_flushes);
		} else {
			TMEM_SEAM_COUNT(&hooks->counters, page_flushes_dropped);
		}
	}
	tmem_seam_leave(&hooks->calls, at);
}

void tmem_hooks_refuse_put(struct tmem_hooks *hooks, int id, const struct tmem_oid *oid,
			   uint64_t index, uint64_t count)
{
	TMEM_SEAM_COUNT(&hooks->counters, puts_compound);
	flush_pages(hooks, id, oid, index, count);
}

void tmem_hooks_invalidate_page(struct tmem_hooks *hooks, int id, const struct tmem_oid *oid,
				uint64_t index)
{
	flush_pages(hooks, id, oid, index, 1);
}

void tmem_hooks_invalidate_inode(struct tmem_hooks *hooks, int id, const struct tmem_oid *oid)
{
	int at = tmem_seam_enter(&hooks->calls);
	struct target to = aim(hooks, id);

	if (to.backend) {
		TMEM_SEAM_COUNT(&hooks->counters, object_flushes);
		if (to.why == LEAVING)
			TMEM_SEAM_COUNT(&hooks->counters, object_flushes_leaving);
		to.backend->flush_object(to.backend->context, to.pool, oid);
	} else {
		TMEM_SEAM_COUNT(&hooks->counters, object_flushes_dropped);
	}
	tmem_seam_leave(&hooks->calls, at);
}
