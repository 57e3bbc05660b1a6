/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes, checks and opens the state file. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "hash.h"
#include "state_layout.h"

#define STATE_MAGIC 0x65746174736d6574ull /* "temstate" */

enum { STATE_VERSION = 1 };

static int read_host_boot_id(uint8_t *ret)
{
	char text[64] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t bytes = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (bytes < 36)
		return -EIO;
	/* 128 bits in 36 characters; their hash is as good, and needs no parsing */
	XXH128_hash_t hash = XXH3_128bits(text, 36);
	memcpy(ret, &hash, TMEM_BOOT_ID_BYTES);
	return 0;
}

static uint64_t header_check(const struct header *header)
{
	return XXH3_64bits(header, offsetof(struct header, check));
}

static int format(struct tmem_state *state, const char *path, const struct header *wanted,
		  struct tmem_error *error)
{
	struct header *header = (struct header *)state->map;
	int code = posix_fallocate(state->fd, 0, (off_t)slot_at_bytes(0));

	if (code != 0)
		return tmem_fail(error, -code, "%s: no room for the state file: %s", path,
				 strerror(code));
	*header = *wanted;
	return 0;
}

/* No guest of an earlier boot of the host is alive: their sessions are over. */
static void renew(struct tmem_state *state, const struct header *wanted)
{
	struct tmem_state_progress progress;
	struct tmem_state_session session;

	for (int64_t slot = -1; (slot = tmem_state_next(state, slot, &session, &progress)) >= 0;) {
		session.flags &= ~(uint32_t)TMEM_STATE_RESUMABLE;
		tmem_state_set_session(state, slot, &session);
	}
	memset(state->map + HEADER_BYTES, 0, TOKENS_BYTES);
	*(struct header *)state->map = *wanted;
}

static int check_header(struct tmem_state *state, const char *path, const struct header *wanted,
			struct tmem_error *error)
{
	const struct header *header = (const struct header *)state->map;

	if (header->magic != STATE_MAGIC || header->check != header_check(header))
		return tmem_fail(error, -EINVAL,
				 "%s is not a state file, or is damaged; remove it to start "
				 "without the sessions of running guests",
				 path);
	if (header->version != STATE_VERSION || header->slot_bytes != SLOT_BYTES)
		return tmem_fail(error, -EPROTONOSUPPORT,
				 "%s has format %u, this program knows %u; use the program that "
				 "wrote it, or remove the file",
				 path, header->version, (unsigned int)STATE_VERSION);
	if (memcmp(header->identity, wanted->identity, IDENTITY_BYTES) != 0)
		return tmem_fail(error, -EXDEV,
				 "%s belongs to another arena; name that one's state file, or "
				 "remove this one if its arena is gone",
				 path);
	return 0;
}

static void find_newest_token(struct tmem_state *state)
{
	uint64_t newest_ns = 0;

	for (uint32_t i = 0; i < TMEM_TOKENS; i++)
		if (atomic_load(&token_of(state, i)->time_ns) > newest_ns) {
			newest_ns = atomic_load(&token_of(state, i)->time_ns);
			state->newest_token = i;
		}
}

static int load(struct tmem_state *state, const char *path, const uint8_t *identity,
		struct tmem_error *error)
{
	struct header wanted = {
		.magic = STATE_MAGIC,
		.version = STATE_VERSION,
		.slot_bytes = SLOT_BYTES,
	};
	const struct header *header = (const struct header *)state->map;
	struct stat status;
	int code;

	memcpy(wanted.identity, identity, IDENTITY_BYTES);
	if (read_host_boot_id(wanted.host_boot_id) != 0)
		return tmem_fail(error, -EIO, "/proc/sys/kernel/random/boot_id cannot be read");
	wanted.check = header_check(&wanted);
	if (fstat(state->fd, &status) != 0)
		return tmem_fail(error, -errno, "%s: %s", path, strerror(errno));
	if ((size_t)status.st_size < slot_at_bytes(0))
		return format(state, path, &wanted, error);
	if (header->magic == 0) /* its maker was killed */
		return format(state, path, &wanted, error);
	code = check_header(state, path, &wanted, error);
	if (code != 0)
		return code;
	state->slots = (uint32_t)(((size_t)status.st_size - slot_at_bytes(0)) / SLOT_BYTES);
	if (state->slots > SLOTS_MAX)
		state->slots = SLOTS_MAX;
	/* A copy may have holes, which must not be found when there is no room for them. */
	code = posix_fallocate(state->fd, 0, (off_t)slot_at_bytes(state->slots));
	if (code != 0)
		return tmem_fail(error, -code, "%s: no room for the state file: %s", path,
				 strerror(code));
	if (memcmp(header->host_boot_id, wanted.host_boot_id, TMEM_BOOT_ID_BYTES) != 0)
		renew(state, &wanted);
	find_newest_token(state);
	return 0;
}

int tmem_state_open(const char *path, const uint8_t *identity, struct tmem_state **ret,
		    struct tmem_error *error)
{
	struct tmem_state *state = calloc(1, sizeof(*state));
	int code;

	if (state == NULL)
		return tmem_fail(error, -ENOMEM, "%s: out of memory", path);
	pthread_mutex_init(&state->lock, NULL);
	state->map = MAP_FAILED;
	state->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (state->fd < 0) {
		code = tmem_fail(error, -errno, "%s: %s", path, strerror(errno));
	} else if (flock(state->fd, LOCK_EX | LOCK_NB) != 0) {
		code = tmem_fail(error, -EBUSY, "%s is in use by another server", path);
	} else {
		state->map = mmap(NULL, slot_at_bytes(SLOTS_MAX), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_NORESERVE, state->fd, 0);
		code = state->map == MAP_FAILED
			       ? tmem_fail(error, -errno, "%s: %s", path, strerror(errno))
			       : load(state, path, identity, error);
	}
	if (code != 0) {
		tmem_state_close(state);
		return code;
	}
	*ret = state;
	return 0;
}

void tmem_state_close(struct tmem_state *state)
{
	if (state == NULL)
		return;
	if (state->map != MAP_FAILED)
		munmap(state->map, slot_at_bytes(SLOTS_MAX));
	if (state->fd >= 0)
		close(state->fd);
	pthread_mutex_destroy(&state->lock);
	free(state);
}
