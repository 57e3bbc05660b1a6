// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

/* A member echoes this many times a T_lease. */
enum { ECHOES_A_LEASE = 4 };

static bool shared_waits_for_room(struct tmem_shim *shim)
{
	for (const struct tmem_shim_request *request = shim->room_first; request;
	     request = request->next) {
		const struct tmem_shim_pool *pool = tmem_pool_find(shim, request->pool);

		if (pool && tmem_pool_shared(pool))
			return true;
	}
	return false;
}

/* R-b: an echo never overtakes an operation that was issued, queued or not. What is queued is
 * before it anyway. */
static bool would_overtake(struct tmem_shim *shim)
{
	return TMEM_RULE(ECHO_ORDER) && (shared_waits_for_room(shim) || tmem_owed_shared(shim));
}

static uint64_t echo_period_ns(const struct tmem_shim *shim)
{
	uint64_t period_ns = shim->lease_ms * TMEM_NS_PER_MS / ECHOES_A_LEASE;

	return period_ns ? period_ns : 1;
}

static void echo(struct tmem_shim *shim, uint64_t now_ns)
{
	bool member = tmem_pools_echo(shim);
	bool quiet = now_ns - shim->heard_ns >= shim->config.idle_ms * TMEM_NS_PER_MS &&
		     shim->answered == shim->head;

	if (!member && !quiet) {
		shim->echo_ns = now_ns;
		return;
	}
	if ((member && now_ns < shim->echo_ns) || would_overtake(shim) || shim->echo_queued ||
	    !tmem_queue_room(shim, false, true))
		return;
	tmem_queue_append(shim, TMEM_OP_ECHO, shim->config.pools, NULL, shim->token, false);
	shim->echo_queued = true;
	shim->heard_ns = now_ns;
	shim->echo_ns = now_ns + echo_period_ns(shim);
	TMEM_COUNT(shim, echoes);
}

static bool is_silent(const struct tmem_shim *shim)
{
	return __atomic_load_n(&shim->silent, __ATOMIC_RELAXED);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When to look again. One that cannot go now goes when something else has moved, and whoever moves
 * that does not ask for the time. */
static uint64_t next_echo_ns(const struct tmem_shim *shim, uint64_t now_ns)
{
	return shim->echo_ns > now_ns ? shim->echo_ns : now_ns + echo_period_ns(shim);
}

static uint64_t running(struct tmem_shim *shim, uint64_t now_ns)
{
	uint64_t silent_ns = shim->config.silent_ms * TMEM_NS_PER_MS;
	uint64_t next_ns = tmem_pools_retry(shim, now_ns);

	if (!is_silent(shim))
		echo(shim, now_ns);
	if (shim->progress_ns != TMEM_NEVER && shim->answered < shim->head) {
		if (now_ns >= shim->progress_ns + silent_ns) {
			tmem_link_broken(shim, TMEM_ETIMEDOUT);
			return now_ns;
		}
		next_ns = earlier(next_ns, shim->progress_ns + silent_ns);
	}
	if (tmem_pools_echo(shim) && !is_silent(shim))
		next_ns = earlier(next_ns, next_echo_ns(shim, now_ns));
	return earlier(next_ns, shim->heard_ns + shim->config.idle_ms * TMEM_NS_PER_MS);
}

uint64_t tmem_shim_tick(struct tmem_shim *shim)
{
	unsigned long flags = tmem_shim_lock(shim);
	uint64_t now_ns = tmem_shim_now(shim), next_ns = TMEM_NEVER;

	tmem_shim_requests_expire(shim, now_ns);
	if (shim->state == TMEM_SHIM_RUNNING)
		next_ns = running(shim, now_ns);
	if ((shim->state == TMEM_SHIM_HELLO || shim->state == TMEM_SHIM_START) &&
	    now_ns >= shim->hello_ns)
		tmem_link_say_hello(shim);
	tmem_shim_advance(shim);
	next_ns = earlier(next_ns, shim->hello_ns);
	next_ns = earlier(next_ns, tmem_shim_requests_next(shim));
	tmem_shim_unlock(shim, flags);
	tmem_shim_reopen(shim);
	/* what was due and could not be done waits for something to change */
	return next_ns > now_ns + TMEM_NS_PER_MS ? next_ns : now_ns + TMEM_NS_PER_MS;
}

void tmem_shim_silence(struct tmem_shim *shim)
{
	if (TMEM_RULE(TASK_ECHO))
		__atomic_store_n(&shim->silent, true, __ATOMIC_RELAXED);
}
