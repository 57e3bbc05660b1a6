/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cluster.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "frontends.h"
#include "page.h"

static const uint8_t uuid[16] = {0xc1};

static struct tmem_oid oid_of(uint32_t object)
{
	return (struct tmem_oid){{object + 1, 0, 77}};
}

static struct tmem_shim *shim_of(struct cluster *cluster, int number)
{
	return cluster->sim.clients[number].shim;
}

static uint32_t below(struct cluster *cluster, uint32_t bound)
{
	return random_below(&cluster->random, bound);
}

static void make_page(struct cluster *cluster, void *page, uint32_t version)
{
	(void)cluster;
	page_make(page, page_value(version % PAGE_FILLS, version));
}

static uint32_t version_of(const void *page)
{
	return page_read(page) & 0xfffffff;
}

/* ---- tasks ---------------------------------------------------------------------------------- */

static struct task *free_task(struct cluster_node *node)
{
	for (int i = 0; i < CLUSTER_READERS; i++)
		if (node->tasks[i].doing == IDLE)
			return &node->tasks[i];
	return NULL;
}

static bool reads_object(const struct cluster_node *node, enum doing doing, uint32_t object)
{
	for (int i = 0; i < CLUSTER_READERS; i++)
		if (node->tasks[i].doing == doing && node->tasks[i].object == object)
			return true;
	return false;
}

static bool reads_page(const struct cluster_node *node, uint32_t object, uint32_t page)
{
	for (int i = 0; i < CLUSTER_READERS; i++)
		if (node->tasks[i].doing == READ_SHARED && node->tasks[i].object == object &&
		    node->tasks[i].page == page)
			return true;
	return false;
}

static void end_task(struct cluster *cluster, struct cluster_node *node, struct task *task,
		     int result)
{
	uint32_t object = task->object, page = task->page;
	bool hit = result == TMEM_DONE;

	cluster->reads[task->doing]++;
	cluster->hits[task->doing] += hit;
	switch (task->doing) {
	case READ_PRIVATE:
		if (hit) {
			CHECK_EQ(version_of(task->contents), node->private_pages[object][page]);
			CHECK(node->private_pages[object][page] != 0);
			node->private_pages[object][page] = 0;
		}
		node->private_busy[object][page] = false;
		break;
	case READ_SHARED:
		if (hit)
			CHECK_EQ(version_of(task->contents), cluster->disk[object][page]);
		node->cached[object][page] = cluster->disk[object][page];
		break;
	case STORE:
		node->slots[page] = hit ? task->version : 0;
		node->slot_busy[page] = false;
		break;
	case LOAD:
		CHECK_EQ(result, TMEM_DONE);
		CHECK_EQ(version_of(task->contents), node->slots[page]);
		node->slot_busy[page] = false;
		break;
	case IDLE:
		break;
	}
	task->doing = IDLE;
}

static void begin_task(struct cluster *cluster, int number, struct task *task, enum doing doing,
		       uint32_t object, uint32_t page, int result)
{
	task->doing = doing;
	task->object = object;
	task->page = page;
	if (result != TMEM_SHIM_PENDING)
		end_task(cluster, &cluster->nodes[number], task, result);
}

static void begin_get(struct cluster *cluster, int number, struct task *task, enum doing doing,
		      uint32_t pool, uint32_t object, uint32_t page)
{
	memset(&task->request, 0, sizeof(task->request));
	task->request.op = TMEM_OP_GET_PAGE;
	task->request.pool = pool;
	task->request.oid = oid_of(object);
	task->request.index = page;
	task->request.page = task->contents;
	begin_task(cluster, number, task, doing, object, page,
		   tmem_shim_start(shim_of(cluster, number), &task->request));
}

static void look_at_tasks(struct cluster *cluster, int number)
{
	struct cluster_node *node = &cluster->nodes[number];

	for (int i = 0; i < CLUSTER_READERS; i++) {
		struct task *task = &node->tasks[i];
		int result;

		if (task->doing == IDLE)
			continue;
		result = tmem_shim_finished(shim_of(cluster, number), &task->request);
		if (result != TMEM_SHIM_PENDING)
			end_task(cluster, node, task, result);
	}
}

/* ---- the private mount ------------------------------------------------------------------------
 */

static void private_step(struct cluster *cluster, int number)
{
	struct cluster_node *node = &cluster->nodes[number];
	struct tmem_shim *shim = shim_of(cluster, number);
	uint32_t object = below(cluster, CLUSTER_OBJECTS), page = below(cluster, CLUSTER_PAGES);
	struct task *task = free_task(node);
	struct tmem_oid oid = oid_of(object);
	uint8_t contents[TMEM_PAGE_BYTES];

	if (below(cluster, 2)) {
		object = node->scan_object;
		page = node->scan_page++;
		if (node->scan_page == CLUSTER_PAGES) {
			node->scan_page = 0;
			node->scan_object = below(cluster, CLUSTER_OBJECTS);
		}
		if (node->private_busy[object][page] || task == NULL)
			return;
		node->private_busy[object][page] = true;
		begin_get(cluster, number, task, READ_PRIVATE, node->private_pool, object, page);
		return;
	}
	if (node->private_busy[object][page])
		return;
	switch (below(cluster, 16)) {
	case 0:
		if (reads_object(node, READ_PRIVATE, object))
			return;
		tmem_cleancache_invalidate_inode(shim, node->private_pool, &oid);
		memset(node->private_pages[object], 0, sizeof(node->private_pages[object]));
		break;
	case 1 ... 4:
		tmem_cleancache_invalidate_page(shim, node->private_pool, &oid, page);
		node->private_pages[object][page] = 0;
		break;
	default:
		make_page(cluster, contents, ++cluster->next_version);
		node->private_pages[object][page] =
			tmem_shim_put(shim, node->private_pool, &oid, page, contents) == TMEM_DONE
				? cluster->next_version
				: 0;
		break;
	}
}

/* ---- the shared mount ---------------------------------------------------------------------------
 */

/* A node gives its lock on the object up, or down: first its page cache, then the pool. */
static void begin_convert(struct cluster *cluster, int number, uint32_t object,
			  enum lock_mode target)
{
	struct cluster_node *node = &cluster->nodes[number];
	struct tmem_oid oid = oid_of(object);

	if (node->converting[object] || node->locks[object] <= target ||
	    reads_object(node, READ_SHARED, object))
		return;
	if (target == LOCK_NL)
		memset(node->cached[object], 0, sizeof(node->cached[object]));
	node->target[object] = target;
	node->converting[object] = tmem_cleancache_invalidate_inode_start(
					   shim_of(cluster, number), node->shared_pool, &oid,
					   &node->convert[object]) == TMEM_SHIM_PENDING;
	if (!node->converting[object])
		node->locks[object] = target;
}

static void look_at_locks(struct cluster *cluster, int number)
{
	struct cluster_node *node = &cluster->nodes[number];

	for (uint32_t object = 0; object < CLUSTER_OBJECTS; object++)
		if (node->converting[object] &&
		    tmem_shim_finished(shim_of(cluster, number), &node->convert[object]) !=
			    TMEM_SHIM_PENDING) {
			node->converting[object] = false;
			node->locks[object] = node->target[object];
		}
}

static bool have_lock(struct cluster *cluster, int number, uint32_t object, enum lock_mode mode)
{
	struct cluster_node *node = &cluster->nodes[number];
	struct cluster_node *other = &cluster->nodes[1 - number];

	if (node->converting[object])
		return false;
	if (node->locks[object] >= mode)
		return true;
	if (mode == LOCK_EX ? other->locks[object] != LOCK_NL : other->locks[object] == LOCK_EX) {
		begin_convert(cluster, 1 - number, object, mode == LOCK_EX ? LOCK_NL : LOCK_PR);
		if (mode == LOCK_EX ? other->locks[object] != LOCK_NL
				    : other->locks[object] == LOCK_EX)
			return false;
	}
	node->locks[object] = mode;
	return true;
}

static void shared_step(struct cluster *cluster, int number)
{
	struct cluster_node *node = &cluster->nodes[number];
	struct tmem_shim *shim = shim_of(cluster, number);
	uint32_t object = below(cluster, CLUSTER_OBJECTS), page = below(cluster, CLUSTER_PAGES / 6);
	struct task *task = free_task(node);
	uint8_t contents[TMEM_PAGE_BYTES];
	struct tmem_oid oid;

	if (below(cluster, 3)) {
		object = cluster->hot_object;
		page = cluster->hot_page;
	}
	oid = oid_of(object);
	if (reads_page(node, object, page))
		return;
	/* reclaim alone goes on while a lock is being given up */
	switch (node->converting[object] ? 99 : below(cluster, 100)) {
	case 0 ... 4:
		if (!have_lock(cluster, number, object, LOCK_EX) ||
		    reads_object(node, READ_SHARED, object))
			return;
		cluster->disk[object][page] = ++cluster->next_version;
		node->cached[object][page] = cluster->next_version;
		cluster->hot_object = object;
		cluster->hot_page = page;
		return;
	case 5 ... 50:
		if (!have_lock(cluster, number, object, LOCK_PR))
			return;
		if (node->cached[object][page] != 0)
			CHECK_EQ(node->cached[object][page], cluster->disk[object][page]);
		else if (task != NULL)
			begin_get(cluster, number, task, READ_SHARED, node->shared_pool, object,
				  page);
		return;
	default:
		if (node->cached[object][page] == 0)
			return;
		make_page(cluster, contents, node->cached[object][page]);
		if (below(cluster, 4))
			tmem_cleancache_put_page(shim, node->shared_pool, &oid, page, contents);
		else
			tmem_cleancache_invalidate_page(shim, node->shared_pool, &oid, page);
		node->cached[object][page] = 0;
	}
}

/* A mount that has to stay out until its next mount is mounted again. */
static void remount(struct cluster *cluster, int number)
{
	struct cluster_node *node = &cluster->nodes[number];
	struct tmem_shim *shim = shim_of(cluster, number);
	struct tmem_shim_pool_info info;
	int id;

	CHECK_EQ(tmem_shim_pool_info(shim, node->shared_pool, &info), 0);
	if (info.state != TMEM_SHIM_POOL_STAYS_OUT)
		return;
	for (uint32_t object = 0; object < CLUSTER_OBJECTS; object++)
		if (node->converting[object] || reads_object(node, READ_SHARED, object))
			return;
	cluster->remounts++;
	tmem_cleancache_invalidate_fs(shim, node->shared_pool);
	memset(node->cached, 0, sizeof(node->cached));
	memset(node->locks, 0, sizeof(node->locks));
	id = tmem_cleancache_init_shared_fs(shim, uuid, TMEM_PAGE_BYTES);
	CHECK(id >= 0);
	node->shared_pool = (uint32_t)id;
}

/* ---- swap
 * ------------------------------------------------------------------------------------------ */

static void swap_step(struct cluster *cluster, int number)
{
	struct cluster_node *node = &cluster->nodes[number];
	struct tmem_shim *shim = shim_of(cluster, number);
	uint32_t slot = below(cluster, CLUSTER_SLOTS), kind = below(cluster, 32);
	struct task *task = free_task(node);

	if (kind == 0) {
		/* a process exits */
		for (slot = below(cluster, CLUSTER_SLOTS); slot < CLUSTER_SLOTS; slot++)
			if (node->slots[slot] != 0 && !node->slot_busy[slot]) {
				tmem_frontswap_invalidate_page(shim, 0, slot);
				node->slots[slot] = 0;
			}
		return;
	}
	if (node->slot_busy[slot] || task == NULL)
		return;
	if (node->slots[slot] != 0 && kind < 12) {
		node->slot_busy[slot] = true;
		begin_task(
			cluster, number, task, LOAD, 0, slot,
			tmem_frontswap_load_start(shim, 0, slot, task->contents, &task->request));
		return;
	}
	/* frontswap invalidates a slot before it stores over it */
	if (node->slots[slot] != 0)
		tmem_frontswap_invalidate_page(shim, 0, slot);
	node->slots[slot] = 0;
	if (kind < 16)
		return;
	task->version = ++cluster->next_version;
	make_page(cluster, task->contents, task->version);
	node->slot_busy[slot] = true;
	begin_task(cluster, number, task, STORE, 0, slot,
		   tmem_frontswap_store_start(shim, 0, slot, task->contents, &task->request));
}

/* ---- the world around them
 * --------------------------------------------------------------------------- */

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
	int number = (int)below(cluster, SIM_CLIENTS);

	switch (anybody_converts(cluster) ? below(cluster, 48) : below(cluster, 24)) {
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
		sim->now_ns += below(cluster, 3000) * 1000000ull;
		break;
	default: /* a stall, longer than any lease, of the host */
		for (int i = 0; i < 60; i++) {
			sim->now_ns += 100 * 1000000ull;
			for (number = 0; number < SIM_CLIENTS; number++)
				tmem_shim_tick(shim_of(cluster, number));
		}
	}
}

void cluster_step(struct cluster *cluster, uint32_t trouble)
{
	int number = (int)below(cluster, SIM_CLIENTS);
	struct sim *sim = &cluster->sim;

	sim->now_ns += below(cluster, 500000);
	switch (below(cluster, 10)) {
	case 0 ... 1:
		private_step(cluster, number);
		break;
	case 2 ... 3:
		shared_step(cluster, number);
		break;
	case 4:
		swap_step(cluster, number);
		break;
	case 5 ... 6:
		for (uint32_t i = below(cluster, 8); i > 0; i--)
			sim_apply(sim, number);
		break;
	case 7 ... 8:
		for (uint32_t i = below(cluster, 8); i > 0; i--)
			sim_answer(sim, number);
		break;
	default:
		tmem_shim_tick(shim_of(cluster, number));
		if (sim->down && below(cluster, 4) == 0)
			sim_restart(sim);
		reconnect(cluster, number);
		remount(cluster, number);
		if (below(cluster, 1000) < trouble)
			make_trouble(cluster);
	}
	look_at_tasks(cluster, number);
	look_at_locks(cluster, number);
}

void cluster_start(struct cluster *cluster, const struct tmem_shim_config *config, uint64_t seed)
{
	memset(cluster, 0, sizeof(*cluster));
	cluster->random.state = seed;
	sim_start(&cluster->sim, config);
	for (int i = 0; i < SIM_CLIENTS; i++) {
		struct cluster_node *node = &cluster->nodes[i];
		struct tmem_shim *shim = shim_of(cluster, i);

		node->area = malloc(tmem_frontswap_area_bytes(CLUSTER_SLOTS));
		CHECK_EQ(tmem_frontswap_init(shim, 0, CLUSTER_SLOTS, node->area), TMEM_DONE);
		node->private_pool = (uint32_t)tmem_cleancache_init_fs(shim, TMEM_PAGE_BYTES);
		node->shared_pool =
			(uint32_t)tmem_cleancache_init_shared_fs(shim, uuid, TMEM_PAGE_BYTES);
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
		tmem_shim_tick(shim_of(cluster, i));
		reconnect(cluster, i);
		sim_settle(&cluster->sim, i);
		look_at_tasks(cluster, i);
		look_at_locks(cluster, i);
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
			begin_task(cluster, i, &node->tasks[0], LOAD, 0, slot,
				   tmem_frontswap_load_start(shim_of(cluster, i), 0, slot,
							     node->tasks[0].contents,
							     &node->tasks[0].request));
			sim_settle(&cluster->sim, i);
			look_at_tasks(cluster, i);
			CHECK_EQ(node->tasks[0].doing, IDLE);
		}
		/* nothing is kept that nobody needs */
		tmem_shim_info(shim_of(cluster, i), &info);
		CHECK_EQ(info.queued + info.staged + info.waiting + info.owed, 0);
		CHECK_EQ(info.state, TMEM_SHIM_RUNNING);
	}
	sim_stop(&cluster->sim);
	for (int i = 0; i < SIM_CLIENTS; i++)
		free(cluster->nodes[i].area);
}
