/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cluster.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "frontends.h"
#include "page.h"

const uint8_t cluster_uuid[16] = {0xc1};

/* ---- the world around them ------------------------------------------------------------ */

static void reconnect(struct cluster *cluster, int number)
{
	struct sim_client *client = &cluster->sim.clients[number];

	if (cluster->sim.down || (client->up && !client->reopens))
		return;
	client->reopens = 0;
	client->in_bytes = client->out_bytes = 0;
	client->answer_count = 0;
	sim_connect(&cluster->sim, number);
}

static bool anybody_converts(const struct cluster *cluster)
{
	for (int i = 0; i < SIM_CLIENTS; i++)
		for (uint32_t object = 0; object < CLUSTER_OBJECTS; object++)
			if (cluster->nodes[i].converting[object])
				return true;
	return false;
}

static void make_trouble(struct cluster *cluster)
{
	struct sim *sim = &cluster->sim;
	int number = (int)cluster_below(cluster, SIM_CLIENTS);

	switch (anybody_converts(cluster) ? cluster_below(cluster, 48)
					  : cluster_below(cluster, 24)) {
	case 0:
		if (!sim->down) {
			sim_kill(sim);
			cluster->kills++;
		}
		break;
	case 1 ... 3: /* loses what is on its way, without a word */
		sim_break(sim, number, false);
		break;
	case 4 ... 20:
		if (sim->clients[number].up)
			sim_break(sim, number, true);
		break;
	case 21 ... 22: /* a stall, of everybody */
		sim->now_ns += cluster_below(cluster, 3000) * 1000000ull;
		break;
	default: /* a stall, longer than any lease, of the host */
		for (int i = 0; i < 60; i++) {
			sim->now_ns += 100 * 1000000ull;
			for (number = 0; number < SIM_CLIENTS; number++)
				tmem_shim_tick(cluster_shim_of(cluster, number));
		}
	}
}

void cluster_step(struct cluster *cluster, uint32_t trouble)
{
	int number = (int)cluster_below(cluster, SIM_CLIENTS);
	struct sim *sim = &cluster->sim;

	sim->now_ns += cluster_below(cluster, 500000);
	switch (cluster_below(cluster, 10)) {
	case 0 ... 1:
		cluster_private_step(cluster, number);
		break;
	case 2 ... 3:
		cluster_shared_step(cluster, number);
		break;
	case 4:
		cluster_swap_step(cluster, number);
		break;
	case 5 ... 6:
		for (uint32_t i = cluster_below(cluster, 8); i > 0; i--)
			sim_apply(sim, number);
		break;
	case 7 ... 8:
		for (uint32_t i = cluster_below(cluster, 8); i > 0; i--)
			sim_answer(sim, number);
		break;
	default:
		tmem_shim_tick(cluster_shim_of(cluster, number));
		if (sim->down && cluster_below(cluster, 4) == 0)
			sim_restart(sim);
		reconnect(cluster, number);
		cluster_remount(cluster, number);
		if (cluster_below(cluster, 1000) < trouble)
			make_trouble(cluster);
	}
	cluster_look_at_tasks(cluster, number);
	cluster_look_at_locks(cluster, number);
}

void cluster_start(struct cluster *cluster, const struct tmem_shim_config *config, uint64_t seed)
{
	memset(cluster, 0, sizeof(*cluster));
	cluster->random.state = seed;
	sim_start(&cluster->sim, config);
	for (int i = 0; i < SIM_CLIENTS; i++) {
		struct cluster_node *node = &cluster->nodes[i];
		struct tmem_shim *shim = cluster_shim_of(cluster, i);

		node->area = malloc(tmem_frontswap_area_bytes(CLUSTER_SLOTS));
		CHECK_EQ(tmem_frontswap_init(shim, 0, CLUSTER_SLOTS, node->area), TMEM_DONE);
		node->private_pool = (uint32_t)tmem_cleancache_init_fs(shim, TMEM_PAGE_BYTES);
		node->shared_pool = (uint32_t)tmem_cleancache_init_shared_fs(shim, cluster_uuid,
									     TMEM_PAGE_BYTES);
	}
}

static bool anything_open(const struct cluster *cluster)
{
	for (int i = 0; i < SIM_CLIENTS; i++)
		for (int task = 0; task < CLUSTER_READERS; task++)
			if (cluster->nodes[i].tasks[task].doing != IDLE)
				return true;
	return anybody_converts(cluster);
}

static void let_go_on(struct cluster *cluster)
{
	for (int i = 0; i < SIM_CLIENTS; i++) {
		cluster->sim.now_ns += 100 * 1000000ull;
		if (cluster->sim.down)
			sim_restart(&cluster->sim);
		tmem_shim_tick(cluster_shim_of(cluster, i));
		reconnect(cluster, i);
		sim_settle(&cluster->sim, i);
		cluster_look_at_tasks(cluster, i);
		cluster_look_at_locks(cluster, i);
	}
}

void cluster_finish(struct cluster *cluster)
{
	for (int i = 0; anything_open(cluster); i++) {
		CHECK(i < 1000);
		let_go_on(cluster);
	}
	for (int i = 0; i < 100; i++)
		let_go_on(cluster);
	for (int i = 0; i < SIM_CLIENTS; i++) {
		struct cluster_node *node = &cluster->nodes[i];
		struct tmem_shim_info info;

		for (uint32_t slot = 0; slot < CLUSTER_SLOTS; slot++) {
			if (node->slots[slot] == 0)
				continue;
			node->slot_busy[slot] = true;
			cluster_begin_task(cluster, i, &node->tasks[0], LOAD, 0, slot,
					   tmem_frontswap_load_start(cluster_shim_of(cluster, i), 0,
								     slot, node->tasks[0].contents,
								     &node->tasks[0].request));
			sim_settle(&cluster->sim, i);
			cluster_look_at_tasks(cluster, i);
			CHECK_EQ(node->tasks[0].doing, IDLE);
		}
		/* nothing is kept that nobody needs */
		tmem_shim_info(cluster_shim_of(cluster, i), &info);
		CHECK_EQ(info.queued + info.staged + info.waiting + info.owed, 0);
		CHECK_EQ(info.state, TMEM_SHIM_RUNNING);
	}
	sim_stop(&cluster->sim);
	for (int i = 0; i < SIM_CLIENTS; i++)
		free(cluster->nodes[i].area);
}
