/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arena.h"

#include <stdlib.h>
#include <sys/random.h>

static int choose_geometry(struct tmem_arena_header *header, const struct tmem_options *options,
			   uint64_t page_bytes, struct tmem_error *error)
{
	uint64_t max_bytes = options->max_bytes != 0 ? options->max_bytes : 256ull << 30;
	uint64_t extent_bytes = options->extent_bytes;

	if (extent_bytes == 0) {
		extent_bytes = 1 << 19;
		while (extent_bytes < page_bytes || max_bytes / extent_bytes > TMEM_EXTENTS_MAX + 1)
			extent_bytes *= 2;
	}
	header->extent_bytes = extent_bytes;
	header->max_extents = max_bytes / extent_bytes;
	if (header->max_extents == TMEM_EXTENTS_MAX + 1)
		header->max_extents--; /* a round size, one number short */
	if (extent_bytes < TMEM_EXTENT_BYTES_MIN || extent_bytes > TMEM_EXTENT_BYTES_MAX ||
	    (extent_bytes & (extent_bytes - 1)) != 0 || extent_bytes % page_bytes != 0)
		return tmem_fail(error, -EINVAL,
				 "extent_bytes %llu: not a power of two between 16 KiB and 2 MiB "
				 "that holds whole pages of the file system",
				 (unsigned long long)extent_bytes);
	if (header->max_extents < 2 || header->max_extents > TMEM_EXTENTS_MAX)
		return tmem_fail(
			error, -EINVAL,
			"max_bytes %llu: an arena of %llu byte extents holds 2 to %u of them",
			(unsigned long long)max_bytes, (unsigned long long)extent_bytes,
			TMEM_EXTENTS_MAX);
	return 0;
}

static int format(struct tmem_backing *backing, const struct tmem_options *options,
		  struct tmem_error *error)
{
	struct tmem_arena_header header = {
		.magic = TMEM_ARENA_MAGIC,
		.version = TMEM_FORMAT_VERSION,
	};
	uint64_t bytes = tmem_round_up(TMEM_TABLE_OFFSET_BYTES, backing->page_bytes);
	int code = choose_geometry(&header, options, backing->page_bytes, error);
	char *window;
	void *mapped;

	if (code != 0)
		return code;
	if (getrandom(header.key, sizeof(header.key), 0) != sizeof(header.key))
		return tmem_fail(error, -EIO, "no random numbers from the host");
	header.check = tmem_header_check(&header);
	code = backing->ops->reserve(backing, 0, bytes);
	if (code == 0)
		code = backing->ops->map(backing, bytes, &mapped);
	if (code != 0)
		return tmem_fail(error, code, "cannot reserve the arena's header: %s",
				 strerror(-code));
	window = mapped;
	memcpy(window + TMEM_HEADER_COPY_BYTES, &header, sizeof(header));
	memcpy(window, &header, sizeof(header));
	return 0;
}

int tmem_header_read(struct tmem_backing *backing, struct tmem_arena_header *ret,
		     uint32_t *first_damaged, struct tmem_error *error)
{
	struct tmem_error second_error;
	int code = backing->ops->read(backing, ret, 0, sizeof(*ret));

	*first_damaged = 0;
	if (code != 0)
		return tmem_fail(error, code, "cannot read the arena: %s", strerror(-code));
	code = tmem_header_sound(ret, error);
	if (code == 0 || code == -EPROTONOSUPPORT)
		return code;
	if (backing->ops->read(backing, ret, TMEM_HEADER_COPY_BYTES, sizeof(*ret)) != 0 ||
	    tmem_header_sound(ret, &second_error) != 0)
		return code;
	*first_damaged = 1;
	return 0;
}

static int map_window(struct tmem_engine *engine, struct tmem_error *error)
{
	const struct tmem_arena_header *header = &engine->header;
	uint64_t words = (header->max_extents + 63) / 64;
	void *window;
	int code;

	engine->extents_offset_bytes = tmem_extents_offset_bytes(header);
	code = engine->backing->ops->map(
		engine->backing,
		engine->extents_offset_bytes + header->max_extents * header->extent_bytes, &window);
	if (code != 0)
		return tmem_fail(error, code, "cannot map the arena: %s", strerror(-code));
	engine->window = window;
	engine->extent_table = (_Atomic uint64_t *)(engine->window + TMEM_TABLE_OFFSET_BYTES);
	/* One struct for each extent that may ever be: address space, touched as they come. */
	engine->extents = tmem_sparse_alloc(header->max_extents * sizeof(*engine->extents));
	engine->unreserved_map = malloc(words * sizeof(uint64_t));
	if (engine->extents == NULL || engine->unreserved_map == NULL)
		return tmem_fail(error, -ENOMEM, "out of memory");
	memset(engine->unreserved_map, 0xff, words * sizeof(uint64_t));
	for (uint64_t extent = header->max_extents; extent < words * 64; extent++)
		engine->unreserved_map[extent / 64] &= ~(1ull << extent % 64);
	engine->table_reserved_bytes =
		tmem_round_up(TMEM_TABLE_OFFSET_BYTES, engine->backing->page_bytes);
	atomic_store(&engine->resident_bytes, engine->table_reserved_bytes);
	return 0;
}

int tmem_arena_open(struct tmem_engine *engine, const char *path,
		    const struct tmem_options *options, struct tmem_error *error)
{
	uint32_t first_damaged;
	int code = tmem_backing_open_file(path, options->create != 0, &engine->backing, error);

	if (code != 0)
		return code;
	engine->idle = TMEM_REF_NONE;
	tmem_lock_init(&engine->arena_lock, TMEM_RANK_ARENA);
	if (options->create && engine->backing->ops->end_bytes(engine->backing) == 0) {
		code = format(engine->backing, options, error);
		if (code == 0)
			code = tmem_backing_publish(engine->backing, error);
	}
	if (code == 0)
		code = tmem_header_read(engine->backing, &engine->header, &first_damaged, error);
	if (code == 0 && engine->header.extent_bytes % engine->backing->page_bytes != 0)
		code = tmem_fail(error, -EINVAL, "extents of %llu bytes do not fit huge pages",
				 (unsigned long long)engine->header.extent_bytes);
	if (code == 0)
		code = map_window(engine, error);
	if (code == 0 && first_damaged)
		memcpy(engine->window, &engine->header, sizeof(engine->header));
	if (code != 0) {
		char sentence[sizeof(error->message)];

		memcpy(sentence, error->message, sizeof(sentence));
		if (strncmp(sentence, path, strlen(path)) != 0)
			tmem_fail(error, code, "%s: %s", path, sentence);
		tmem_arena_close(engine);
	}
	return code;
}

void tmem_arena_close(struct tmem_engine *engine)
{
	if (engine->extents != NULL) {
		uint64_t extents = engine->unreserved_map != NULL ? engine->header.max_extents : 0;

		for (uint64_t i = 0; i < extents; i++) {
			/* the structs up to the first never used are the only ones touched */
			if (engine->unreserved_map[i / 64] == UINT64_MAX) {
				i |= 63;
				continue;
			}
			if (engine->extents[i].free_map != NULL)
				tmem_extent_forget(engine, &engine->extents[i]);
		}
		tmem_sparse_free(engine->extents,
				 engine->header.max_extents * sizeof(*engine->extents));
	}
	free(engine->unreserved_map);
	tmem_lock_deinit(&engine->arena_lock);
	if (engine->backing != NULL)
		engine->backing->ops->close(engine->backing);
}
