/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "hash.h"

#define STATE_MAGIC 0x65746174736d6574ull /* "temstate" */

enum {
	STATE_VERSION = 1,
	HEADER_BYTES = 4096,
	TOKENS_BYTES = 16 * TMEM_TOKENS,
	SLOT_BYTES = 1024,
	SLOTS_MAX = 1 << 20,
	GROW_SLOTS = 64,
	IDENTITY_BYTES = 16,
};

struct header {
	uint64_t magic;
	uint32_t version;
	uint32_t slot_bytes;
	uint8_t identity[IDENTITY_BYTES];
	uint8_t host_boot_id[TMEM_BOOT_ID_BYTES];
	uint64_t check;
};

struct token {
	uint64_t token;
	_Atomic uint64_t time_ns; /* stored last; 0: none */
};

/* Sequence 0: not whole, or the slot is free. */
struct copy {
	_Atomic uint64_t sequence;
	uint64_t check; /* of the content, seeded with the sequence */
	uint8_t content[];
};

/* What a slot has two copies of. */
struct kind {
	uint32_t at_bytes;
	uint32_t stride_bytes;
	uint32_t content_bytes;
};

static const struct kind of_progress = {0, 64, sizeof(struct tmem_state_progress)};
static const struct kind of_session = {128, 384, sizeof(struct tmem_state_session)};

_Static_assert(sizeof(struct copy) + sizeof(struct tmem_state_progress) <= 64, "a copy fits");
_Static_assert(sizeof(struct copy) + sizeof(struct tmem_state_session) <= 384, "a copy fits");
_Static_assert(128 + 2 * 384 <= SLOT_BYTES, "a slot has room for its copies");
_Static_assert(TMEM_TOKENS * sizeof(struct token) == TOKENS_BYTES, "tokens fill their place");

struct tmem_state {
	int fd;
	char *map;
	uint32_t slots; /* that the file has room for */
	pthread_mutex_t lock;
	uint32_t newest_token;
};

static size_t slot_at_bytes(uint64_t slot)
{
	return HEADER_BYTES + TOKENS_BYTES + slot * SLOT_BYTES;
}

static struct copy *copy_of(struct tmem_state *state, int64_t slot, const struct kind *kind,
			    uint64_t which)
{
	return (struct copy *)(state->map + slot_at_bytes((uint64_t)slot) + kind->at_bytes +
			       (which & 1) * kind->stride_bytes);
}

static struct token *token_of(struct tmem_state *state, uint32_t at)
{
	return (struct token *)(state->map + HEADER_BYTES) + at % TMEM_TOKENS;
}

/* ---- the two copies --------------------------------------------------------------------- */

static uint64_t sequence_of(const struct copy *copy)
{
	return atomic_load_explicit(&copy->sequence, memory_order_acquire);
}

static uint64_t newest(struct tmem_state *state, int64_t slot, const struct kind *kind)
{
	uint64_t first = sequence_of(copy_of(state, slot, kind, 0));
	uint64_t second = sequence_of(copy_of(state, slot, kind, 1));

	return first > second ? first : second;
}

/* Only this process' death can come between the stores: their order is all it takes. */
static inline void write_copy(struct tmem_state *state, int64_t slot, const struct kind *kind,
			      const void *content)
{
	uint64_t sequence = newest(state, slot, kind) + 1;
	struct copy *copy = copy_of(state, slot, kind, sequence);

	atomic_store_explicit(&copy->sequence, 0, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	memcpy(copy->content, content, kind->content_bytes);
	copy->check = XXH3_64bits_withSeed(content, kind->content_bytes, sequence);
	atomic_store_explicit(&copy->sequence, sequence, memory_order_release);
}

/* Takes the newer one that is sound; false when there is none. */
static bool read_copy(struct tmem_state *state, int64_t slot, const struct kind *kind, void *ret)
{
	uint64_t found = 0;

	for (int which = 0; which < 2; which++) {
		const struct copy *copy = copy_of(state, slot, kind, (uint64_t)which);
		uint64_t sequence = sequence_of(copy);

		if (sequence <= found ||
		    copy->check !=
			    XXH3_64bits_withSeed(copy->content, kind->content_bytes, sequence))
			continue;
		memcpy(ret, copy->content, kind->content_bytes);
		found = sequence;
	}
	return found != 0;
}

static void clear_copies(struct tmem_state *state, int64_t slot, const struct kind *kind)
{
	for (int which = 0; which < 2; which++)
		atomic_store(&copy_of(state, slot, kind, (uint64_t)which)->sequence, 0);
}

void tmem_state_set_session(struct tmem_state *state, int64_t slot,
			    const struct tmem_state_session *session)
{
	write_copy(state, slot, &of_session, session);
}

void tmem_state_set_progress(struct tmem_state *state, int64_t slot,
			     const struct tmem_state_progress *progress)
{
	write_copy(state, slot, &of_progress, progress);
}

static bool read_slot(struct tmem_state *state, int64_t slot, struct tmem_state_session *session,
		      struct tmem_state_progress *progress)
{
	if (!read_copy(state, slot, &of_session, session))
		return false;
	if (!read_copy(state, slot, &of_progress, progress))
		memset(progress, 0, sizeof(*progress));
	return true;
}

/* ---- slots ------------------------------------------------------------------------------ */

/* The room is allocated before it is touched: a full tmpfs is no SIGBUS. */
static int grow(struct tmem_state *state, uint32_t slots)
{
	size_t from = slot_at_bytes(state->slots);
	int code = posix_fallocate(state->fd, (off_t)from, (off_t)(slot_at_bytes(slots) - from));

	if (code != 0)
		return -code;
	state->slots = slots;
	return 0;
}

int64_t tmem_state_add(struct tmem_state *state, const struct tmem_state_session *session)
{
	int64_t slot = 0;
	int code = 0;

	pthread_mutex_lock(&state->lock);
	while (slot < state->slots && newest(state, slot, &of_session) != 0)
		slot++;
	if (slot == SLOTS_MAX)
		code = -ENOMEM;
	else if (slot == state->slots)
		code = grow(state, state->slots + GROW_SLOTS);
	if (code == 0)
		tmem_state_set_session(state, slot, session);
	pthread_mutex_unlock(&state->lock);
	return code == 0 ? slot : code;
}

void tmem_state_remove(struct tmem_state *state, int64_t slot)
{
	pthread_mutex_lock(&state->lock);
	clear_copies(state, slot, &of_progress);
	clear_copies(state, slot, &of_session);
	pthread_mutex_unlock(&state->lock);
}

int64_t tmem_state_next(struct tmem_state *state, int64_t slot, struct tmem_state_session *session,
			struct tmem_state_progress *progress)
{
	for (slot++; slot < state->slots; slot++)
		if (read_slot(state, slot, session, progress))
			return slot;
	return -ENOENT;
}

/* ---- tokens ----------------------------------------------------------------------------- */

uint64_t tmem_state_token(struct tmem_state *state, uint64_t now_ns, uint64_t age_ns)
{
	struct token *newest;
	uint64_t token;

	pthread_mutex_lock(&state->lock);
	newest = token_of(state, state->newest_token);
	if (atomic_load(&newest->time_ns) == 0 || now_ns - atomic_load(&newest->time_ns) > age_ns) {
		newest = token_of(state, ++state->newest_token);
		atomic_store(&newest->time_ns, 0);
		do {
			if (getrandom(&newest->token, sizeof(newest->token), 0) !=
			    sizeof(newest->token))
				abort(); /* cannot be: 8 bytes are never short */
		} while (newest->token == 0);
		atomic_store(&newest->time_ns, now_ns);
	}
	token = newest->token;
	pthread_mutex_unlock(&state->lock);
	return token;
}

uint64_t tmem_state_token_ns(struct tmem_state *state, uint64_t untrusted_token)
{
	uint64_t time_ns = 0;

	if (untrusted_token == 0)
		return 0;
	pthread_mutex_lock(&state->lock);
	for (uint32_t i = 0; i < TMEM_TOKENS && time_ns == 0; i++) {
		const struct token *token = token_of(state, state->newest_token - i);

		if (token->token == untrusted_token)
			time_ns = atomic_load(&token->time_ns);
	}
	pthread_mutex_unlock(&state->lock);
	return time_ns;
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

/* ---- opening ---------------------------------------------------------------------------- */

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
