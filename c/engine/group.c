/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "group.h"

#include <stdlib.h>

#include "codec.h"
#include "lists.h"
#include "slots.h"

static struct tmem_sharing *sharing_of(struct tmem_engine *engine, tmem_ref ref)
{
	struct tmem_sharing *slots =
		atomic_load_explicit(&tmem_ref_extent(engine, ref)->sharing, memory_order_acquire);

	return &slots[tmem_ref_slot(ref)];
}

static uint32_t *contents_link(struct tmem_engine *engine, tmem_ref ref)
{
	return &sharing_of(engine, ref)->next;
}

static uint64_t contents_hash(struct tmem_engine *engine, tmem_ref ref)
{
	return tmem_mix(tmem_ref_record(engine, ref)->checksum);
}

static const struct tmem_table_ops contents_table = {
	.link = contents_link,
	.hash = contents_hash,
};

void tmem_group_secret(const struct tmem_arena_header *header, uint32_t kind, uint32_t number,
		       uint8_t *ret)
{
	struct {
		uint8_t key[sizeof(header->key)];
		uint32_t kind;
		uint32_t number;
	} seed = {.kind = kind, .number = number};

	memcpy(seed.key, header->key, sizeof(seed.key));
	XXH3_generateSecret(ret, TMEM_SECRET_BYTES, &seed, sizeof(seed));
}

struct tmem_group *tmem_group_get(struct tmem_engine *engine, uint32_t kind, uint32_t number)
{
	struct tmem_group *group;

	for (group = engine->groups; group != NULL; group = group->next)
		if (group->kind == kind && group->number == number)
			return group;
	group = tmem_alloc(engine, sizeof(*group));
	if (group == NULL)
		return NULL;
	if (tmem_table_init(engine, &group->contents) != 0) {
		tmem_free(engine, group, sizeof(*group));
		return NULL;
	}
	group->kind = kind;
	group->number = number;
	tmem_lock_init(&group->lock, TMEM_RANK_GROUP);
	tmem_group_secret(&engine->header, kind, number, group->secret);
	group->next = engine->groups;
	engine->groups = group;
	return group;
}

void tmem_groups_deinit(struct tmem_engine *engine)
{
	while (engine->groups != NULL) {
		struct tmem_group *group = engine->groups;

		engine->groups = group->next;
		tmem_table_deinit(engine, &group->contents);
		tmem_lock_deinit(&group->lock);
		tmem_free(engine, group, sizeof(*group));
	}
}

static tmem_ref find(struct tmem_engine *engine, struct tmem_group *group, uint64_t checksum)
{
	tmem_ref ref = *tmem_table_bucket(&group->contents, tmem_mix(checksum));

	while (ref != TMEM_REF_NONE && tmem_ref_record(engine, ref)->checksum != checksum)
		ref = sharing_of(engine, ref)->next;
	return ref;
}

static bool decode(struct tmem_engine *engine, struct tmem_group *group, tmem_ref ref, void *page)
{
	const struct tmem_record *record = tmem_ref_record(engine, ref);
	uint64_t commit = atomic_load_explicit(&record->commit, memory_order_relaxed);

	return tmem_decode(tmem_ref_contents(engine, ref), tmem_commit_length(commit),
			   tmem_commit_encoding(commit), record->checksum, group->secret, page);
}

/* Whether the page that brought the contents is there and persistent. */
static bool held_by_page(struct tmem_engine *engine, const struct tmem_record *record)
{
	return tmem_commit_mark(atomic_load(&record->commit)) != TMEM_MARK_CONTENTS &&
	       tmem_pool_persistent(engine->pools[record->pool]);
}

/* Counts @by more (or less) references to the contents at @ref. Holds the group lock. */
static void count_references(struct tmem_engine *engine, tmem_ref ref, int by, bool persistent)
{
	struct tmem_sharing *sharing = sharing_of(engine, ref);
	uint32_t before = sharing->persistent_references;

	sharing->references += (uint32_t)by;
	if (!persistent)
		return;
	sharing->persistent_references += (uint32_t)by;
	if ((before == 0) != (sharing->persistent_references == 0) &&
	    !held_by_page(engine, tmem_ref_record(engine, ref)))
		atomic_fetch_add(&engine->held_slots[tmem_ref_extent(engine, ref)->class],
				 (uint64_t)(int64_t)by);
}

int tmem_group_refer(struct tmem_engine *engine, struct tmem_group *group, const void *page,
		     uint64_t checksum, bool persistent)
{
	char held[TMEM_PAGE_BYTES];
	int length_bytes = -1;
	tmem_ref ref;

	tmem_lock(&group->lock);
	ref = find(engine, group, checksum);
	if (ref != TMEM_REF_NONE && decode(engine, group, ref, held) &&
	    memcmp(held, page, TMEM_PAGE_BYTES) == 0) {
		count_references(engine, ref, 1, persistent);
		length_bytes =
			tmem_commit_length(atomic_load(&tmem_ref_record(engine, ref)->commit));
	}
	tmem_unlock(&group->lock);
	return length_bytes;
}

static void forget(struct tmem_engine *engine, struct tmem_group *group, tmem_ref ref)
{
	tmem_table_remove(engine, &group->contents, &contents_table, ref,
			  contents_hash(engine, ref));
}

/* Contents without page or references go. Holds the group lock. */
static void free_contents(struct tmem_engine *engine, struct tmem_group *group, tmem_ref ref)
{
	struct tmem_record *record = tmem_ref_record(engine, ref);
	uint64_t commit = atomic_load(&record->commit);

	if (tmem_commit_mark(commit) != TMEM_MARK_CONTENTS ||
	    sharing_of(engine, ref)->references > 0)
		return;
	forget(engine, group, ref);
	atomic_fetch_sub(&engine->pools[record->pool]->orphans, 1);
	atomic_store_explicit(&record->commit, 0, memory_order_release);
	tmem_slot_free(engine, ref, tmem_commit_length(commit));
}

void tmem_group_unrefer(struct tmem_engine *engine, struct tmem_group *group, uint64_t checksum,
			bool persistent)
{
	tmem_ref ref;

	tmem_lock(&group->lock);
	ref = find(engine, group, checksum);
	assert(ref != TMEM_REF_NONE);
	count_references(engine, ref, -1, persistent);
	free_contents(engine, group, ref);
	tmem_unlock(&group->lock);
}

bool tmem_group_read(struct tmem_engine *engine, struct tmem_group *group, uint64_t checksum,
		     void *page)
{
	bool sound;
	tmem_ref ref;

	tmem_lock(&group->lock);
	ref = find(engine, group, checksum);
	sound = ref != TMEM_REF_NONE && decode(engine, group, ref, page);
	tmem_unlock(&group->lock);
	return sound;
}

/* Gives the extent of @ref room for sharing counts. */
static bool make_sharing(struct tmem_engine *engine, tmem_ref ref)
{
	struct tmem_extent *extent = tmem_ref_extent(engine, ref);
	size_t bytes = extent->slots * sizeof(struct tmem_sharing);
	struct tmem_sharing *none = NULL;
	struct tmem_sharing *slots;

	if (atomic_load_explicit(&extent->sharing, memory_order_acquire) != NULL)
		return true;
	slots = tmem_alloc(engine, bytes);
	if (slots == NULL)
		return false;
	/* Pages of several groups lie in one extent: another group may have been faster. */
	if (!atomic_compare_exchange_strong(&extent->sharing, &none, slots))
		tmem_free(engine, slots, bytes);
	return true;
}

static int enter(struct tmem_engine *engine, struct tmem_group *group, tmem_ref ref)
{
	if (find(engine, group, tmem_ref_record(engine, ref)->checksum) != TMEM_REF_NONE)
		return -EEXIST;
	if (!make_sharing(engine, ref))
		return -ENOMEM;
	sharing_of(engine, ref)->references = 0;
	sharing_of(engine, ref)->persistent_references = 0;
	tmem_table_insert(engine, &group->contents, &contents_table, ref,
			  contents_hash(engine, ref));
	return 0;
}

void tmem_group_commit(struct tmem_engine *engine, struct tmem_group *group, tmem_ref ref,
		       uint8_t encoding, uint16_t length_bytes)
{
	struct tmem_record *record = tmem_ref_record(engine, ref);
	enum tmem_mark mark;

	tmem_lock(&group->lock);
	mark = enter(engine, group, ref) == 0 ? TMEM_MARK_SHARING : TMEM_MARK_PAGE;
	atomic_store_explicit(&record->commit,
			      tmem_record_commit(record, mark, encoding, length_bytes),
			      memory_order_release);
	tmem_unlock(&group->lock);
}

bool tmem_group_drop_page(struct tmem_engine *engine, struct tmem_group *group, tmem_ref ref)
{
	struct tmem_record *record = tmem_ref_record(engine, ref);
	uint64_t commit = atomic_load(&record->commit);
	bool last;

	tmem_lock(&group->lock);
	last = sharing_of(engine, ref)->references == 0;
	if (last) {
		forget(engine, group, ref);
		commit = 0;
	} else {
		atomic_fetch_add(&engine->pools[record->pool]->orphans, 1);
		if (sharing_of(engine, ref)->persistent_references > 0 &&
		    held_by_page(engine, record))
			atomic_fetch_add(&engine->held_slots[tmem_ref_extent(engine, ref)->class],
					 1);
		commit =
			tmem_record_commit(record, TMEM_MARK_CONTENTS, tmem_commit_encoding(commit),
					   tmem_commit_length(commit));
	}
	atomic_store_explicit(&record->commit, commit, memory_order_release);
	tmem_unlock(&group->lock);
	return last;
}

uint32_t tmem_group_references(struct tmem_engine *engine, struct tmem_group *group, tmem_ref ref)
{
	const struct tmem_record *record = tmem_ref_record(engine, ref);
	uint8_t mark = tmem_commit_mark(atomic_load(&record->commit));
	uint32_t references = 0;

	if (mark == TMEM_MARK_PAGE)
		return 0;
	tmem_lock(&group->lock);
	ref = find(engine, group, record->checksum);
	if (ref != TMEM_REF_NONE)
		references = sharing_of(engine, ref)->references;
	tmem_unlock(&group->lock);
	return references;
}

bool tmem_group_move(struct tmem_engine *engine, struct tmem_group *group, tmem_ref ref,
		     tmem_ref to, uint64_t commit)
{
	struct tmem_record *record = tmem_ref_record(engine, ref);
	bool moved = false;

	tmem_lock(&group->lock);
	if (atomic_load(&record->commit) == commit && make_sharing(engine, to)) {
		struct tmem_record *copy = tmem_ref_record(engine, to);

		sharing_of(engine, to)->references = sharing_of(engine, ref)->references;
		sharing_of(engine, to)->persistent_references =
			sharing_of(engine, ref)->persistent_references;
		atomic_store_explicit(&copy->commit, commit, memory_order_release);
		tmem_table_replace(engine, &group->contents, &contents_table, ref, to,
				   contents_hash(engine, ref));
		atomic_store_explicit(&record->commit, 0, memory_order_release);
		moved = true;
	}
	tmem_unlock(&group->lock);
	return moved;
}

int tmem_group_adopt(struct tmem_engine *engine, struct tmem_group *group, tmem_ref ref)
{
	int code;

	tmem_lock(&group->lock);
	code = enter(engine, group, ref);
	tmem_unlock(&group->lock);
	return code;
}

bool tmem_group_adopt_reference(struct tmem_engine *engine, struct tmem_group *group,
				uint64_t checksum, bool persistent)
{
	tmem_ref ref;

	tmem_lock(&group->lock);
	ref = find(engine, group, checksum);
	if (ref != TMEM_REF_NONE)
		count_references(engine, ref, 1, persistent);
	tmem_unlock(&group->lock);
	return ref != TMEM_REF_NONE;
}

void tmem_group_settle(struct tmem_engine *engine, struct tmem_group *group, tmem_ref ref)
{
	tmem_lock(&group->lock);
	free_contents(engine, group, ref);
	tmem_unlock(&group->lock);
}
