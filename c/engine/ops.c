/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops.h"

#include "group.h"
#include "lists.h"
#include "slots.h"

void tmem_page_remove(struct tmem_engine *engine, const struct tmem_handle *handle, tmem_ref ref)
{
	struct tmem_record *record = tmem_ref_record(engine, ref);
	struct tmem_group *group = atomic_load_explicit(&handle->pool->group, memory_order_relaxed);
	uint64_t commit = atomic_load_explicit(&record->commit, memory_order_relaxed);
	uint32_t length_bytes = tmem_commit_length(commit);
	uint64_t checksum = record->checksum;

	tmem_page_unlink(engine, handle, ref);
	tmem_list_unlink(engine, handle->pool, ref, tmem_charge_bytes(length_bytes));
	switch (tmem_commit_mark(commit)) {
	case TMEM_MARK_SHARING:
		if (tmem_group_drop_page(engine, group, ref))
			tmem_slot_free(engine, ref, length_bytes);
		break;
	case TMEM_MARK_REFERENCE:
		atomic_store_explicit(&record->commit, 0, memory_order_release);
		tmem_slot_free(engine, ref, 0);
		tmem_group_unrefer(engine, group, checksum, tmem_pool_persistent(handle->pool));
		break;
	default:
		atomic_store_explicit(&record->commit, 0, memory_order_release);
		tmem_slot_free(engine, ref, length_bytes);
	}
}
