// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

/* Who reads in sequence asks for this many pages ahead at first, then for twice as many each time.
 */
enum { FIRST_WINDOW = 4 };

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static bool goes_on(const struct tmem_run *run, uint32_t pool, const struct tmem_oid *oid,
		    uint64_t index)
{
	return run->next == index && run->pool == pool && tmem_oid_equal(&run->oid, oid);
}

/* The run whose next get is that of @index. Often it is the one that it was before. */
static struct tmem_run *find_run(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
				 uint64_t index)
{
	if (goes_on(&shim->runs[shim->run_used], pool, oid, index))
		return &shim->runs[shim->run_used];
	for (uint32_t i = 0; i < shim->config.runs; i++) {
		if (!goes_on(&shim->runs[i], pool, oid, index))
			continue;
		shim->run_used = i;
		return &shim->runs[i];
	}
	return NULL;
}

/* Runs are as long as what is read at once, often a record of one size. What is fetched behind its
 * end is fetched in vain, and gone from a private pool: so a run that was shorter than expected
 * counts at once, longer ones little by little. */
static void learn(struct tmem_shim *shim, const struct tmem_run *ended)
{
	if (ended->pool == TMEM_NO_HOST_POOL)
		return;
	if (ended->length < shim->run_pages)
		shim->run_pages = ended->length;
	else
		shim->run_pages +=
			smaller(shim->run_pages, (ended->length - shim->run_pages + 3) / 4);
}

/* In the place of the one that was used longest ago. */
static struct tmem_run *begin_run(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
				  uint64_t index)
{
	struct tmem_run *oldest = &shim->runs[0];
	uint32_t most = 0, age;

	for (uint32_t i = 0; i < shim->config.runs; i++) {
		age = shim->run_clock - shim->runs[i].used;
		if (age > most) {
			most = age;
			oldest = &shim->runs[i];
		}
	}
	learn(shim, oldest);
	shim->run_used = (uint32_t)(oldest - shim->runs);
	oldest->pool = pool;
	oldest->oid = *oid;
	oldest->next = index + 1;
	oldest->frontier = index + 1;
	oldest->length = 1;
	oldest->expected = shim->run_pages;
	oldest->window = smaller(larger(FIRST_WINDOW, shim->run_pages), shim->config.ahead_pages);
	oldest->used = shim->run_clock;
	return oldest;
}

/* How many of the pages from @first on are worth asking for: none that are certainly not there at
 * the end, none that would wrap. */
static uint32_t worthwhile(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			   const struct tmem_oid *oid, uint64_t first, uint32_t count)
{
	while (count && (first + count - 1 < first ||
			 tmem_summary_absent(shim, pool, oid, first + count - 1)))
		count--;
	return count;
}

/* Where the run is expected to end. */
static uint64_t expected_end(const struct tmem_run *run)
{
	return run->next - run->length + run->expected;
}

/* How many pages to ask for from @first on: up to the expected end of the run, or, behind that,
 * what its window says. */
static uint32_t wanted(const struct tmem_shim *shim, const struct tmem_run *run, uint64_t first)
{
	uint32_t window = smaller(run->window, shim->config.ahead_pages);
	uint64_t end = expected_end(run);

	return first < end && end - first < window ? (uint32_t)(end - first) : window;
}

uint32_t tmem_ahead_window(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			   const struct tmem_oid *oid, uint64_t index)
{
	struct tmem_run *run;

	if (!shim->config.ahead_pages)
		return 0;
	shim->run_clock++;
	run = find_run(shim, pool->id, oid, index);
	if (!run) {
		run = begin_run(shim, pool->id, oid, index);
		if (run->expected == 1)
			return 0;
		return worthwhile(shim, pool, oid, index + 1, wanted(shim, run, index + 1));
	}
	run->next = index + 1;
	run->length++;
	run->used = shim->run_clock;
	if (run->frontier > index + 1)
		return 0; /* asked for already, by this run */
	return worthwhile(shim, pool, oid, index + 1, wanted(shim, run, index + 1));
}

/* The run has asked for everything before @frontier. */
static void advance_run(struct tmem_run *run, uint64_t frontier, uint32_t max)
{
	run->frontier = frontier;
	run->window = smaller(2 * run->window, max);
}

void tmem_ahead_asked(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		      const struct tmem_oid *oid, uint64_t index, uint32_t ahead)
{
	struct tmem_run *run = find_run(shim, pool->id, oid, index + 1);

	if (run)
		advance_run(run, index + 1 + ahead, shim->config.ahead_pages);
}

void tmem_ahead_refill(struct tmem_shim *shim, struct tmem_shim_pool *pool,
		       const struct tmem_oid *oid, uint64_t index)
{
	struct tmem_run *run = find_run(shim, pool->id, oid, index + 1);
	struct tmem_summary summary;
	struct tmem_entry *entry;
	uint32_t window;
	uint64_t first;

	if (!run || run->frontier <= index + 1 || shim->state != TMEM_SHIM_RUNNING)
		return;
	if (run->frontier - index - 1 > run->window / 2)
		return;
	first = run->frontier;
	/* it may well end where it is expected to */
	if (first >= expected_end(run) && run->length <= larger(run->expected, FIRST_WINDOW))
		return;
	window = wanted(shim, run, first);
	/* half of the buffer at most is on its way to one reader */
	window = smaller(window, shim->config.landing_pages / 2);
	window = worthwhile(shim, pool, oid, first, window);
	if (!window || tmem_queue_newest(shim, tmem_pool_number(shim, pool), oid, first) ||
	    !tmem_queue_room(shim, false, false) || !tmem_ahead_register(shim, shim->head))
		return;
	entry = tmem_queue_append(shim, TMEM_OP_GET_PAGE, tmem_pool_number(shim, pool), oid, first,
				  false);
	entry->count = (uint16_t)(window - 1);
	entry->flags |= TMEM_ENTRY_LANDS;
	summary = tmem_summary_find(shim, pool, oid, first);
	if (tmem_summary_ask(shim, pool, &summary))
		entry->flags |= TMEM_ENTRY_PRESENCE;
	TMEM_COUNT(shim, round_trips);
	shim->counters.ahead_asked += window;
	advance_run(run, first + window, shim->config.ahead_pages);
}

bool tmem_ahead_register(struct tmem_shim *shim, uint64_t position)
{
	for (int i = 0; i < TMEM_AHEADS_MAX; i++) {
		if (shim->aheads[i])
			continue;
		shim->aheads[i] = position;
		shim->aheads_used++;
		return true;
	}
	return false;
}

void tmem_ahead_unregister(struct tmem_shim *shim, uint64_t position)
{
	/* gets that stand alone are none of them, and often there is none at all */
	for (int i = 0; shim->aheads_used && i < TMEM_AHEADS_MAX; i++) {
		if (shim->aheads[i] != position)
			continue;
		shim->aheads[i] = 0;
		shim->aheads_used--;
	}
}

void tmem_ahead_unregister_all(struct tmem_shim *shim)
{
	memset(shim->aheads, 0, sizeof(shim->aheads));
	shim->aheads_used = 0;
}

uint64_t tmem_ahead_fetching(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
			     uint64_t index)
{
	for (int i = 0; shim->aheads_used && i < TMEM_AHEADS_MAX; i++) {
		const struct tmem_entry *entry;

		if (!shim->aheads[i])
			continue;
		entry = tmem_entry_at(shim, shim->aheads[i]);
		if (entry->pool != pool || !tmem_oid_equal(&entry->oid, oid))
			continue;
		if (entry->index == index && entry->flags & TMEM_ENTRY_LANDS)
			return shim->aheads[i];
		if (index - entry->index - 1 < entry->count)
			return shim->aheads[i];
	}
	return 0;
}
