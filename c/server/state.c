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

struct session_copy {
	_Atomic uint64_t sequence;
	uint64_t check;
	struct tmem_state_session session;
};

struct progress_copy {
	_Atomic uint64_t sequence;
	uint64_t check;
	struct tmem_state_progress progress;
} __attribute__((aligned(64)));

/* Both sequences of a slot that is free are zero. */
struct slot {
	struct progress_copy progress[2];
	struct session_copy session[2];
};

_Static_assert(sizeof(struct slot) <= SLOT_BYTES, "a slot has room for its copies");
_Static_assert(TMEM_TOKENS * sizeof(struct token) == TOKENS_BYTES, "tokens fill their place");

struct tmem_state {
	int fd;
	char *map;
	uint32_t slots; /* that the file has room for */
	pthread_mutex_t lock;
	uint32_t newest; /* token */
};

static size_t slot_at_bytes(uint64_t slot)
{
	return HEADER_BYTES + TOKENS_BYTES + slot * SLOT_BYTES;
}

static struct slot *slot_of(struct tmem_state *state, int64_t slot)
{
	return (struct slot *)(state->map + slot_at_bytes((uint64_t)slot));
}

static struct token *token_of(struct tmem_state *state, uint32_t at)
{
	return (struct token *)(state->map + HEADER_BYTES) + at % TMEM_TOKENS;
}

/* ---- the two copies --------------------------------------------------------------------- */

static uint64_t check_of(const void *data, size_t bytes, uint64_t sequence)
{
	return XXH3_64bits_withSeed(data, bytes, sequence);
}

static uint64_t sound_session(const struct session_copy *copy)
{
	uint64_t sequence = atomic_load_explicit(&copy->sequence, memory_order_acquire);

	return sequence != 0 && copy->check ==
					check_of(&copy->session, sizeof(copy->session), sequence)
		       ? sequence
		       : 0;
}

static uint64_t sound_progress(const struct progress_copy *copy)
{
	uint64_t sequence = atomic_load_explicit(&copy->sequence, memory_order_acquire);

	return sequence != 0 && copy->check ==
					check_of(&copy->progress, sizeof(copy->progress), sequence)
		       ? sequence
		       : 0;
}

static uint64_t newer_sequence(_Atomic uint64_t *a, _Atomic uint64_t *b)
{
	uint64_t of_a = atomic_load_explicit(a, memory_order_relaxed);
	uint64_t of_b = atomic_load_explicit(b, memory_order_relaxed);

	return of_a > of_b ? of_a : of_b;
}

void tmem_state_set_session(struct tmem_state *state, int64_t number,
			    const struct tmem_state_session *session)
{
	struct slot *slot = slot_of(state, number);
	uint64_t sequence =
		newer_sequence(&slot->session[0].sequence, &slot->session[1].sequence) + 1;
	struct session_copy *copy = &slot->session[sequence & 1];

	atomic_store_explicit(&copy->sequence, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	copy->session = *session;
	copy->check = check_of(session, sizeof(*session), sequence);
	atomic_store_explicit(&copy->sequence, sequence, memory_order_release);
}

void tmem_state_set_progress(struct tmem_state *state, int64_t number,
			     const struct tmem_state_progress *progress)
{
	struct slot *slot = slot_of(state, number);
	uint64_t sequence =
		newer_sequence(&slot->progress[0].sequence, &slot->progress[1].sequence) + 1;
	struct progress_copy *copy = &slot->progress[sequence & 1];

	/* Only this process' death can come between: the order of the stores is all it takes. */
	atomic_store_explicit(&copy->sequence, 0, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	copy->progress = *progress;
	copy->check = check_of(progress, sizeof(*progress), sequence);
	atomic_store_explicit(&copy->sequence, sequence, memory_order_release);
}

static bool read_slot(struct tmem_state *state, int64_t number, struct tmem_state_session *session,
		      struct tmem_state_progress *progress)
{
	const struct slot *slot = slot_of(state, number);
	uint64_t first = sound_session(&slot->session[0]);
	uint64_t second = sound_session(&slot->session[1]);

	if (first == 0 && second == 0)
		return false;
	*session = slot->session[second > first].session;
	first = sound_progress(&slot->progress[0]);
	second = sound_progress(&slot->progress[1]);
	if (first == 0 && second == 0)
		memset(progress, 0, sizeof(*progress));
	else
		*progress = slot->progress[second > first].progress;
	return true;
}

/* ---- slots ------------------------------------------------------------------------------ */

static bool is_free(struct tmem_state *state, int64_t number)
{
	struct slot *slot = slot_of(state, number);

	return newer_sequence(&slot->session[0].sequence, &slot->session[1].sequence) == 0;
}

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
	while (slot < state->slots && !is_free(state, slot))
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

void tmem_state_remove(struct tmem_state *state, int64_t number)
{
	struct slot *slot = slot_of(state, number);

	pthread_mutex_lock(&state->lock);
	for (int i = 0; i < 2; i++)
		atomic_store(&slot->progress[i].sequence, 0);
	for (int i = 0; i < 2; i++)
		atomic_store(&slot->session[i].sequence, 0);
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
	newest = token_of(state, state->newest);
	if (atomic_load(&newest->time_ns) == 0 || now_ns - atomic_load(&newest->time_ns) > age_ns) {
		newest = token_of(state, ++state->newest);
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
		const struct token *token = token_of(state, state->newest - i);

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
			state->newest = i;
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
