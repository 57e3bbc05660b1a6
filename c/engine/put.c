/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "codec.h"
#include "group.h"
#include "lists.h"
#include "ops.h"
#include "policy.h"
#include "reclaim.h"
#include "slots.h"

/* What a put is about to commit, in a slot of its own that nobody else knows. */
struct new_page {
	tmem_ref ref;
	struct tmem_group *group; /* of the pool as it was looked up */
	bool reference;           /* to contents of the group: one reference is counted for us */
	bool unchecked;           /* the checksum is made once the page has been copied */
	uint32_t length_bytes;
	struct tmem_encoded encoded;
};

static void count_refusal(const struct tmem_call *call, size_t counter)
{
	atomic_fetch_add_explicit(&call->member->counters[counter], 1, memory_order_relaxed);
}

/* Guarantee B: a put that fails drops what it should have replaced. Holds the shard lock. */
static int refuse_locked(const struct tmem_call *call, const struct tmem_handle *handle,
			 size_t counter, int code)
{
	tmem_ref old = tmem_page_find(call->engine, handle, atomic_load(&call->pool->epoch));

	count_refusal(call, counter);
	if (old == TMEM_REF_NONE)
		return code;
	tmem_page_remove(call->engine, handle, old);
	tmem_count(call->member, dup_puts_flushed, 1);
	return TMEM_ENOSPC;
}

static int refuse(const struct tmem_call *call, const struct tmem_handle *handle, size_t counter,
		  int code)
{
	tmem_lock(&handle->shard->lock);
	code = tmem_call_valid(call) ? refuse_locked(call, handle, counter, code) : TMEM_ENODEV;
	tmem_unlock(&handle->shard->lock);
	return code;
}

static size_t encoding_counter(const struct new_page *page)
{
	static const size_t counters[] = {
		[TMEM_ENCODING_RAW] = TMEM_COUNTER(encoded_raw),
		[TMEM_ENCODING_SAME] = TMEM_COUNTER(encoded_same),
		[TMEM_ENCODING_LZ4] = TMEM_COUNTER(encoded_lz4),
		[TMEM_ENCODING_ZSTD] = TMEM_COUNTER(encoded_zstd),
	};

	return page->reference ? TMEM_COUNTER(deduplicated) : counters[page->encoded.encoding];
}

static void copy_contents(struct tmem_engine *engine, const struct new_page *page)
{
	char *to;

	if (page->reference || page->length_bytes == 0)
		return;
	to = tmem_ref_contents(engine, page->ref);
	memcpy(to, page->encoded.contents, page->length_bytes);
	if (page->unchecked)
		return;
	/* The next page of this size will most likely go behind this one. Its lines can come in
	 * while that page is encoded. (One that is copied from memory brings them in as fast.) */
	for (uint32_t at = 0; at < page->length_bytes; at += TMEM_CACHE_LINE_BYTES)
		__builtin_prefetch(to + page->length_bytes + at, 1);
}

/* Writes record and contents but for what only the shard lock makes known. */
static void fill(struct tmem_engine *engine, const struct tmem_call *call,
		 const struct tmem_handle *handle, const struct new_page *page)
{
	uint64_t checksum = page->encoded.checksum;
	struct tmem_record *record = tmem_ref_record(engine, page->ref);

#ifndef TMEM_TEST_SWAP_COMMIT
	copy_contents(engine, page);
#endif
	/* The copy has brought the page into the cache on its way. */
	if (page->unchecked)
		checksum = tmem_hash_page(page->encoded.contents, page->group->secret);
	record->pool = handle->pool->number;
	record->oid = handle->oid;
	record->index = handle->index;
	record->checksum = checksum;
	record->client = call->client->uid;
}

static void commit(struct tmem_engine *engine, const struct tmem_call *call,
		   const struct new_page *page)
{
	struct tmem_record *record = tmem_ref_record(engine, page->ref);
	uint8_t encoding = page->encoded.encoding;
	enum tmem_mark mark = page->reference ? TMEM_MARK_REFERENCE : TMEM_MARK_PAGE;

	if (!page->reference && encoding != TMEM_ENCODING_SAME &&
	    atomic_load_explicit(&call->client->dedup, memory_order_relaxed))
		tmem_group_commit(engine, page->group, page->ref, encoding,
				  (uint16_t)page->length_bytes);
	else
		atomic_store_explicit(
			&record->commit,
			tmem_record_commit(record, mark, encoding, (uint16_t)page->length_bytes),
			memory_order_release);
#ifdef TMEM_TEST_SWAP_COMMIT
	copy_contents(engine, page);
#endif
}

/* Undoes what led to a page that will not be committed. */
static void abandon(struct tmem_engine *engine, const struct tmem_call *call,
		    const struct new_page *page)
{
	tmem_slot_free(engine, page->ref, page->reference ? 0 : page->length_bytes);
	if (page->reference)
		tmem_group_unrefer(engine, page->group, page->encoded.checksum,
				   tmem_pool_persistent(call->pool));
}

/*
 * Puts the page in the place of an older one or none: TMEM_DONE, or a refusal that is final. With
 * *@over_limit set it is final on the @last_try only; before, nothing has changed.
 */
static int install(const struct tmem_call *call, const struct tmem_handle *handle,
		   const struct new_page *page, bool last_try, bool *over_limit)
{
	struct tmem_engine *engine = call->engine;
	struct tmem_record *record = tmem_ref_record(engine, page->ref);
	struct tmem_linking linking = {
		.charge_bytes = tmem_charge_bytes(page->length_bytes),
		.member = call->member,
		.outcome = TMEM_COUNTER(puts_stored),
		.encoding = encoding_counter(page),
	};
	tmem_ref old;
	int code;

	*over_limit = false;
	tmem_lock(&handle->shard->lock);
	if (!tmem_call_valid(call)) {
		code = TMEM_ENODEV;
		goto out;
	}
	record->epoch = (uint16_t)atomic_load(&call->pool->epoch);
	record->generation = 0;
	old = tmem_page_find(engine, handle, record->epoch);
	if (old == TMEM_REF_NONE && atomic_load(&call->client->frozen)) {
		code = refuse_locked(call, handle, TMEM_COUNTER(refused_frozen), TMEM_EFROZEN);
		goto out;
	}
	if (old != TMEM_REF_NONE) {
		struct tmem_record *old_record = tmem_ref_record(engine, old);

		record->generation = old_record->generation + 1;
		linking.instead_bytes =
			tmem_charge_bytes(tmem_commit_length(atomic_load(&old_record->commit)));
		linking.outcome = TMEM_COUNTER(puts_replaced);
	}
	code = tmem_list_link(engine, call->pool, page->ref, &linking);
	if (code != 0) {
		*over_limit = true;
		if (last_try)
			code = refuse_locked(call, handle,
					     code == -EDQUOT ? TMEM_COUNTER(refused_cap)
							     : TMEM_COUNTER(refused_quota),
					     TMEM_EDQUOT);
		goto out;
	}
	commit(engine, call, page);
	tmem_page_link(engine, handle, page->ref);
	if (old != TMEM_REF_NONE)
		tmem_page_remove(engine, handle, old);
	code = TMEM_DONE;
out:
	tmem_unlock(&handle->shard->lock);
	return code;
}

static int store(const struct tmem_call *call, const struct tmem_handle *handle,
		 struct new_page *page)
{
	struct tmem_engine *engine = call->engine;
	uint32_t stored_bytes = page->reference ? 0 : page->length_bytes;
	bool over_limit;
	int code;

	page->ref = tmem_reclaim_slot(engine, call->client, tmem_pool_persistent(call->pool),
				      tmem_class_of(stored_bytes), stored_bytes, &code);
	if (page->ref == TMEM_REF_NONE) {
		if (page->reference)
			tmem_group_unrefer(engine, page->group, page->encoded.checksum,
					   tmem_pool_persistent(call->pool));
		return refuse(call, handle,
			      code == -ENOSPC ? TMEM_COUNTER(refused_host)
					      : TMEM_COUNTER(refused_full),
			      TMEM_ENOMEM);
	}
	fill(engine, call, handle, page);
	code = install(call, handle, page, false, &over_limit);
	if (over_limit) {
		tmem_reclaim_for_cap(engine, call->pool, tmem_charge_bytes(page->length_bytes));
		code = install(call, handle, page, true, &over_limit);
	}
	if (code != TMEM_DONE)
		abandon(engine, call, page);
	return code;
}

/* A frozen client may replace pages only (rule 48). 0 if this put does. */
static int refuse_new_of_frozen(const struct tmem_call *call, const struct tmem_handle *handle)
{
	int code = 0;

	tmem_lock(&handle->shard->lock);
	if (!tmem_call_valid(call))
		code = TMEM_ENODEV;
	else if (tmem_page_find(call->engine, handle, atomic_load(&call->pool->epoch)) ==
		 TMEM_REF_NONE)
		code = refuse_locked(call, handle, TMEM_COUNTER(refused_frozen), TMEM_EFROZEN);
	tmem_unlock(&handle->shard->lock);
	return code;
}

/* Everything but the slot. */
static void encode(const struct tmem_call *call, const void *data, struct new_page *page)
{
	const struct tmem_client *client = call->client;
	uint32_t encoding = atomic_load_explicit(&client->encoding, memory_order_relaxed);
	bool dedup = atomic_load_explicit(&client->dedup, memory_order_relaxed);
	int held_bytes = -1;

	page->group = atomic_load(&call->pool->group);
	page->unchecked = false;
	if (encoding == TMEM_ENCODING_RAW && !dedup) {
		tmem_encode_unchecked(data, &page->encoded);
		page->unchecked = page->encoded.encoding == TMEM_ENCODING_RAW;
	} else {
		tmem_encode(data, encoding,
			    atomic_load_explicit(&client->zstd_level, memory_order_relaxed),
			    page->group->secret, &page->encoded);
	}
	if (dedup && page->encoded.encoding != TMEM_ENCODING_SAME)
		held_bytes =
			tmem_group_refer(call->engine, page->group, data, page->encoded.checksum,
					 tmem_pool_persistent(call->pool));
	page->reference = held_bytes >= 0;
	page->length_bytes = page->reference ? (uint32_t)held_bytes : page->encoded.length_bytes;
}

int tmem_put(struct tmem_client *client, uint32_t untrusted_pool_id, const struct tmem_oid *oid,
	     uint64_t index, const void *data)
{
	struct tmem_handle handle;
	struct tmem_call call;
	struct new_page page;
	int code = tmem_call_begin(client, untrusted_pool_id, &call);

	if (code != 0)
		return code;
	tmem_handle_init(call.engine, &handle, call.pool, oid, index);
	if (!atomic_load_explicit(&call.pool->served, memory_order_acquire))
		return refuse(&call, &handle, TMEM_COUNTER(refused_unserved), TMEM_EAGAIN);
	if (atomic_load_explicit(&client->frozen, memory_order_relaxed)) {
		/* before room is made for it at others' cost */
		code = refuse_new_of_frozen(&call, &handle);
		if (code != 0)
			return code;
	}
	if (!tmem_pool_persistent(call.pool) && !tmem_admit(call.engine, &handle))
		return refuse(&call, &handle, TMEM_COUNTER(refused_admission), TMEM_ENOMEM);
	encode(&call, data, &page);
	return store(&call, &handle, &page);
}
