/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients, pools and members as the registry keeps them. All with the control lock held, or in
 * recovery, unless said otherwise. */
#ifndef TMEM_REGISTRY_H
#define TMEM_REGISTRY_H

#include "internal.h"

int tmem_registry_init(struct tmem_engine *engine); /* 0 or -ENOMEM */
void tmem_registry_deinit(struct tmem_engine *engine);

/* A client struct for @uid, not yet in the registry; NULL when there is no memory. */
struct tmem_client *tmem_client_struct(struct tmem_engine *engine, uint32_t uid, const char *name);
/* Enters it, or takes it out again. Takes the owners lock. */
void tmem_client_enter(struct tmem_client *client);
void tmem_client_leave(struct tmem_client *client);
/* Gives an unused or left struct back for reuse. */
void tmem_client_recycle(struct tmem_client *client);
/* Makes settings take effect on the data path. */
void tmem_client_apply(struct tmem_client *client);
void tmem_client_hold(struct tmem_client *client);

/* A pool struct for @number (or any free number: UINT32_MAX), state free; NULL without memory. */
struct tmem_pool *tmem_pool_struct(struct tmem_engine *engine, uint32_t number);
void tmem_pool_recycle(struct tmem_engine *engine, struct tmem_pool *pool);
/* Makes room for one pool more than the client is a member of. 0 or -ENOMEM. Takes the owners
 * lock. */
int tmem_client_reserve_owned(struct tmem_client *client);
/* Sets who is charged; NULL: nobody. Takes owners and list locks. */
void tmem_pool_set_owner(struct tmem_engine *engine, struct tmem_pool *pool,
			 struct tmem_client *owner);
/* The live shared pool of @uuid, or NULL. */
struct tmem_pool *tmem_pool_by_uuid(struct tmem_engine *engine, const uint8_t *uuid);
/* Whether all members have resumed. Sets pool->served. */
void tmem_pool_update_served(struct tmem_pool *pool);

/* A member struct of @client at the slot of @id (or any free one, and a new id: -1), not yet valid;
 * NULL with *@code = TMEM_EMFILE or TMEM_ENOMEM. */
struct tmem_member *tmem_member_struct(struct tmem_client *client, int64_t id, uint32_t *ret_id,
				       int *code);
/* Adds the member to the pool's members, in order of joining, and makes its id valid. 0 or
 * -ENOMEM. */
int tmem_member_enter(struct tmem_member *member, uint32_t id, struct tmem_pool *pool);
/* Makes the id invalid and takes it out of the pool. */
void tmem_member_leave(struct tmem_member *member);
/* After quiescing: adds the counters of a member that left to its client's. */
void tmem_member_settle(struct tmem_member *member);

/* Calls @visit for each valid member of @client, in order of slots. */
void tmem_members_visit(struct tmem_client *client,
			void (*visit)(struct tmem_member *member, void *context), void *context);

/* The member that @id names, or NULL. */
struct tmem_member *tmem_member_find(struct tmem_client *client, uint32_t untrusted_id);

/*
 * Leaves or destroys the member's pool (pool.c): ends with the member free and, of a pool that has
 * no member left, with the pool gone. The client lock is held, the control lock is NOT.
 */
void tmem_member_end(struct tmem_engine *engine, struct tmem_member *member);

#endif
