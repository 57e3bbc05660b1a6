/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "hash.h"
#include "state_layout.h"

/* What a slot has two copies of. */
struct kind {
	uint32_t at_bytes;
	uint32_t stride_bytes;
	uint32_t content_bytes;
};

static const struct kind of_progress = {0, 64, sizeof(struct tmem_state_progress)};
static const struct kind of_session = {128, 384, sizeof(struct tmem_state_session)};

static struct copy *copy_of(struct tmem_state *state, int64_t slot, const struct kind *kind,
			    uint64_t which)
{
	return (struct copy *)(state->map + slot_at_bytes((uint64_t)slot) + kind->at_bytes +
			       (which & 1) * kind->stride_bytes);
}

/* ---- the two copies --------------------------------------------------------------------- */

static uint64_t sequence_of(const struct copy *copy)
{
	return atomic_load_explicit(&copy->sequence, memory_order_acquire);
}

static uint64_t newest(struct tmem_state *state, int64_t slot, const struct kind *kind)
{
	uint64_t first = sequence_of(copy_of(state, slot, kind, 0));
	uint64_t second = sequence_of(copy_of(state, slot, kind, 1));

	return first > second ? first : second;
}

/* Only this process' death can come between the stores: their order is all it takes. */
static inline void write_copy(struct tmem_state *state, int64_t slot, const struct kind *kind,
			      const void *content)
{
	uint64_t sequence = newest(state, slot, kind) + 1;
	struct copy *copy = copy_of(state, slot, kind, sequence);

	atomic_store_explicit(&copy->sequence, 0, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	memcpy(copy->content, content, kind->content_bytes);
	copy->check = XXH3_64bits_withSeed(content, kind->content_bytes, sequence);
	atomic_store_explicit(&copy->sequence, sequence, memory_order_release);
}

/* Takes the newer one that is sound; false when there is none. */
static bool read_copy(struct tmem_state *state, int64_t slot, const struct kind *kind, void *ret)
{
	uint64_t found = 0;

	for (int which = 0; which < 2; which++) {
		const struct copy *copy = copy_of(state, slot, kind, (uint64_t)which);
		uint64_t sequence = sequence_of(copy);

		if (sequence <= found ||
		    copy->check !=
			    XXH3_64bits_withSeed(copy->content, kind->content_bytes, sequence))
			continue;
		memcpy(ret, copy->content, kind->content_bytes);
		found = sequence;
	}
	return found != 0;
}

static void clear_copies(struct tmem_state *state, int64_t slot, const struct kind *kind)
{
	for (int which = 0; which < 2; which++)
		atomic_store(&copy_of(state, slot, kind, (uint64_t)which)->sequence, 0);
}

void tmem_state_set_session(struct tmem_state *state, int64_t slot,
			    const struct tmem_state_session *session)
{
	write_copy(state, slot, &of_session, session);
}

void tmem_state_set_progress(struct tmem_state *state, int64_t slot,
			     const struct tmem_state_progress *progress)
{
	write_copy(state, slot, &of_progress, progress);
}

static bool read_slot(struct tmem_state *state, int64_t slot, struct tmem_state_session *session,
		      struct tmem_state_progress *progress)
{
	if (!read_copy(state, slot, &of_session, session))
		return false;
	if (!read_copy(state, slot, &of_progress, progress))
		memset(progress, 0, sizeof(*progress));
	return true;
}

/* ---- slots ------------------------------------------------------------------------------ */

/* The room is allocated before it is touched: a full tmpfs is no SIGBUS. */
static int grow(struct tmem_state *state, uint32_t slots)
{
	size_t from = slot_at_bytes(state->slots);
	int code = posix_fallocate(state->fd, (off_t)from, (off_t)(slot_at_bytes(slots) - from));

	if (code != 0)
		return -code;
	state->slots = slots;
	return 0;
}

int64_t tmem_state_add(struct tmem_state *state, const struct tmem_state_session *session)
{
	int64_t slot = 0;
	int code = 0;

	pthread_mutex_lock(&state->lock);
	while (slot < state->slots && newest(state, slot, &of_session) != 0)
		slot++;
	if (slot == SLOTS_MAX)
		code = -ENOMEM;
	else if (slot == state->slots)
		code = grow(state, state->slots + GROW_SLOTS);
	if (code == 0)
		tmem_state_set_session(state, slot, session);
	pthread_mutex_unlock(&state->lock);
	return code == 0 ? slot : code;
}

void tmem_state_remove(struct tmem_state *state, int64_t slot)
{
	pthread_mutex_lock(&state->lock);
	clear_copies(state, slot, &of_progress);
	clear_copies(state, slot, &of_session);
	pthread_mutex_unlock(&state->lock);
}

int64_t tmem_state_next(struct tmem_state *state, int64_t slot, struct tmem_state_session *session,
			struct tmem_state_progress *progress)
{
	for (slot++; slot < state->slots; slot++)
		if (read_slot(state, slot, session, progress))
			return slot;
	return -ENOENT;
}

/* ---- tokens ----------------------------------------------------------------------------- */

uint64_t tmem_state_token(struct tmem_state *state, uint64_t now_ns, uint64_t age_ns)
{
	struct token *newest;
	uint64_t token;

	pthread_mutex_lock(&state->lock);
	newest = token_of(state, state->newest_token);
	if (atomic_load(&newest->time_ns) == 0 || now_ns - atomic_load(&newest->time_ns) > age_ns) {
		newest = token_of(state, ++state->newest_token);
		atomic_store(&newest->time_ns, 0);
		do {
			if (getrandom(&newest->token, sizeof(newest->token), 0) !=
			    sizeof(newest->token))
				abort(); /* cannot be: 8 bytes are never short */
		} while (newest->token == 0);
		atomic_store(&newest->time_ns, now_ns);
	}
	token = newest->token;
	pthread_mutex_unlock(&state->lock);
	return token;
}

uint64_t tmem_state_token_ns(struct tmem_state *state, uint64_t untrusted_token)
{
	uint64_t time_ns = 0;

	if (untrusted_token == 0)
		return 0;
	pthread_mutex_lock(&state->lock);
	for (uint32_t i = 0; i < TMEM_TOKENS && time_ns == 0; i++) {
		const struct token *token = token_of(state, state->newest_token - i);

		if (token->token == untrusted_token)
			time_ns = atomic_load(&token->time_ns);
	}
	pthread_mutex_unlock(&state->lock);
	return time_ns;
}
