/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "world_check.h"

#include <string.h>

#include "world_look.h"

/* An interrupted operation is not damage: nothing may look damaged because of it. */
static int look_outside(struct world_look *look, const char *path)
{
	struct tmem_arena_report report;
	struct tmem_error error;

	LOOK_REQUIRE(look, tmem_arena_check(path, 1, &report, &error) == 0, "arena check: %s",
		     error.message);
	LOOK_REQUIRE(look,
		     report.damaged_records == 0 && report.damaged_rows == 0 &&
			     report.damaged_extents == 0 && report.damaged_contents == 0 &&
			     report.header_damaged == 0,
		     "arena check finds damage: %llu records, %llu rows, %llu extents, "
		     "%llu contents, %u header",
		     (unsigned long long)report.damaged_records,
		     (unsigned long long)report.damaged_rows,
		     (unsigned long long)report.damaged_extents,
		     (unsigned long long)report.damaged_contents, report.header_damaged);
	return 0;
}

static int look_recovery(struct world_look *look, struct tmem_recovery *recovery)
{
	tmem_engine_recovery(look->engine, recovery);
	LOOK_REQUIRE(look,
		     recovery->damaged_records == 0 && recovery->damaged_rows == 0 &&
			     recovery->damaged_extents == 0,
		     "recovery finds damage: %llu records, %llu rows, %llu extents",
		     (unsigned long long)recovery->damaged_records,
		     (unsigned long long)recovery->damaged_rows,
		     (unsigned long long)recovery->damaged_extents);
	return 0;
}

static int look_open(struct world_look *look, const char *path)
{
	struct tmem_options options = look->world->options;
	struct tmem_error error;

	options.create = 0;
	LOOK_REQUIRE(look, tmem_engine_open(path, &options, &look->engine, &error) == 0,
		     "recovery refuses the arena: %s", error.message);
	memset(look->refs, 0, sizeof(look->refs));
	memset(&look->seen, 0, sizeof(look->seen));
	return 0;
}

static void look_close(struct world_look *look)
{
	for (int i = 0; i < WORLD_CLIENTS; i++)
		tmem_client_release(look->refs[i]);
	tmem_engine_close(look->engine);
}

static int first_look(struct world_look *look, struct tmem_recovery *recovery)
{
	if (look_recovery(look, recovery) != 0 || look_clients(look) != 0 || look_pools(look) != 0)
		return -1;
	return look_pages(look, true);
}

static int second_look(struct world_look *look, const struct world_seen *first)
{
	struct tmem_recovery recovery;

	if (look_recovery(look, &recovery) != 0 || look_clients(look) != 0)
		return -1;
	for (int i = 0; i < WORLD_CLIENTS; i++)
		LOOK_REQUIRE(look, look->refs[i] == NULL || tmem_client_resume(look->refs[i]) == 0,
			     "client %d can not resume", i);
	if (look_pools(look) != 0 || look_pages(look, true) != 0)
		return -1;
	LOOK_REQUIRE(look, memcmp(&look->seen, first, sizeof(*first)) == 0,
		     "a second recovery gives something else");
	if (look_pages(look, false) != 0)
		return -1;
	return look_round(look);
}

int world_check(const struct world *world, const char *path, unsigned int moments,
		struct tmem_recovery *recovery, char why[WORLD_WHY_BYTES])
{
	static struct world_look look;
	static struct world_seen first;
	int result;

	memset(&look, 0, sizeof(look));
	look.world = world;
	look.moments = moments;
	look.why = why;
	if (look_outside(&look, path) != 0 || look_open(&look, path) != 0)
		return -1;
	result = first_look(&look, recovery);
	look_close(&look);
	if (result != 0)
		return result;
	first = look.seen;
	look.resumed = true;
	if (look_open(&look, path) != 0)
		return -1;
	result = second_look(&look, &first);
	look_close(&look);
	return result;
}
