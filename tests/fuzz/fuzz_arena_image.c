/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hostile and damaged arenas: whatever is in the file, opening and checking it, using what came
 * of it and opening it again must neither crash nor hang nor touch memory out of bounds.
 *
 * The first byte of an input chooses what the rest is. RAW: the file. Otherwise edits to an arena
 * that an engine made: EDIT overwrites bytes anywhere; FIELD overwrites bytes of a chosen record or
 * row and then makes its commit word right again, HEADER and EXTENT do so with the header and the
 * extent table. Without these four the checks would stop almost everything at the door.
 *
 * For hours, on one core, keeping what is found between runs:
 *   make -C c VARIANT=fuzz && mkdir -p corpus &&
 *   build/fuzz/fuzz_arena_image -max_len=512 -timeout=10 corpus tests/fuzz/corpus/fuzz_arena_image
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "engine.h"
#include "page.h"
#include "record.h"
#include "scratch.h"
#include "setup.h"

enum {
	EXTENT_BYTES = 16 << 10,
	ARENA_BYTES = 512 << 10,
	IMAGE_MAX_BYTES = 768 << 10,
	PAGES = 6,
};

enum action { RAW, EDIT, FIELD, HEADER, EXTENT, ACTIONS };

struct input {
	const uint8_t *data;
	size_t bytes;
};

static unsigned char pristine[IMAGE_MAX_BYTES];
static unsigned char image[IMAGE_MAX_BYTES];
static size_t image_bytes;
static char path[SCRATCH_PATH_BYTES];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint32_t next(struct input *input, int bytes)
{
	uint32_t value = 0;

	for (int i = 0; i < bytes && input->bytes > 0; i++) {
		value |= (uint32_t)*input->data++ << 8 * i;
		input->bytes--;
	}
	return value;
}

/* ---- a good arena ----------------------------------------------------------------------- */

static struct tmem_engine *open_engine(bool create)
{
	struct tmem_options options = {
		.budget_bytes = ARENA_BYTES,
		.max_bytes = ARENA_BYTES,
		.extent_bytes = EXTENT_BYTES,
		.create = create,
	};
	struct tmem_engine *engine;
	struct tmem_error error;
	int result = tmem_engine_open(path, &options, &engine, &error);

	if (result == 0)
		return engine;
	/* A refusal is an error and a sentence. */
	CHECK(result < 0 && error.code == result);
	CHECK(memchr(error.message, '\0', sizeof(error.message)) != NULL &&
	      error.message[0] != '\0');
	return NULL;
}

static struct tmem_oid oid_of(uint64_t object)
{
	return (struct tmem_oid){.words = {object, 1, 2}};
}

static void fill_client(struct tmem_engine *engine, const char *name, uint32_t encoding)
{
	static const uint32_t kinds[] = {TMEM_POOL_PERSISTENT, 0, TMEM_POOL_SHARED};
	unsigned char contents[TMEM_PAGE_BYTES];
	struct tmem_client_info info;
	struct tmem_client *client;
	uint32_t pool;

	CHECK_EQ(tmem_client_create(engine, name, &client), 0);
	tmem_client_info(client, &info);
	info.settings.encoding = encoding;
	info.settings.dedup = 1;
	CHECK_EQ(tmem_client_set(client, &info.settings), 0);
	for (uint32_t kind = 0; kind < 3; kind++) {
		pool = setup_pool(client, kinds[kind]);
		for (uint32_t i = 0; i < PAGES; i++) {
			struct tmem_oid oid = oid_of(i / 3);

			page_make(contents, page_value(i % PAGE_FILLS, 1 + i / 2));
			CHECK_EQ(tmem_put(client, pool, &oid, i, contents), TMEM_DONE);
		}
	}
	tmem_client_release(client);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const uint8_t uuid[TMEM_UUID_BYTES] = {7};
	struct tmem_client *client;
	struct tmem_engine *engine;
	ssize_t bytes;
	int fd;

	(void)argc;
	(void)argv;
	scratch_memory(path);
	engine = open_engine(true);
	CHECK(engine != NULL);
	CHECK_EQ(tmem_engine_set_shared_auth_all(engine, 1), 0);
	fill_client(engine, "lz4", TMEM_ENCODING_LZ4);
	fill_client(engine, "raw", TMEM_ENCODING_RAW);
	CHECK_EQ(tmem_client_find(engine, "raw", &client), 0);
	CHECK_EQ(tmem_client_auth_add(client, uuid), 0);
	tmem_client_release(client);
	fill_client(engine, "zstd", TMEM_ENCODING_ZSTD);
	tmem_engine_close(engine);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	bytes = read(fd, pristine, sizeof(pristine));
	CHECK(bytes > EXTENT_BYTES && bytes < (ssize_t)sizeof(pristine));
	close(fd);
	image_bytes = (size_t)bytes;
	return 0;
}

/* ---- damage ----------------------------------------------------------------------------- */

/* Overwrites up to 16 bytes at @at, which has @room bytes. */
static void scribble(struct input *input, unsigned char *at, size_t room)
{
	size_t offset = next(input, 2) % room;
	uint32_t count = 1 + next(input, 1) % 16;

	for (uint32_t i = 0; i < count && offset + i < room; i++)
		at[offset + i] = (unsigned char)next(input, 1);
}

static struct tmem_arena_header *header(void)
{
	return (struct tmem_arena_header *)image;
}

static void damage_anywhere(struct input *input)
{
	size_t at = next(input, 3) % image_bytes;

	scribble(input, image + at, image_bytes - at);
}

/* Both copies, so that the second does not stand in for the first. */
static void damage_header(struct input *input)
{
	scribble(input, image, sizeof(struct tmem_arena_header));
	header()->check = tmem_header_check(header());
	if ((next(input, 1) & 1) != 0)
		memcpy(image + TMEM_HEADER_COPY_BYTES, image, sizeof(struct tmem_arena_header));
}

/* The extents as the good arena has them: what the header says now may be anything. */
static size_t extents_offset(void)
{
	return tmem_extents_offset_bytes((const struct tmem_arena_header *)pristine);
}

static uint32_t choose_extent(struct input *input)
{
	return next(input, 1) % (uint32_t)((image_bytes - extents_offset()) / EXTENT_BYTES);
}

static uint64_t *table_word(uint32_t extent)
{
	return (uint64_t *)(image + TMEM_TABLE_OFFSET_BYTES) + extent;
}

static void damage_extent(struct input *input)
{
	uint32_t extent = choose_extent(input);
	uint64_t word = tmem_extent_word(extent, next(input, 1) % TMEM_CLASSES);
	uint32_t where = next(input, 1);

	if ((where & 1) != 0)
		*table_word(extent) = word;
	if ((where & 2) != 0)
		memcpy(image + extents_offset() + (size_t)extent * EXTENT_BYTES, &word,
		       sizeof(word));
	if ((where & 4) != 0)
		*table_word(extent) = 0;
}

static void damage_field(struct input *input)
{
	uint32_t extent = choose_extent(input);
	int class = *table_word(extent) != 0 ? tmem_extent_class(extent, *table_word(extent)) : -1;
	unsigned char *base = image + extents_offset() + (size_t)extent * EXTENT_BYTES;
	uint32_t slot;

	if (class < 0)
		return;
	slot = next(input, 1) % tmem_class_slots((unsigned int)class, EXTENT_BYTES);
	base += TMEM_EXTENT_HEADER_BYTES +
		(size_t)slot * tmem_class_record_bytes((unsigned int)class);
	if (class == TMEM_CLASS_ROW) {
		struct tmem_row *row = (struct tmem_row *)base;

		scribble(input, base, TMEM_ROW_BYTES);
		row->commit = tmem_row_commit(row);
	} else {
		struct tmem_record *record = (struct tmem_record *)base;
		uint64_t commit;

		scribble(input, base, TMEM_RECORD_BYTES);
		commit = record->commit;
		record->commit = tmem_record_commit(record, tmem_commit_mark(commit),
						    tmem_commit_encoding(commit),
						    tmem_commit_length(commit));
	}
}

static void write_image(const unsigned char *contents, size_t bytes)
{
	int fd = open(path, O_RDWR | O_TRUNC | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK_EQ(write(fd, contents, bytes), (ssize_t)bytes);
	close(fd);
}

static void damage(struct input *input)
{
	memcpy(image, pristine, image_bytes);
	while (input->bytes > 0) {
		switch ((enum action)(next(input, 1) % ACTIONS)) {
		case FIELD:
			damage_field(input);
			break;
		case HEADER:
			damage_header(input);
			break;
		case EXTENT:
			damage_extent(input);
			break;
		default:
			damage_anywhere(input);
		}
	}
	write_image(image, image_bytes);
}

/* ---- use -------------------------------------------------------------------------------- */

static void use_pool(struct tmem_client *client, uint32_t id)
{
	unsigned char contents[TMEM_PAGE_BYTES];
	struct tmem_counters counters;
	struct tmem_pool_info info;
	struct tmem_oid oid;

	CHECK_EQ(tmem_pool_info(client, id, &info), 0);
	CHECK_EQ(tmem_pool_counters(client, id, &counters), 0);
	for (uint32_t i = 0; i < PAGES; i++) {
		oid = oid_of(i / 3);
		(void)tmem_get(client, id, &oid, i, contents);
		page_make(contents, page_value(i % PAGE_FILLS, 100 + i));
		if (tmem_put(client, id, &oid, i, contents) == TMEM_DONE && info.served)
			(void)tmem_get(client, id, &oid, i, contents);
	}
	CHECK_EQ(tmem_flush_page(client, id, &oid, 0), TMEM_DONE);
	CHECK_EQ(tmem_flush_range(client, id, &oid, 1, 2), TMEM_DONE);
}

static void use(struct tmem_engine *engine)
{
	struct tmem_client_info info;
	struct tmem_client *client;
	struct tmem_shrink_report report;
	struct tmem_usage usage;
	uint8_t uuids[4 * TMEM_UUID_BYTES];
	int64_t uid = -1;

	while (tmem_engine_scrub(engine, 7) != 0)
		;
	while (tmem_client_next(engine, uid, &client) == 0) {
		tmem_client_info(client, &info);
		CHECK((int64_t)info.uid > uid);
		uid = info.uid;
		(void)tmem_client_auth_list(client, uuids, 4);
		(void)tmem_client_resume(client);
		for (int64_t id = -1; (id = tmem_pool_next(client, id)) >= 0;)
			use_pool(client, (uint32_t)id);
		if (uid % 2 == 0)
			CHECK_EQ(tmem_client_destroy(client), 0);
		tmem_client_release(client);
	}
	if (tmem_client_create(engine, "newcomer", &client) == 0) {
		use_pool(client, setup_pool(client, TMEM_POOL_PERSISTENT));
		tmem_client_release(client);
	}
	tmem_engine_shrink(engine, ARENA_BYTES / 2, &report);
	tmem_engine_usage(engine, &usage);
	CHECK(usage.idle_bytes <= usage.resident_bytes);
}

static bool check_from_outside(struct tmem_arena_report *report)
{
	struct tmem_error error;
	int result = tmem_arena_check(path, 1, report, &error);

	CHECK(result == 0 || (result < 0 && error.code == result && error.message[0] != '\0'));
	return result == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input input = {.data = data, .bytes = bytes};
	struct tmem_arena_report report;
	struct tmem_engine *engine;

	if (next(&input, 1) % ACTIONS == RAW)
		write_image(input.data, input.bytes);
	else
		damage(&input);
	(void)check_from_outside(&report);
	engine = open_engine(false);
	if (engine == NULL)
		return 0;
	use(engine);
	tmem_engine_close(engine);
	/* Recovery and use have left nothing damaged behind. */
	CHECK(check_from_outside(&report));
	CHECK_EQ(report.damaged_records, 0);
	CHECK_EQ(report.damaged_rows, 0);
	CHECK_EQ(report.damaged_extents, 0);
	engine = open_engine(false);
	CHECK(engine != NULL);
	tmem_engine_close(engine);
	return 0;
}
