/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rows: the durable client, pool, member, authorisation and host tables. A row is changed by
 * writing the new one beside it. Everything here holds the control lock (or is recovery).
 */
#ifndef TMEM_ROWS_H
#define TMEM_ROWS_H

#include "internal.h"

/* Makes sure there is a spare place, into which changed rows are written. 0 or -ENOMEM. */
int tmem_rows_spare(struct tmem_engine *engine);

/* Writes @row (kind, key and the kind's fields; the rest zero) in place of *@ref, or as a new row
 * if that is TMEM_REF_NONE; *@ref is where it stands now. 0, or, for a new row only, -ENOMEM with
 * nothing changed: the old place of a changed row is the next spare one. */
int tmem_row_write(struct tmem_engine *engine, struct tmem_row *row, tmem_ref *ref);

/* Removes the row and sets *@ref to TMEM_REF_NONE. */
void tmem_row_clear(struct tmem_engine *engine, tmem_ref *ref);

/* The rows of what they are named after, from its fields. 0 or -ENOMEM. */
int tmem_client_write(struct tmem_client *client);
int tmem_pool_write(struct tmem_engine *engine, struct tmem_pool *pool, uint32_t epoch,
		    const struct tmem_client *owner);
int tmem_member_write(struct tmem_engine *engine, struct tmem_member *member, uint32_t id,
		      const struct tmem_pool *pool);
int tmem_auth_write(struct tmem_engine *engine, const struct tmem_client *client,
		    struct tmem_auth *auth);
int tmem_host_write(struct tmem_engine *engine, bool shared_auth_all);

#endif
