/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two guests at random over the simulated transport (lib/cluster.h): files, cluster locks and swap,
 * while streams break, messages get lost, the service is killed and everybody stalls. With bounds
 * so small that every table overflows. usage: test_shim_random [SEED [STEPS [RULES]]], where RULES
 * are bits of enum tmem_shim_rule to take away: then it should fail.
 */
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "cluster.h"

enum { SEEDS = 40, STEPS = 20000 };

struct sums {
	uint64_t hits[8], reads[8];
	struct tmem_shim_counters counters;
	uint64_t remounts, kills;
};

static void add(struct sums *sums, struct cluster *cluster)
{
	for (int i = 0; i < 8; i++) {
		sums->hits[i] += cluster->hits[i];
		sums->reads[i] += cluster->reads[i];
	}
	sums->remounts += cluster->remounts;
	sums->kills += cluster->kills;
	for (int i = 0; i < SIM_CLIENTS; i++) {
		struct tmem_shim_counters counters;
		uint64_t *to = (uint64_t *)&sums->counters, *from = (uint64_t *)&counters;

		tmem_shim_counters(cluster->sim.clients[i].shim, &counters);
		for (uint32_t at = 0; at < tmem_shim_counter_count; at++)
			to[at] += from[at];
	}
}

static void run(struct sums *sums, uint64_t seed, uint32_t steps)
{
	struct random random = {.state = seed};
	const struct tmem_shim_config config = {
		.queue_entries = 16u << random_below(&random, 4),
		.staged_pages = 4 + random_below(&random, 12),
		.pools = 8,
		.owed_objects = 1 + random_below(&random, 3),
		.landing_pages = 4 + random_below(&random, 40),
		.ahead_pages = random_below(&random, 4) ? 32 : TMEM_SHIM_NONE,
		.runs = 2,
		.summary_windows = random_below(&random, 2) ? 8 : TMEM_SHIM_NONE,
		.summary_filter_bits = 64u << random_below(&random, 8),
	};
	struct cluster *cluster = malloc(sizeof(*cluster));
	uint32_t trouble = random_below(&random, 3) * 20;

	printf("seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	cluster_start(cluster, &config, seed);
	for (uint32_t i = 0; i < steps; i++)
		cluster_step(cluster, trouble);
	/* adding and removing pools ends with the shims */
	add(sums, cluster);
	cluster_finish(cluster);
	free(cluster);
}

static void check_sums(const struct sums *sums)
{
	/* a test in which nothing happens proves nothing */
	for (int i = READ_PRIVATE; i <= LOAD; i++)
		CHECK(sums->hits[i] > 100);
	CHECK(sums->counters.gets_staged && sums->counters.gets_landed &&
	      sums->counters.gets_flushed && sums->counters.gets_negative);
	CHECK(sums->counters.owed_objects && sums->counters.owed_pools &&
	      sums->counters.ahead_void && sums->counters.flushes_needless);
	CHECK(sums->counters.giveups && sums->counters.replayed_as_flush &&
	      sums->counters.sessions_over && sums->counters.loads_waited);
	CHECK(sums->remounts && sums->kills);
}

int main(int argc, char **argv)
{
	struct sums *sums = calloc(1, sizeof(*sums));
	uint32_t steps = argc > 2 ? (uint32_t)atoi(argv[2]) : STEPS;

#ifdef TMEM_DEBUG
	if (argc > 3)
		tmem_shim_without = (unsigned int)strtoul(argv[3], NULL, 0);
#endif
	if (argc > 1) {
		run(sums, strtoull(argv[1], NULL, 0), steps);
	} else {
		for (uint64_t seed = 1; seed <= SEEDS; seed++)
			run(sums, seed, steps);
	}
	for (uint32_t i = 0; i < tmem_shim_counter_count; i++)
		printf("%12llu %s\n", (unsigned long long)((uint64_t *)&sums->counters)[i],
		       tmem_shim_counter_texts[i].name);
	printf("reads: private %llu/%llu, shared %llu/%llu, loads %llu; remounts %llu, kills "
	       "%llu\n",
	       (unsigned long long)sums->hits[READ_PRIVATE],
	       (unsigned long long)sums->reads[READ_PRIVATE],
	       (unsigned long long)sums->hits[READ_SHARED],
	       (unsigned long long)sums->reads[READ_SHARED], (unsigned long long)sums->reads[LOAD],
	       (unsigned long long)sums->remounts, (unsigned long long)sums->kills);
	if (argc == 1)
		check_sums(sums);
	free(sums);
	return 0;
}
