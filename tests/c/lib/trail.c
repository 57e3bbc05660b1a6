/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

/* The files have a step a line, as tests/model/run writes them; no more of JSON is needed. */

static const char *value_of(const char *line, const char *key)
{
	char quoted[40];
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\": ", key);
	at = strstr(line, quoted);
	return at != NULL ? at + strlen(quoted) : NULL;
}

static void text(const char *line, const char *key, char *to, size_t bytes)
{
	const char *at = value_of(line, key);
	size_t length = 0;

	to[0] = 0;
	if (at == NULL || *at++ != '"')
		return;
	while (at[length] != '"' && at[length] != 0)
		length++;
	CHECK(length < bytes);
	memcpy(to, at, length);
	to[length] = 0;
}

static int number(const char *line, const char *key, int otherwise)
{
	const char *at = value_of(line, key);

	return at != NULL ? atoi(at) : otherwise;
}

static void read_step(struct trail *trail, const char *line)
{
	struct trail_step *step = &trail->steps[trail->count++];
	size_t digits;

	CHECK(trail->count <= TRAIL_STEPS_MAX);
	text(line, "who", step->who, sizeof(step->who));
	digits = strcspn(step->who, "0123456789");
	step->number = atoi(step->who + digits);
	step->who[digits] = 0;
	text(line, "op", step->op, sizeof(step->op));
	text(line, "from", step->from, sizeof(step->from));
	text(line, "mode", step->mode, sizeof(step->mode));
	text(line, "what", step->what, sizeof(step->what));
	text(line, "pool", step->pool, sizeof(step->pool));
	step->version = number(line, "version", -1);
	step->index = number(line, "index", -1);
	step->wait = number(line, "wait", 0);
	trail->shared = trail->shared || strcmp(step->pool, "shared") == 0;
}

bool trail_read(struct trail *trail, const char *mutant)
{
	char path[512], line[512];
	ssize_t bytes;
	FILE *file;

	memset(trail, 0, sizeof(*trail));
	snprintf(trail->name, sizeof(trail->name), "%s", mutant);
	/* the program is build/VARIANT/NAME */
	bytes = readlink("/proc/self/exe", path, 256);
	CHECK(bytes > 0);
	path[bytes] = 0;
	for (int up = 0; up < 3; up++)
		*strrchr(path, '/') = 0;
	snprintf(path + strlen(path), 128, "/tests/model/trails/%s.json", mutant);
	file = fopen(path, "r");
	if (file == NULL)
		return false;
	while (fgets(line, sizeof(line), file) != NULL) {
		if (value_of(line, "who") != NULL)
			read_step(trail, line);
		if (value_of(line, "property") != NULL)
			text(line, "property", trail->property, sizeof(trail->property));
		if (value_of(line, "SKIP") != NULL)
			trail->skips = true;
	}
	fclose(file);
	return true;
}

int trails_run(uint32_t count, const char *(*mutant)(uint32_t number),
	       bool (*fails)(uint32_t number), int argc, char **argv)
{
	uint32_t failed = 0, run = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (argc > 1 && strcmp(argv[1], mutant(i)) != 0)
			continue;
		run++;
		failed += fails(i);
		fflush(stdout);
	}
	printf("%u of %u trails replayed%s, %u wrong\n", run, count,
#ifdef TMEM_DEBUG
	       " with and without their rule",
#else
	       " with their rule",
#endif
	       failed);
	return failed != 0;
}

bool step_is(const struct trail_step *step, const char *who, const char *op)
{
	return strcmp(step->who, who) == 0 && strcmp(step->op, op) == 0;
}
