/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two nodes of a cluster on the simulated transport, doing at random what kernels do: files on a
 * private mount, files on a shared mount under cluster locks, swap. Every page that is read is
 * compared with what was written; nothing else is known about how the shim works.
 */
#ifndef TMEM_TEST_CLUSTER_H
#define TMEM_TEST_CLUSTER_H

#include "random.h"
#include "sim.h"

enum {
	CLUSTER_OBJECTS = 3,
	CLUSTER_PAGES = 48, /* of each object */
	CLUSTER_SLOTS = 200,
	CLUSTER_READERS = 6, /* gets under way at a time, of each node */
};

/* Whom a request under way is for. */
enum doing { IDLE, READ_PRIVATE, READ_SHARED, STORE, LOAD };

struct task {
	enum doing doing;
	uint32_t object, page;
	uint32_t version; /* STORE: what is being stored */
	struct tmem_shim_request request;
	uint8_t contents[TMEM_PAGE_BYTES];
};

enum lock_mode { LOCK_NL, LOCK_PR, LOCK_EX };

struct cluster_node {
	uint32_t private_pool, shared_pool;
	void *area;
	struct task tasks[CLUSTER_READERS];
	/* private mount: what a hit must return, 0: it must miss */
	uint32_t private_pages[CLUSTER_OBJECTS][CLUSTER_PAGES];
	/* shared mount: the page cache (0: not cached), and the locks */
	uint32_t cached[CLUSTER_OBJECTS][CLUSTER_PAGES];
	enum lock_mode locks[CLUSTER_OBJECTS];
	bool converting[CLUSTER_OBJECTS];
	enum lock_mode target[CLUSTER_OBJECTS];
	struct tmem_shim_request convert[CLUSTER_OBJECTS];
	/* swap: the version that a slot holds, 0: not in frontswap */
	uint32_t slots[CLUSTER_SLOTS];
	bool slot_busy[CLUSTER_SLOTS];
	bool private_busy[CLUSTER_OBJECTS][CLUSTER_PAGES];
	uint32_t scan_object, scan_page; /* a sequential reader */
};

struct cluster {
	struct sim sim;
	struct random random;
	struct cluster_node nodes[SIM_CLIENTS];
	uint32_t disk[CLUSTER_OBJECTS][CLUSTER_PAGES]; /* of the shared mount */
	uint32_t next_version;
	uint32_t hot_object, hot_page; /* written last: what goes wrong is seen there */
	uint64_t hits[8], reads[8];    /* by enum doing */
	uint64_t remounts, kills;
};

void cluster_start(struct cluster *cluster, const struct tmem_shim_config *config, uint64_t seed);
/* One thing happens. @trouble: of 1000 steps, how many are breaks, kills, stalls. */
void cluster_step(struct cluster *cluster, uint32_t trouble);
/* Everything that was begun ends; then every page is read once more. */
void cluster_finish(struct cluster *cluster);

/* ---- between its files ---------------------------------------------------------------- */

extern const uint8_t cluster_uuid[16];

struct tmem_oid cluster_oid_of(uint32_t object);
struct tmem_shim *cluster_shim_of(struct cluster *cluster, int number);
uint32_t cluster_below(struct cluster *cluster, uint32_t bound);
void cluster_make_page(struct cluster *cluster, void *page, uint32_t version);
uint32_t cluster_version_of(const void *page);
struct task *cluster_free_task(struct cluster_node *node);
bool cluster_reads_object(const struct cluster_node *node, enum doing doing, uint32_t object);
bool cluster_reads_page(const struct cluster_node *node, uint32_t object, uint32_t page);
void cluster_begin_task(struct cluster *cluster, int number, struct task *task, enum doing doing,
			uint32_t object, uint32_t page, int result);
void cluster_begin_get(struct cluster *cluster, int number, struct task *task, enum doing doing,
		       uint32_t pool, uint32_t object, uint32_t page);
void cluster_look_at_tasks(struct cluster *cluster, int number);
void cluster_private_step(struct cluster *cluster, int number);
void cluster_shared_step(struct cluster *cluster, int number);
void cluster_look_at_locks(struct cluster *cluster, int number);
void cluster_remount(struct cluster *cluster, int number);
void cluster_swap_step(struct cluster *cluster, int number);

#endif
