// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

#ifdef TMEM_DEBUG
unsigned int tmem_shim_without;
#endif

#define TMEM_SHIM_COUNTER_TEXT(name, meaning) {#name, meaning},
const struct tmem_shim_counter_text tmem_shim_counter_texts[] = {
	TMEM_SHIM_COUNTERS(TMEM_SHIM_COUNTER_TEXT)};
const uint32_t tmem_shim_counter_count = sizeof(struct tmem_shim_counters) / sizeof(uint64_t);

/* ---- memory --------------------------------------------------------------------------- */

static uint32_t or_default(uint32_t value, uint32_t standard)
{
	if (value == TMEM_SHIM_NONE)
		return 0;
	return value ? value : standard;
}

static bool power_of_two(uint32_t value)
{
	return value && !(value & (value - 1));
}

/* How what the device reads is divided. Without pieces of the caller's: one of slots, one of
 * headers. */
struct division {
	uint32_t piece_slots, piece_heads; /* in each piece */
	uint32_t slot_pieces, head_pieces;
};

static struct division divide(const struct tmem_shim_config *config)
{
	struct division division = {config->staged_pages, config->queue_entries, 1, 1};

	if (!config->piece_bytes)
		return division;
	division.piece_slots = config->piece_bytes / TMEM_SLOT_BYTES;
	division.piece_heads = config->piece_bytes / TMEM_WIRE_HEADER_BYTES;
	division.slot_pieces =
		(config->staged_pages + division.piece_slots - 1) / division.piece_slots;
	division.head_pieces =
		(config->queue_entries + division.piece_heads - 1) / division.piece_heads;
	return division;
}

static bool piece_fits(const struct tmem_shim_config *config)
{
	return !config->piece_bytes ||
	       (config->piece_bytes >= 8192 && config->piece_bytes % TMEM_WIRE_HEADER_BYTES == 0 &&
		config->piece_bytes % TMEM_SLOT_BYTES >= TMEM_CONTROL_BYTES);
}

/* Fills in the defaults. False: not possible. */
static bool complete_config(struct tmem_shim_config *config)
{
	config->queue_entries = or_default(config->queue_entries, 1024);
	config->staged_pages = or_default(
		config->staged_pages, config->queue_entries < 256 ? config->queue_entries : 256);
	config->pools = or_default(config->pools, 64);
	config->owed_objects = or_default(config->owed_objects, 16);
	config->landing_pages = or_default(config->landing_pages, 128);
	config->ahead_pages = or_default(config->ahead_pages, TMEM_WIRE_AHEAD_MAX);
	config->runs = or_default(config->runs, 16);
	config->summary_windows = or_default(config->summary_windows, 1024);
	config->summary_filter_bits = or_default(config->summary_filter_bits, 1 << 20);
	config->hello_ms = or_default(config->hello_ms, 500);
	config->get_ms = or_default(config->get_ms, 2000);
	config->silent_ms = or_default(config->silent_ms, 4000);
	config->idle_ms = or_default(config->idle_ms, 10000);
	config->giveup_ms = or_default(config->giveup_ms, 4000);
	if (!config->landing_pages || !config->runs)
		config->ahead_pages = 0;
	return power_of_two(config->queue_entries) && config->queue_entries >= 16 &&
	       config->queue_entries <= 1 << 20 && config->staged_pages &&
	       config->staged_pages <= config->queue_entries && config->pools &&
	       config->pools <= 1 << 16 && config->owed_objects &&
	       config->owed_objects <= 1 << 16 && config->landing_pages <= 1 << 20 &&
	       config->ahead_pages <= TMEM_WIRE_AHEAD_MAX && config->runs <= 1 << 10 &&
	       config->summary_windows <= 1 << 20 && power_of_two(config->summary_filter_bits) &&
	       config->summary_filter_bits >= 64 && piece_fits(config) && config->hello_ms &&
	       config->get_ms && config->silent_ms && config->idle_ms && config->giveup_ms;
}

/* The next @bytes at a multiple of 64; @at NULL: only counts. */
static void *take(uint8_t *at, uint64_t *used, uint64_t bytes)
{
	void *place = at ? at + *used : NULL;

	*used += (bytes + 63) & ~63ull;
	return place;
}

/* Where everything is: the shim at the beginning of @memory, or (NULL) only its size. */
static uint64_t lay_out(uint8_t *memory, const struct tmem_shim_config *config)
{
	struct division division = divide(config);
	uint64_t used = 0;
	struct tmem_shim *shim = take(memory, &used, sizeof(*shim));
	struct tmem_owed *owed;
	uint8_t *rooms;

#define PLACE(field, bytes)                                                                        \
	do {                                                                                       \
		void *place = take(memory, &used, bytes);                                          \
		if (shim)                                                                          \
			shim->field = place;                                                       \
	} while (0)
	PLACE(entries, config->queue_entries * sizeof(*shim->entries));
	PLACE(buckets, config->queue_entries * sizeof(*shim->buckets));
	PLACE(pieces, (division.slot_pieces + division.head_pieces) * sizeof(*shim->pieces));
	if (!config->piece_bytes) {
		uint8_t *slots =
			take(memory, &used,
			     (uint64_t)config->staged_pages * TMEM_SLOT_BYTES + TMEM_CONTROL_BYTES);
		uint8_t *heads =
			take(memory, &used, config->queue_entries * TMEM_WIRE_HEADER_BYTES);

		if (shim) {
			shim->pieces[0] = slots;
			shim->pieces[1] = heads;
		}
	}
	PLACE(pools, config->pools * sizeof(*shim->pools));
	PLACE(used_pools, config->pools * sizeof(*shim->used_pools));
	owed = take(memory, &used, (uint64_t)config->pools * config->owed_objects * sizeof(*owed));
	PLACE(landed, config->landing_pages * sizeof(*shim->landed));
	PLACE(landing_buckets, config->landing_pages * sizeof(*shim->landing_buckets));
	PLACE(landing, config->landing_pages * sizeof(*shim->landing));
	rooms = take(memory, &used, (config->landing_pages + 1ull) * TMEM_MESSAGE_ROOM);
	PLACE(runs, config->runs * sizeof(*shim->runs));
	PLACE(windows, config->summary_windows * sizeof(*shim->windows));
	PLACE(filter, config->summary_filter_bits / 8);
	PLACE(own, TMEM_OWN_OBJECTS * sizeof(*shim->own));
	PLACE(own_filter, TMEM_OWN_FILTER_BITS / 8);
#undef PLACE
	for (uint32_t i = 0; shim && i < config->pools; i++)
		shim->pools[i].owed = owed + (uint64_t)i * config->owed_objects;
	for (uint32_t i = 0; shim && i < config->landing_pages; i++)
		shim->landing[i] = rooms + (uint64_t)i * TMEM_MESSAGE_ROOM;
	if (shim)
		shim->assembly = rooms + (uint64_t)config->landing_pages * TMEM_MESSAGE_ROOM;
	return used;
}

uint64_t tmem_shim_bytes(const struct tmem_shim_config *config)
{
	struct tmem_shim_config completed = *config;

	return complete_config(&completed) ? lay_out(NULL, &completed) : 0;
}

uint32_t tmem_shim_pieces(const struct tmem_shim_config *config)
{
	struct tmem_shim_config completed = *config;
	struct division division;

	if (!config->piece_bytes || !complete_config(&completed))
		return 0;
	division = divide(&completed);
	return division.slot_pieces + division.head_pieces;
}

/* Page slots, behind those of the first piece HELLO, START and BYE, then headers. */
static void take_pieces(struct tmem_shim *shim, void *const *pieces)
{
	struct division division = divide(&shim->config);

	for (uint32_t i = 0; i < tmem_shim_pieces(&shim->config); i++)
		shim->pieces[i] = pieces[i];
	shim->piece_slots = division.piece_slots;
	shim->piece_heads = division.piece_heads;
	shim->head_pieces = shim->pieces + division.slot_pieces;
	shim->control = shim->pieces[0] + (uint64_t)division.piece_slots * TMEM_SLOT_BYTES;
}

struct tmem_shim *tmem_shim_init(void *memory, void *const *pieces,
				 const struct tmem_shim_config *config,
				 const struct tmem_shim_callbacks *callbacks)
{
	struct tmem_shim_config completed = *config;
	struct tmem_shim *shim = memory;
	uint64_t bytes;

	if (!complete_config(&completed))
		return NULL;
	bytes = lay_out(NULL, &completed);
	memset(memory, 0, bytes);
	lay_out(memory, &completed);
	tmem_platform_lock_init(&shim->lock);
	shim->config = completed;
	take_pieces(shim, pieces);
	shim->config.implementation[sizeof(shim->config.implementation) - 1] = 0;
	shim->callbacks = *callbacks;
	shim->memory_bytes = bytes + (uint64_t)tmem_shim_pieces(&completed) * completed.piece_bytes;
	shim->seed = (uint64_t)tmem_platform_random() << 32 | tmem_platform_random();
	/* position 0 is nobody's, so that it can mean "none" */
	shim->head = shim->taken = shim->answered = shim->returned = shim->tail = 1;
	for (uint32_t i = 0; i < completed.pools; i++)
		shim->pools[i].id = TMEM_NO_HOST_POOL;
	shim->swap_pool = completed.pools;
	shim->pools_after = UINT64_MAX;
	shim->giveup_ms = completed.giveup_ms;
	shim->hello_ns = shim->echo_ns = shim->progress_ns = TMEM_NEVER;
	tmem_landing_drop_all(shim);
	tmem_own_reset(shim);
	shim->run_pages = 1;
	for (uint32_t i = 0; i < completed.runs; i++)
		shim->runs[i].pool = TMEM_NO_HOST_POOL;
	for (uint32_t i = 0; i < completed.summary_windows; i++)
		shim->windows[i].pool = TMEM_NO_HOST_POOL;
	tmem_decoder_init(&shim->decoder, 1);
	return shim;
}

void tmem_shim_destroy(struct tmem_shim *shim)
{
	tmem_platform_lock_destroy(&shim->lock);
}

/* ---- the lock and what follows from giving it up -------------------------------------- */

void tmem_shim_unlock_and_tell(struct tmem_shim *shim, unsigned long flags)
{
	const struct tmem_shim_callbacks *callbacks = &shim->callbacks;
	uint32_t count = shim->event_count;
	bool wake = shim->wake_wanted;
	int kinds[TMEM_EVENTS_MAX];
	int64_t codes[TMEM_EVENTS_MAX];

	for (uint32_t i = 0; i < count; i++) {
		kinds[i] = shim->events[i].event;
		codes[i] = shim->events[i].code;
	}
	shim->event_count = 0;
	shim->wake_wanted = false;
	tmem_platform_unlock(&shim->lock, flags);
	for (uint32_t i = 0; i < count; i++)
		callbacks->event(callbacks->context, kinds[i], codes[i]);
	if (wake)
		callbacks->wake(callbacks->context);
}

void tmem_shim_tell(struct tmem_shim *shim, int event, int64_t code)
{
	if (!shim->callbacks.event || shim->event_count == TMEM_EVENTS_MAX)
		return;
	shim->events[shim->event_count].event = event;
	shim->events[shim->event_count].code = code;
	shim->event_count++;
}

uint64_t tmem_shim_read_clock(struct tmem_shim *shim)
{
	shim->now_ns = shim->callbacks.now_ns ? shim->callbacks.now_ns(shim->callbacks.context)
					      : tmem_platform_now_ns();
	return shim->now_ns;
}

/* ---- looking at it -------------------------------------------------------------------- */

void tmem_shim_info(struct tmem_shim *shim, struct tmem_shim_info *ret)
{
	unsigned long flags = tmem_shim_lock(shim);

	memset(ret, 0, sizeof(*ret));
	ret->state = shim->state;
	ret->session = shim->session;
	ret->epoch = shim->epoch;
	ret->tag = shim->last_tag;
	ret->last_code = shim->last_code;
	ret->giveup_ms = shim->giveup_ms;
	ret->lease_ms = shim->lease_ms;
	ret->queued = (uint32_t)(shim->head - shim->answered);
	ret->staged = (uint32_t)(shim->slot_head - shim->slot_tail);
	ret->waiting = shim->waiting;
	ret->waiting_loads = shim->waiting_loads;
	ret->landed = shim->landed_count;
	ret->shared_pools = tmem_pools_shared(shim);
	ret->owed = shim->owed_pages;
	for (uint32_t i = 0; i < shim->config.pools; i++)
		if (shim->pools[i].id != TMEM_NO_HOST_POOL)
			ret->owed += shim->pools[i].owed_count + shim->pools[i].owed_all;
	ret->token = shim->token;
	ret->confirmed = shim->confirmed;
	ret->memory_bytes = shim->memory_bytes;
	tmem_shim_unlock(shim, flags);
}

uint32_t tmem_shim_staged(const struct tmem_shim *shim)
{
	return (uint32_t)(__atomic_load_n(&shim->slot_head, __ATOMIC_RELAXED) -
			  __atomic_load_n(&shim->slot_tail, __ATOMIC_RELAXED));
}

uint32_t tmem_shim_backlog(const struct tmem_shim *shim)
{
	return (uint32_t)(__atomic_load_n(&shim->head, __ATOMIC_RELAXED) -
			  __atomic_load_n(&shim->taken, __ATOMIC_RELAXED));
}

uint32_t tmem_shim_unanswered(const struct tmem_shim *shim)
{
	return (uint32_t)(__atomic_load_n(&shim->head, __ATOMIC_RELAXED) -
			  __atomic_load_n(&shim->answered, __ATOMIC_RELAXED));
}

uint32_t tmem_shim_waiting(const struct tmem_shim *shim)
{
	return __atomic_load_n(&shim->waiting, __ATOMIC_RELAXED);
}

void tmem_shim_counters(struct tmem_shim *shim, struct tmem_shim_counters *ret)
{
	unsigned long flags = tmem_shim_lock(shim);

	*ret = shim->counters;
	ret->gets_negative += __atomic_load_n(&shim->sure_misses, __ATOMIC_RELAXED);
	tmem_shim_unlock(shim, flags);
}
