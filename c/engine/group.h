/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trust groups: who may share contents with whom, and the shared contents themselves.
 *
 * A group is one client's private pools, the private pools of all clients that the operator gave
 * the same group number, or one shared pool. Its secret keys the checksums of its pages, so that
 * no guest can make pages that collide, nor learn by timing what another group holds. A match of
 * checksums is never believed: the contents are compared.
 *
 * In a group at most one record stands for one checksum (TMEM_MARK_SHARING, or TMEM_MARK_CONTENTS
 * once its own page is gone); references name it by that checksum, so that it can be moved without
 * touching them. Reference counts are not durable: recovery counts the references.
 */
#ifndef TMEM_GROUP_H
#define TMEM_GROUP_H

#include "internal.h"

enum tmem_group_kind { TMEM_GROUP_CLIENT = 1, TMEM_GROUP_OPERATOR, TMEM_GROUP_POOL };

struct tmem_group {
	uint32_t kind;
	uint32_t number; /* client uid, operator's number, pool number */
	uint8_t secret[TMEM_SECRET_BYTES];
	struct tmem_lock lock;
	struct tmem_table contents; /* by checksum */
	struct tmem_group *next;
};

/* The secret of a group: the same in every program that knows the arena's header. */
void tmem_group_secret(const struct tmem_arena_header *header, uint32_t kind, uint32_t number,
		       uint8_t *ret);

/* Finds or makes the group; NULL when there is no memory. Holds the control lock. */
struct tmem_group *tmem_group_get(struct tmem_engine *engine, uint32_t kind, uint32_t number);
void tmem_groups_deinit(struct tmem_engine *engine);

/* If the group holds the plain @page (of @checksum), counts a reference to it, by a @persistent
 * page or not, and returns the length of its encoded contents; else -1. */
int tmem_group_refer(struct tmem_engine *engine, struct tmem_group *group, const void *page,
		     uint64_t checksum, bool persistent);

/* Takes a reference back; the contents go with the last one if their own page is gone. */
void tmem_group_unrefer(struct tmem_engine *engine, struct tmem_group *group, uint64_t checksum,
			bool persistent);

/* Reads contents by reference: false if they are damaged. */
bool tmem_group_read(struct tmem_engine *engine, struct tmem_group *group, uint64_t checksum,
		     void *page);

/*
 * Commits the complete record at @ref as one whose contents may be referred to, unless the group
 * has such a record of this checksum already or memory is short: then as a plain page. Holds the
 * shard lock.
 */
void tmem_group_commit(struct tmem_engine *engine, struct tmem_group *group, tmem_ref ref,
		       uint8_t encoding, uint16_t length_bytes);

/* The page of a TMEM_MARK_SHARING record is gone: clears the record and returns true if its slot
 * may be freed, or leaves its contents to the references. */
bool tmem_group_drop_page(struct tmem_engine *engine, struct tmem_group *group, tmem_ref ref);

/* How many references there are to the contents of the record at @ref. */
uint32_t tmem_group_references(struct tmem_engine *engine, struct tmem_group *group, tmem_ref ref);

/* Puts @to, an uncommitted copy of the sharing record or contents at @ref, in its place and clears
 * the old record. False if @ref is no longer what @commit says. */
bool tmem_group_move(struct tmem_engine *engine, struct tmem_group *group, tmem_ref ref,
		     tmem_ref to, uint64_t commit);

/* Recovery: takes the sharing record or contents at @ref into the group's table. 0, -EEXIST if one
 * of its checksum is there already, or -ENOMEM. */
int tmem_group_adopt(struct tmem_engine *engine, struct tmem_group *group, tmem_ref ref);
/* Recovery: counts a reference; false if there is nothing of this checksum. */
bool tmem_group_adopt_reference(struct tmem_engine *engine, struct tmem_group *group,
				uint64_t checksum, bool persistent);
/* Recovery: frees the contents at @ref if nothing refers to them. */
void tmem_group_settle(struct tmem_engine *engine, struct tmem_group *group, tmem_ref ref);

#endif
