/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lease.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct tmem_share {
	struct tmem_share *next;
	_Atomic uint64_t served_until_ns;
	uint8_t uuid[TMEM_UUID_BYTES];
	bool said_served; /* to whom asks for changes */
	uint32_t count;
	uint32_t room;
	struct tmem_sharer **members; /* one for each join */
};

void tmem_shares_init(struct tmem_shares *shares)
{
	shares->first = NULL;
	pthread_mutex_init(&shares->lock, NULL);
}

static void free_share(struct tmem_share *share)
{
	free(share->members);
	free(share);
}

void tmem_shares_deinit(struct tmem_shares *shares)
{
	while (shares->first != NULL) {
		struct tmem_share *share = shares->first;

		shares->first = share->next;
		free_share(share);
	}
	pthread_mutex_destroy(&shares->lock);
}

/* Holds the lock, as everything here but tmem_share_served. */
static struct tmem_share *find(const struct tmem_shares *shares, const uint8_t *uuid)
{
	struct tmem_share *share = shares->first;

	while (share != NULL && memcmp(share->uuid, uuid, TMEM_UUID_BYTES) != 0)
		share = share->next;
	return share;
}

static void update(struct tmem_share *share)
{
	uint64_t until_ns = UINT64_MAX;

	for (uint32_t i = 0; i < share->count; i++) {
		uint64_t of_member = atomic_load(&share->members[i]->until_ns);

		if (of_member < until_ns)
			until_ns = of_member;
	}
	atomic_store(&share->served_until_ns, until_ns);
}

static bool add(struct tmem_share *share, struct tmem_sharer *sharer)
{
	if (share->count == share->room) {
		uint32_t room = share->room != 0 ? 2 * share->room : 4;
		struct tmem_sharer **members =
			realloc(share->members, room * sizeof(struct tmem_sharer *));

		if (members == NULL)
			return false;
		share->members = members;
		share->room = room;
	}
	share->members[share->count++] = sharer;
	update(share);
	return true;
}

static void remove_if_empty(struct tmem_shares *shares, struct tmem_share *share)
{
	struct tmem_share **at = &shares->first;

	if (share->count != 0)
		return;
	while (*at != share)
		at = &(*at)->next;
	*at = share->next;
	free_share(share);
}

struct tmem_share *tmem_share_join(struct tmem_shares *shares, const uint8_t *uuid,
				   struct tmem_sharer *sharer)
{
	struct tmem_share *share;

	pthread_mutex_lock(&shares->lock);
	share = find(shares, uuid);
	if (share == NULL) {
		share = calloc(1, sizeof(*share));
		if (share == NULL)
			goto out;
		memcpy(share->uuid, uuid, TMEM_UUID_BYTES);
		share->next = shares->first;
		shares->first = share;
	}
	if (!add(share, sharer)) {
		remove_if_empty(shares, share);
		share = NULL;
	}
out:
	pthread_mutex_unlock(&shares->lock);
	return share;
}

void tmem_share_leave(struct tmem_shares *shares, struct tmem_share *share,
		      struct tmem_sharer *sharer)
{
	uint32_t at = 0;

	pthread_mutex_lock(&shares->lock);
	while (share->members[at] != sharer)
		at++;
	share->members[at] = share->members[--share->count];
	update(share);
	remove_if_empty(shares, share);
	pthread_mutex_unlock(&shares->lock);
}

void tmem_share_update(struct tmem_shares *shares, struct tmem_share *share)
{
	pthread_mutex_lock(&shares->lock);
	update(share);
	pthread_mutex_unlock(&shares->lock);
}

bool tmem_share_served(const struct tmem_share *share, uint64_t now_ns)
{
	return now_ns < atomic_load(&share->served_until_ns);
}

int tmem_shares_waited_for(struct tmem_shares *shares, const uint8_t *uuid, uint64_t now_ns,
			   char *waited_for, uint32_t max)
{
	const struct tmem_share *share;
	int count = TMEM_ENODEV;

	pthread_mutex_lock(&shares->lock);
	share = find(shares, uuid);
	if (share != NULL) {
		count = 0;
		for (uint32_t i = 0; i < share->count; i++) {
			const struct tmem_sharer *sharer = share->members[i];

			if (now_ns < atomic_load(&sharer->until_ns))
				continue;
			if ((uint32_t)count < max)
				memccpy(waited_for + (size_t)count * (TMEM_CLIENT_NAME_MAX + 1),
					sharer->client, '\0', TMEM_CLIENT_NAME_MAX + 1);
			count++;
		}
	}
	pthread_mutex_unlock(&shares->lock);
	return count;
}

static const char *first_waited_for(const struct tmem_share *share, uint64_t now_ns)
{
	for (uint32_t i = 0; i < share->count; i++)
		if (now_ns >= atomic_load(&share->members[i]->until_ns))
			return share->members[i]->client;
	return NULL;
}

void tmem_shares_changes(struct tmem_shares *shares, uint64_t now_ns,
			 void (*changed)(void *context, const uint8_t *uuid,
					 const char *waited_for),
			 void *context)
{
	pthread_mutex_lock(&shares->lock);
	for (struct tmem_share *share = shares->first; share != NULL; share = share->next) {
		const char *waited_for = first_waited_for(share, now_ns);

		if ((waited_for == NULL) == share->said_served)
			continue;
		share->said_served = waited_for == NULL;
		changed(context, share->uuid, waited_for);
	}
	pthread_mutex_unlock(&shares->lock);
}
