/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cluster.h"

#include <string.h>

#include "check.h"
#include "page.h"

struct tmem_oid cluster_oid_of(uint32_t object)
{
	return (struct tmem_oid){{object + 1, 0, 77}};
}

struct tmem_shim *cluster_shim_of(struct cluster *cluster, int number)
{
	return cluster->sim.clients[number].shim;
}

uint32_t cluster_below(struct cluster *cluster, uint32_t bound)
{
	return random_below(&cluster->random, bound);
}

void cluster_make_page(struct cluster *cluster, void *page, uint32_t version)
{
	(void)cluster;
	page_make(page, page_value(version % PAGE_FILLS, version));
}

uint32_t cluster_version_of(const void *page)
{
	return page_read(page) & 0xfffffff;
}

/* ---- tasks ---------------------------------------------------------------------------- */

struct task *cluster_free_task(struct cluster_node *node)
{
	for (int i = 0; i < CLUSTER_READERS; i++)
		if (node->tasks[i].doing == IDLE)
			return &node->tasks[i];
	return NULL;
}

bool cluster_reads_object(const struct cluster_node *node, enum doing doing, uint32_t object)
{
	for (int i = 0; i < CLUSTER_READERS; i++)
		if (node->tasks[i].doing == doing && node->tasks[i].object == object)
			return true;
	return false;
}

bool cluster_reads_page(const struct cluster_node *node, uint32_t object, uint32_t page)
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
			CHECK_EQ(cluster_version_of(task->contents),
				 node->private_pages[object][page]);
			CHECK(node->private_pages[object][page] != 0);
			node->private_pages[object][page] = 0;
		}
		node->private_busy[object][page] = false;
		break;
	case READ_SHARED:
		if (hit)
			CHECK_EQ(cluster_version_of(task->contents), cluster->disk[object][page]);
		node->cached[object][page] = cluster->disk[object][page];
		break;
	case STORE:
		node->slots[page] = hit ? task->version : 0;
		node->slot_busy[page] = false;
		break;
	case LOAD:
		CHECK_EQ(result, TMEM_DONE);
		CHECK_EQ(cluster_version_of(task->contents), node->slots[page]);
		node->slot_busy[page] = false;
		break;
	case IDLE:
		break;
	}
	task->doing = IDLE;
}

void cluster_begin_task(struct cluster *cluster, int number, struct task *task, enum doing doing,
			uint32_t object, uint32_t page, int result)
{
	task->doing = doing;
	task->object = object;
	task->page = page;
	if (result != TMEM_SHIM_PENDING)
		end_task(cluster, &cluster->nodes[number], task, result);
}

void cluster_begin_get(struct cluster *cluster, int number, struct task *task, enum doing doing,
		       uint32_t pool, uint32_t object, uint32_t page)
{
	memset(&task->request, 0, sizeof(task->request));
	task->request.op = TMEM_OP_GET_PAGE;
	task->request.pool = pool;
	task->request.oid = cluster_oid_of(object);
	task->request.index = page;
	task->request.page = task->contents;
	cluster_begin_task(cluster, number, task, doing, object, page,
			   tmem_shim_start(cluster_shim_of(cluster, number), &task->request));
}

void cluster_look_at_tasks(struct cluster *cluster, int number)
{
	struct cluster_node *node = &cluster->nodes[number];

	for (int i = 0; i < CLUSTER_READERS; i++) {
		struct task *task = &node->tasks[i];
		int result;

		if (task->doing == IDLE)
			continue;
		result = tmem_shim_finished(cluster_shim_of(cluster, number), &task->request);
		if (result != TMEM_SHIM_PENDING)
			end_task(cluster, node, task, result);
	}
}
