/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening, refusing and surviving arenas: what damage costs, and what it must not cost. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "page.h"
#include "record.h"
#include "scratch.h"
#include "setup.h"

enum { ARENA_BYTES = 1 << 20, FILE_MAX_BYTES = 2 << 20 };

static char path[SCRATCH_PATH_BYTES];
static unsigned char file[FILE_MAX_BYTES];
static size_t file_bytes;

static void read_file(void)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t bytes = read(fd, file, sizeof(file));

	CHECK(bytes > 0);
	file_bytes = (size_t)bytes;
	close(fd);
}

static void write_file(void)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK_EQ(write(fd, file, file_bytes), (ssize_t)file_bytes);
	close(fd);
}

static int open_code(const struct tmem_options *options, const char *sentence)
{
	struct tmem_engine *engine = NULL;
	struct tmem_error error = {0};
	int code = tmem_engine_open(path, options, &engine, &error);

	if (code == 0) {
		tmem_engine_close(engine);
		return 0;
	}
	CHECK_EQ(error.code, code);
	CHECK(engine == NULL);
	if (strstr(error.message, sentence) == NULL)
		check_failed(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", error.message,
			     sentence);
	/* An operator must know which arena it is about. */
	CHECK(strstr(error.message, path) != NULL);
	return code;
}

/* An arena "damaged" with 20 persistent and 20 ephemeral pages, values from 1 and from 101. */
static void make_arena(void)
{
	struct tmem_engine *engine;
	struct tmem_client *client;
	uint32_t persistent;
	uint32_t ephemeral;

	scratch_path(path, "damaged");
	unlink(path);
	engine = setup_engine("damaged", ARENA_BYTES);
	client = setup_client(engine, "guest", TMEM_ENCODING_RAW);
	persistent = setup_pool(client, TMEM_POOL_PERSISTENT);
	ephemeral = setup_pool(client, 0);
	for (uint32_t i = 0; i < 20; i++) {
		CHECK_EQ(setup_put(client, persistent, i, page_value(PAGE_RAW, 1 + i)), TMEM_DONE);
		CHECK_EQ(setup_put(client, ephemeral, i, page_value(PAGE_RAW, 101 + i)), TMEM_DONE);
	}
	tmem_client_release(client);
	tmem_engine_close(engine);
	read_file();
}

/* Where the contents of the page of @value are in the file. */
static unsigned char *contents_of(uint32_t value)
{
	unsigned char page[TMEM_PAGE_BYTES];
	unsigned char *found;

	page_make(page, value);
	found = memmem(file, file_bytes, page, sizeof(page));
	CHECK(found != NULL);
	return found;
}

static void options_are_checked(void)
{
	struct tmem_options options = {.extent_bytes = 5000, .create = 1};

	scratch_path(path, "options");
	CHECK_EQ(open_code(&options, "extent_bytes"), -EINVAL);
	options.extent_bytes = 4096;
	CHECK_EQ(open_code(&options, "extent_bytes"), -EINVAL);
	options.extent_bytes = 16 << 10;
	options.max_bytes = 16 << 10;
	CHECK_EQ(open_code(&options, "max_bytes"), -EINVAL);
	/* A refusal leaves no file, by whatever name, behind. */
	CHECK(access(path, F_OK) != 0);
	options.max_bytes = 0;
	options.create = 0;
	CHECK_EQ(open_code(&options, "No such file"), -ENOENT);
}

static void one_engine_at_a_time(void)
{
	struct tmem_options options = {.create = 1};
	struct tmem_engine *engine = setup_engine("busy", ARENA_BYTES);
	struct tmem_arena_report report;
	struct tmem_error error;

	scratch_path(path, "busy");
	CHECK_EQ(open_code(&options, "in use"), -EBUSY);
	/* Looking is allowed, and says so. */
	CHECK_EQ(tmem_arena_check(path, 1, &report, &error), 0);
	CHECK(report.in_use != 0);
	tmem_engine_close(engine);
	CHECK_EQ(tmem_arena_check(path, 1, &report, &error), 0);
	CHECK_EQ(report.in_use, 0);
	CHECK_EQ(open_code(&options, ""), 0);
}

static void strange_files_are_refused(void)
{
	struct tmem_options options = {.create = 1};
	struct tmem_arena_report report;
	struct tmem_error error;

	make_arena();
	memset(file, 'x', file_bytes);
	write_file();
	CHECK_EQ(open_code(&options, "not a tmem arena"), -EINVAL);
	CHECK_EQ(tmem_arena_check(path, 0, &report, &error), -EINVAL);
	file_bytes = 100;
	write_file();
	CHECK(open_code(&options, "") != 0);
	/* Nothing of it was changed. */
	read_file();
	CHECK_EQ(file_bytes, 100);
	CHECK_EQ(file[99], 'x');
	scratch_path(path, ".");
	CHECK(open_code(&options, "") != 0);
}

static void newer_formats_are_refused(void)
{
	struct tmem_options options = {.create = 1};
	struct tmem_arena_header *headers[2];

	for (int feature = 0; feature < 2; feature++) {
		make_arena();
		headers[0] = (struct tmem_arena_header *)file;
		headers[1] = (struct tmem_arena_header *)(file + TMEM_HEADER_COPY_BYTES);
		for (int i = 0; i < 2; i++) {
			if (feature != 0)
				headers[i]->features_incompat |= 1U << 30;
			else
				headers[i]->version = TMEM_FORMAT_VERSION + 1;
			headers[i]->check = tmem_header_check(headers[i]);
		}
		write_file();
		CHECK_EQ(open_code(&options, "version of tmem"), -EPROTONOSUPPORT);
	}
}

static void a_damaged_header_has_a_second(void)
{
	struct tmem_options options = {.create = 1};
	struct tmem_arena_report report;
	struct tmem_error error;

	make_arena();
	memset(file, 0, 200);
	write_file();
	CHECK_EQ(tmem_arena_check(path, 1, &report, &error), 0);
	CHECK(report.header_damaged != 0);
	CHECK_EQ(report.persistent_pages, 20);
	CHECK_EQ(open_code(&options, ""), 0);
	/* Opening has mended it. */
	CHECK_EQ(tmem_arena_check(path, 1, &report, &error), 0);
	CHECK_EQ(report.header_damaged, 0);
	read_file();
	memset(file, 0, 200);
	memset(file + TMEM_HEADER_COPY_BYTES, 0, 200);
	write_file();
	CHECK(open_code(&options, "") != 0);
}

/* Persistent page 7 is value 8, ephemeral page 7 is value 108. */
static void damaged_contents_cost_their_page(void)
{
	unsigned char contents[TMEM_PAGE_BYTES];
	struct tmem_arena_report report;
	struct tmem_counters counters;
	struct tmem_engine *engine;
	struct tmem_client *client;
	struct tmem_error error;
	uint32_t persistent;
	uint32_t ephemeral;

	make_arena();
	contents_of(page_value(PAGE_RAW, 8))[1234] ^= 1;
	contents_of(page_value(PAGE_RAW, 108))[4095] ^= 0x80;
	write_file();
	CHECK_EQ(tmem_arena_check(path, 0, &report, &error), 0);
	CHECK_EQ(report.damaged_contents, 0);
	CHECK_EQ(tmem_arena_check(path, 1, &report, &error), 0);
	CHECK_EQ(report.damaged_contents, 2);
	engine = setup_engine("damaged", ARENA_BYTES);
	CHECK_EQ(tmem_client_find(engine, "guest", &client), 0);
	persistent = (uint32_t)tmem_pool_next(client, -1);
	ephemeral = (uint32_t)tmem_pool_next(client, persistent);
	CHECK_EQ(tmem_get(client, persistent, &setup_oid, 7, contents), TMEM_EIO);
	CHECK_EQ(tmem_get(client, persistent, &setup_oid, 7, contents), TMEM_MISS);
	/* Only a hit writes the page (rule 14). */
	memset(contents, 0x55, sizeof(contents));
	CHECK_EQ(tmem_get(client, ephemeral, &setup_oid, 7, contents), TMEM_MISS);
	for (size_t i = 0; i < sizeof(contents); i++)
		CHECK_EQ(contents[i], 0x55);
	tmem_engine_counters(engine, &counters);
	CHECK_EQ(counters.gets_damaged, 2);
	CHECK_EQ(counters.damaged, 2);
	for (uint32_t i = 0; i < 20; i++) {
		if (i == 7)
			continue;
		CHECK_EQ(setup_get(client, persistent, i), page_value(PAGE_RAW, 1 + i));
		CHECK_EQ(setup_get(client, ephemeral, i), page_value(PAGE_RAW, 101 + i));
	}
	CHECK_EQ(setup_put(client, persistent, 7, page_value(PAGE_RAW, 500)), TMEM_DONE);
	CHECK_EQ(setup_get(client, persistent, 7), page_value(PAGE_RAW, 500));
	tmem_client_release(client);
	tmem_engine_close(engine);
}

static void scrubbing_finds_damage(void)
{
	struct tmem_recovery recovery;
	struct tmem_counters counters;
	struct tmem_engine *engine;
	struct tmem_client *client;
	uint64_t scrubbed = 0;
	uint64_t some;

	make_arena();
	contents_of(page_value(PAGE_RAW, 3))[0] ^= 1;
	write_file();
	engine = setup_engine("damaged", ARENA_BYTES);
	tmem_engine_recovery(engine, &recovery);
	CHECK_EQ(recovery.pages, 40);
	CHECK_EQ(recovery.scrub_done, 0);
	/* Looking at nothing is not having looked at everything. */
	CHECK_EQ(tmem_engine_scrub(engine, 0), 0);
	tmem_engine_recovery(engine, &recovery);
	CHECK_EQ(recovery.scrub_done, 0);
	while ((some = tmem_engine_scrub(engine, 6)) != 0) {
		/* A chain is always finished, but they are short. */
		CHECK(some <= 12);
		scrubbed += some;
	}
	CHECK_EQ(scrubbed, 40);
	tmem_engine_recovery(engine, &recovery);
	CHECK(recovery.scrub_done != 0);
	CHECK_EQ(recovery.scrubbed_pages, 40);
	CHECK_EQ(recovery.scrub_damaged_pages, 1);
	tmem_engine_counters(engine, &counters);
	CHECK_EQ(counters.damaged, 1);
	CHECK_EQ(tmem_client_find(engine, "guest", &client), 0);
	CHECK_EQ(setup_get(client, (uint32_t)tmem_pool_next(client, -1), 2), 0);
	tmem_client_release(client);
	tmem_engine_close(engine);
}

/* Each extent in turn loses its table word, or its whole first half. */
static void damaged_extents_cost_themselves(void)
{
	const struct tmem_arena_header *header = (const struct tmem_arena_header *)file;
	struct tmem_arena_report report;
	struct tmem_engine *engine;
	struct tmem_error error;
	uint64_t offset;

	make_arena();
	offset = tmem_extents_offset_bytes(header);
	for (uint64_t extent = 0; offset + (extent + 1) * SETUP_EXTENT_BYTES <= file_bytes;
	     extent++)
		for (int whole = 0; whole < 2; whole++) {
			make_arena();
			if (whole)
				memset(file + offset + extent * SETUP_EXTENT_BYTES, 0xff,
				       SETUP_EXTENT_BYTES / 2);
			else
				file[TMEM_TABLE_OFFSET_BYTES + 8 * extent + 3] ^= 0x10;
			write_file();
			CHECK_EQ(tmem_arena_check(path, 1, &report, &error), 0);
			engine = setup_engine("damaged", ARENA_BYTES);
			tmem_engine_close(engine);
			/* Damage is dropped once, then the arena is sound. */
			CHECK_EQ(tmem_arena_check(path, 1, &report, &error), 0);
			CHECK_EQ(report.damaged_records + report.damaged_rows +
					 report.damaged_extents,
				 0);
			CHECK(report.persistent_pages <= 20);
		}
}

/* A file that was cut short opens with what is left. */
static void short_files_keep_the_rest(void)
{
	struct tmem_engine *engine;
	struct tmem_usage usage;
	size_t whole_bytes;

	make_arena();
	whole_bytes = file_bytes;
	for (size_t cut = whole_bytes - 1; cut > 3 * SETUP_EXTENT_BYTES; cut -= 10007) {
		make_arena();
		CHECK_EQ(truncate(path, (off_t)cut), 0);
		engine = setup_engine("damaged", ARENA_BYTES);
		while (tmem_engine_scrub(engine, 100) != 0)
			;
		tmem_engine_usage(engine, &usage);
		CHECK(usage.persistent_pages <= 20);
		tmem_engine_close(engine);
	}
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"options_are_checked", options_are_checked},
		{"one_engine_at_a_time", one_engine_at_a_time},
		{"strange_files_are_refused", strange_files_are_refused},
		{"newer_formats_are_refused", newer_formats_are_refused},
		{"a_damaged_header_has_a_second", a_damaged_header_has_a_second},
		{"damaged_contents_cost_their_page", damaged_contents_cost_their_page},
		{"scrubbing_finds_damage", scrubbing_finds_damage},
		{"damaged_extents_cost_themselves", damaged_extents_cost_themselves},
		{"short_files_keep_the_rest", short_files_keep_the_rest},
	};

	return RUN_TESTS(tests, argc, argv);
}
