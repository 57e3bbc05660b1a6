// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

/*
 * Three kinds of entries are looked up: those of one page, those of an object (all of it or a
 * range), those of a pool. They share the buckets; the index that is hashed keeps them apart as far
 * as a hash can, and the comparison does the rest.
 */
enum kind { OF_PAGE, OF_OBJECT, OF_POOL };

static enum kind kind_of(uint8_t op)
{
	switch (op) {
	case TMEM_OP_FLUSH_OBJECT:
	case TMEM_OP_FLUSH_RANGE:
		return OF_OBJECT;
	case TMEM_OP_FLUSH_POOL:
	case TMEM_OP_DESTROY_POOL:
		return OF_POOL;
	default:
		return OF_PAGE;
	}
}

static bool is_looked_up(uint8_t op)
{
	switch (op) {
	case TMEM_OP_PUT_PAGE:
	case TMEM_OP_FLUSH_PAGE:
	case TMEM_OP_FLUSH_RANGE:
	case TMEM_OP_FLUSH_OBJECT:
	case TMEM_OP_FLUSH_POOL:
		return true;
	default:
		return false;
	}
}

static uint64_t *bucket(struct tmem_shim *shim, enum kind kind, uint32_t pool,
			const struct tmem_oid *oid, uint64_t index)
{
	static const struct tmem_oid whole;
	uint64_t hash;

	if (kind == OF_PAGE)
		hash = tmem_shim_hash(shim, pool, oid, index);
	else if (kind == OF_OBJECT)
		hash = ~tmem_shim_hash(shim, pool, oid, 0);
	else
		hash = tmem_shim_hash(shim, ~pool, &whole, 0);
	return &shim->buckets[hash & (shim->config.queue_entries - 1)];
}

static void link_entry(struct tmem_shim *shim, struct tmem_entry *entry, uint64_t position)
{
	uint64_t *head = bucket(shim, kind_of(entry->op), entry->pool, &entry->oid, entry->index);

	entry->older = *head;
	*head = position;
	if (position > shim->newest_linked)
		shim->newest_linked = position;
}

bool tmem_queue_room(const struct tmem_shim *shim, bool slot, bool reserve)
{
	uint64_t entries = shim->config.queue_entries - (reserve ? 0 : TMEM_RESERVED_ENTRIES);

	if (slot && shim->slot_head - shim->slot_tail >= shim->config.staged_pages)
		return false;
	return shim->head - shim->tail < entries;
}

struct tmem_entry *tmem_queue_append(struct tmem_shim *shim, uint8_t op, uint32_t pool,
				     const struct tmem_oid *oid, uint64_t index, bool slot)
{
	struct tmem_entry *entry = tmem_entry_at(shim, shim->head);

	memset(entry, 0, sizeof(*entry));
	entry->op = op;
	entry->pool = pool;
	if (oid)
		entry->oid = *oid;
	entry->index = index;
	if (slot)
		entry->slot = (uint32_t)(shim->slot_head++ % shim->config.staged_pages) + 1;
	if (is_looked_up(op))
		link_entry(shim, entry, shim->head);
	if (shim->answered == shim->head && shim->progress_ns == TMEM_NEVER)
		shim->progress_ns = tmem_shim_now(shim);
	shim->head++;
	if (shim->pump_idle)
		shim->wake_wanted = true;
	return entry;
}

static bool covers(const struct tmem_entry *entry, uint32_t pool, const struct tmem_oid *oid,
		   uint64_t index)
{
	if (entry->pool != pool || entry->flags & TMEM_ENTRY_OLD)
		return false;
	switch (entry->op) {
	case TMEM_OP_PUT_PAGE:
	case TMEM_OP_FLUSH_PAGE:
		return entry->index == index && tmem_oid_equal(&entry->oid, oid);
	case TMEM_OP_FLUSH_RANGE:
		return index - entry->index < entry->count && tmem_oid_equal(&entry->oid, oid);
	case TMEM_OP_FLUSH_OBJECT:
		return tmem_oid_equal(&entry->oid, oid);
	case TMEM_OP_FLUSH_POOL:
		return true;
	default:
		return false;
	}
}

uint64_t tmem_queue_newest(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
			   uint64_t index)
{
	uint64_t newest = 0;

	if (shim->newest_linked < shim->answered)
		return 0;
	for (int kind = OF_PAGE; kind <= OF_POOL; kind++) {
		uint64_t position = *bucket(shim, (enum kind)kind, pool, oid, index);

		/* links go from newer to older; those below are of entries that are gone */
		while (position >= shim->answered && position > newest) {
			const struct tmem_entry *entry = tmem_entry_at(shim, position);

			if (kind_of(entry->op) == (enum kind)kind &&
			    covers(entry, pool, oid, index)) {
				newest = position;
				break;
			}
			position = entry->older;
		}
	}
	return newest;
}

bool tmem_queue_extend(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
		       uint64_t index)
{
	uint64_t position = shim->head - 1;
	struct tmem_entry *entry = tmem_entry_at(shim, position);
	uint64_t pages = entry->op == TMEM_OP_FLUSH_RANGE ? entry->count : 1;

	if (position < shim->taken || entry->requests || entry->pool != pool)
		return false;
	if (entry->op != TMEM_OP_FLUSH_PAGE && entry->op != TMEM_OP_FLUSH_RANGE)
		return false;
	if (entry->index + pages != index || pages >= TMEM_WIRE_RANGE_MAX ||
	    !tmem_oid_equal(&entry->oid, oid))
		return false;
	if (entry->op == TMEM_OP_FLUSH_PAGE) {
		uint64_t *head = bucket(shim, OF_PAGE, pool, oid, entry->index);

		/* a put that was turned into a flush is not the first of its bucket, or not alone
		 */
		if (*head != position || entry->slot)
			return false;
		*head = entry->older;
		entry->op = TMEM_OP_FLUSH_RANGE;
		link_entry(shim, entry, position);
	}
	entry->count = (uint16_t)(pages + 1);
	return true;
}

void tmem_queue_trim(struct tmem_shim *shim)
{
	while (shim->answered < shim->taken) {
		const struct tmem_entry *entry = tmem_entry_at(shim, shim->answered);

		/* one that was sent is needed for its digest until the host is past it */
		if (entry->op != TMEM_OP_NONE || entry->flags & TMEM_ENTRY_TAGGED)
			break;
		shim->answered++;
	}
	while (shim->tail < shim->answered && shim->tail < shim->returned) {
		if (tmem_entry_at(shim, shim->tail)->slot)
			shim->slot_tail++;
		shim->tail++;
	}
}

void tmem_queue_drop(struct tmem_shim *shim, struct tmem_entry *entry)
{
	for (int i = 0; i < TMEM_AHEADS_MAX; i++)
		if (shim->aheads[i] && tmem_entry_at(shim, shim->aheads[i]) == entry)
			tmem_ahead_unregister(shim, shim->aheads[i]);
	entry->op = TMEM_OP_NONE;
}
