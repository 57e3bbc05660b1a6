/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking at an arena from outside: reads only, believes nothing, never changes the file. */
#include <stdlib.h>

#include "arena.h"
#include "codec.h"
#include "group.h"
#include "recover.h"

/* What the rows say of a pool number. */
struct seen_pool {
	bool row;
	bool member;
	uint16_t epoch;
	uint32_t generation;
	uint32_t flags;
	uint32_t group_kind;
	uint32_t group;
};

struct check {
	struct tmem_backing *backing;
	struct tmem_arena_header header;
	struct tmem_found_extent *extents;
	uint32_t extent_count;
	struct seen_pool *pools; /* by number, sparse */
	uint32_t pool_slots;
	char *buffer; /* one extent */
	int contents;
	struct tmem_arena_report *report;
};

static int read_extent(struct check *check, const struct tmem_found_extent *found)
{
	return check->backing->ops->read(check->backing, check->buffer,
					 tmem_extents_offset_bytes(&check->header) +
						 found->number * check->header.extent_bytes,
					 check->header.extent_bytes);
}

static void note_pool(struct check *check, const struct tmem_row *row)
{
	struct seen_pool *pool = &check->pools[row->key];

	if (pool->row && (int32_t)(row->generation - pool->generation) < 0)
		return;
	pool->row = true;
	pool->generation = row->generation;
	pool->epoch = row->pool.epoch;
	pool->flags = row->pool.flags;
	pool->group_kind = row->pool.group_kind;
	pool->group = row->pool.group;
	if (row->key >= check->pool_slots)
		check->pool_slots = (uint32_t)row->key + 1;
}

static void check_rows(struct check *check, const struct tmem_found_extent *found)
{
	const struct tmem_row *rows =
		(const struct tmem_row *)(check->buffer + TMEM_EXTENT_HEADER_BYTES);
	uint32_t slots = tmem_class_slots(found->class, check->header.extent_bytes);

	for (uint32_t slot = 0; slot < slots; slot++) {
		uint64_t commit = atomic_load(&rows[slot].commit);

		if (commit == 0)
			continue;
		if (!tmem_row_sound(&rows[slot], commit))
			check->report->damaged_rows++;
		else if (rows[slot].kind == TMEM_ROW_CLIENT)
			check->report->clients++;
		else if (rows[slot].kind == TMEM_ROW_POOL && rows[slot].key < TMEM_NUMBERS_MAX)
			note_pool(check, &rows[slot]);
		else if (rows[slot].kind == TMEM_ROW_MEMBER &&
			 rows[slot].member.pool < TMEM_NUMBERS_MAX)
			check->pools[rows[slot].member.pool].member = true;
	}
}

static void count_pools(struct check *check)
{
	for (uint32_t i = 0; i < check->pool_slots; i++) {
		const struct seen_pool *pool = &check->pools[i];

		if (!pool->row || !pool->member)
			continue;
		check->report->pools++;
		check->report->shared_pools += (pool->flags & TMEM_POOL_SHARED) != 0;
	}
}

static bool contents_sound(struct check *check, const struct tmem_record *record, uint64_t commit,
			   const struct seen_pool *pool, const char *contents)
{
	uint8_t secret[TMEM_SECRET_BYTES];

	tmem_group_secret(&check->header, pool->group_kind, pool->group, secret);
	return tmem_verify(contents, tmem_commit_length(commit), tmem_commit_encoding(commit),
			   record->checksum, secret);
}

static void check_record(struct check *check, const struct tmem_found_extent *found, uint32_t slot)
{
	struct tmem_arena_report *report = check->report;
	const struct tmem_record *record =
		(const struct tmem_record *)(check->buffer + TMEM_EXTENT_HEADER_BYTES) + slot;
	const char *contents =
		check->buffer +
		tmem_class_contents_offset(found->class, check->header.extent_bytes) +
		slot * tmem_class_slot_bytes(found->class);
	uint64_t commit = atomic_load(&record->commit);
	uint8_t mark = tmem_commit_mark(commit);
	const struct seen_pool *pool;

	if (commit == 0)
		return;
	if (!tmem_record_sound(record, commit, found->class)) {
		report->damaged_records++;
		return;
	}
	pool = record->pool < check->pool_slots ? &check->pools[record->pool] : NULL;
	if (pool == NULL || !pool->row) {
		report->stale_records++;
		return;
	}
	if (mark != TMEM_MARK_REFERENCE) {
		report->payload_bytes += tmem_commit_length(commit);
		if (check->contents && !contents_sound(check, record, commit, pool, contents)) {
			report->damaged_contents++;
			return;
		}
	}
	if (mark == TMEM_MARK_CONTENTS)
		return;
	if (!pool->member || record->epoch != pool->epoch)
		report->stale_records++;
	else if (pool->flags & TMEM_POOL_PERSISTENT)
		report->persistent_pages++;
	else
		report->ephemeral_pages++;
}

static int check_extents(struct check *check, bool rows)
{
	int code = 0;

	for (uint32_t i = 0; code == 0 && i < check->extent_count; i++) {
		const struct tmem_found_extent *found = &check->extents[i];
		uint32_t slots = tmem_class_slots(found->class, check->header.extent_bytes);

		if ((found->class == TMEM_CLASS_ROW) != rows)
			continue;
		code = read_extent(check, found);
		if (code == 0 && rows)
			check_rows(check, found);
		for (uint32_t slot = 0; code == 0 && !rows && slot < slots; slot++)
			check_record(check, found, slot);
	}
	return code;
}

static int check_all(struct check *check)
{
	struct tmem_arena_report *report = check->report;
	int code;

	report->format_version = check->header.version;
	report->features_incompat = check->header.features_incompat;
	report->features_compat = check->header.features_compat;
	report->extent_bytes = check->header.extent_bytes;
	report->max_bytes = check->header.max_extents * check->header.extent_bytes;
	report->file_bytes = check->backing->ops->end_bytes(check->backing);
	report->resident_bytes = check->backing->ops->held_bytes(check->backing);
	check->buffer = malloc(check->header.extent_bytes);
	check->pools = tmem_sparse_alloc(TMEM_NUMBERS_MAX * sizeof(*check->pools));
	if (check->buffer == NULL || check->pools == NULL)
		return -ENOMEM;
	code = tmem_extents_read(check->backing, &check->header, &check->extents,
				 &check->extent_count, &report->damaged_extents);
	report->extents = check->extent_count;
	if (code == 0)
		code = check_extents(check, true);
	if (code == 0) {
		count_pools(check);
		code = check_extents(check, false);
	}
	return code;
}

int tmem_arena_check(const char *path, int contents, struct tmem_arena_report *ret,
		     struct tmem_error *error)
{
	struct check check = {.contents = contents, .report = ret};
	int code;

	memset(ret, 0, sizeof(*ret));
	code = tmem_backing_open_readonly(path, &check.backing, &ret->in_use, error);
	if (code != 0)
		return code;
	code = tmem_header_read(check.backing, &check.header, &ret->header_damaged, error);
	if (code == 0) {
		code = check_all(&check);
		if (code != 0)
			tmem_fail(error, code, "cannot read the arena: %s", strerror(-code));
	}
	if (code != 0) {
		char sentence[sizeof(error->message)];

		memcpy(sentence, error->message, sizeof(sentence));
		tmem_fail(error, code, "%s: %s", path, sentence);
	}
	free(check.buffer);
	tmem_sparse_free(check.pools, TMEM_NUMBERS_MAX * sizeof(*check.pools));
	free(check.extents);
	check.backing->ops->close(check.backing);
	return code;
}
