/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state file: what it holds over kills, and which files are refused. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "hash.h"
#include "random.h"
#include "scratch.h"
#include "state.h"

/* of the file */
enum { MAGIC_AT = 0, HOST_BOOT_ID_AT = 32, CHECK_AT = 48, SLOT_AT = 4096 + 16 * TMEM_TOKENS };

enum { LEASE_NS = 1000 };

static const uint8_t identity[TMEM_IDENTITY_BYTES] = {1, 2, 3};
static const uint8_t another[TMEM_IDENTITY_BYTES] = {3, 2, 1};

static struct tmem_state *open_state(const char *path)
{
	struct tmem_state *state;
	struct tmem_error error;

	if (tmem_state_open(path, identity, &state, &error) != 0)
		check_failed(__FILE__, __LINE__, "%s", error.message);
	return state;
}

static int refused(const char *path, const uint8_t *name)
{
	struct tmem_error error = {.code = 0};
	struct tmem_state *state;
	int code = tmem_state_open(path, name, &state, &error);

	CHECK(code < 0);
	CHECK_EQ(error.code, code);
	CHECK(strstr(error.message, path) != NULL);
	return code;
}

static struct tmem_state_session session_of(const char *client, uint32_t number)
{
	struct tmem_state_session session = {
		.epoch = number,
		.session = number,
		.flags = TMEM_STATE_RESUMABLE,
	};

	snprintf(session.client, sizeof(session.client), "%s", client);
	return session;
}

static struct tmem_state_progress progress_of(uint32_t tag)
{
	return (struct tmem_state_progress){
		.session = 1,
		.tag = tag,
		.chain = tag * 0x9e3779b97f4a7c15ull,
		.echo_ns = tag,
	};
}

static void overwrite(const char *path, off_t at, const void *data, size_t bytes)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK_EQ(pwrite(fd, data, bytes, at), bytes);
	close(fd);
}

static void it_keeps_what_it_is_told(void)
{
	char path[SCRATCH_PATH_BYTES], name[32];
	struct tmem_state_session session;
	struct tmem_state_progress progress;
	struct tmem_state *state;
	int64_t slots[200];
	int count = 0;

	scratch_path(path, "keeps");
	state = open_state(path);
	for (uint32_t i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "guest %u", i);
		session = session_of(name, 1 + i);
		slots[i] = tmem_state_add(state, &session);
		CHECK(slots[i] >= 0);
		progress = progress_of(i);
		tmem_state_set_progress(state, slots[i], &progress);
	}
	for (uint32_t i = 0; i < 200; i += 3)
		tmem_state_remove(state, slots[i]);
	tmem_state_close(state);
	state = open_state(path);
	for (int64_t slot = -1; (slot = tmem_state_next(state, slot, &session, &progress)) >= 0;) {
		CHECK_EQ(session.epoch, progress.tag + 1);
		CHECK(progress.tag % 3 != 0);
		snprintf(name, sizeof(name), "guest %u", progress.tag);
		CHECK_EQ(strcmp(session.client, name), 0);
		count++;
	}
	CHECK_EQ(count, 200 - 67);
	/* places of those that went are used again, and nothing of them is left */
	session = session_of("new", 7);
	CHECK_EQ(tmem_state_add(state, &session), slots[0]);
	CHECK_EQ(tmem_state_next(state, slots[0] - 1, &session, &progress), slots[0]);
	CHECK_EQ(progress.tag, 0);
	tmem_state_close(state);
}

/* A child writes as fast as it can and is killed; what is found is something it wrote, whole, and
 * not older than what it had finished. */
static void a_kill_leaves_the_old_or_the_new(void)
{
	enum { KILLS = 40 };
	char path[SCRATCH_PATH_BYTES];
	_Atomic uint32_t *finished =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct random random = {.state = 3};
	struct tmem_state_progress progress, expected;
	struct tmem_state_session session = session_of("guest", 1);
	struct tmem_state *state;
	uint32_t tag = 1;
	int64_t slot;

	CHECK(finished != MAP_FAILED);
	scratch_path(path, "killed");
	state = open_state(path);
	slot = tmem_state_add(state, &session);
	tmem_state_close(state);
	for (int kill_number = 0; kill_number < KILLS; kill_number++) {
		pid_t child = fork();

		CHECK(child >= 0);
		if (child == 0) {
			state = open_state(path);
			for (;; tag++) {
				progress = progress_of(tag);
				tmem_state_set_progress(state, slot, &progress);
				session.since_ns = tag;
				tmem_state_set_session(state, slot, &session);
				*finished = tag;
			}
		}
		while (*finished < tag + 100)
			;
		usleep(random_below(&random, 500));
		CHECK_EQ(kill(child, SIGKILL), 0);
		CHECK_EQ(waitpid(child, NULL, 0), child);
		state = open_state(path);
		CHECK_EQ(tmem_state_next(state, slot - 1, &session, &progress), slot);
		CHECK(progress.tag >= *finished && progress.tag <= *finished + 1);
		expected = progress_of(progress.tag);
		CHECK_EQ(memcmp(&progress, &expected, sizeof(progress)), 0);
		CHECK(session.since_ns >= *finished && session.since_ns <= progress.tag);
		CHECK_EQ(strcmp(session.client, "guest"), 0);
		tmem_state_close(state);
		tag = progress.tag + 1;
	}
}

static void a_damaged_copy_leaves_the_other(void)
{
	const uint64_t garbage = 0xdeadbeef;
	char path[SCRATCH_PATH_BYTES];
	struct tmem_state_session session = session_of("guest", 1);
	struct tmem_state_progress progress;
	struct tmem_state *state;

	scratch_path(path, "copies");
	state = open_state(path);
	CHECK_EQ(tmem_state_add(state, &session), 0);
	for (uint32_t tag = 1; tag <= 4; tag++) {
		progress = progress_of(tag);
		tmem_state_set_progress(state, 0, &progress);
	}
	tmem_state_close(state);
	/* of the newer one (sequence 4 is in the first), the chain */
	overwrite(path, SLOT_AT + 16, &garbage, sizeof(garbage));
	state = open_state(path);
	CHECK_EQ(tmem_state_next(state, -1, &session, &progress), 0);
	CHECK_EQ(progress.tag, 3);
	tmem_state_close(state);
}

static void tokens_keep_their_age(void)
{
	char path[SCRATCH_PATH_BYTES];
	uint64_t tokens[2 * TMEM_TOKENS];
	struct tmem_state *state;

	scratch_path(path, "tokens");
	state = open_state(path);
	CHECK_EQ(tmem_state_token_ns(state, 0), 0);
	tokens[0] = tmem_state_token(state, LEASE_NS, LEASE_NS);
	/* one for as long as it is young enough */
	CHECK_EQ(tmem_state_token(state, 2 * LEASE_NS, LEASE_NS), tokens[0]);
	for (uint64_t i = 1; i < 2 * TMEM_TOKENS; i++) {
		tokens[i] = tmem_state_token(state, (1 + 2 * i) * LEASE_NS, LEASE_NS);
		CHECK(tokens[i] != 0 && tokens[i] != tokens[i - 1]);
		if (i % 700 == 0) {
			tmem_state_close(state);
			state = open_state(path);
		}
	}
	for (uint64_t i = 0; i < 2 * TMEM_TOKENS; i++)
		CHECK_EQ(tmem_state_token_ns(state, tokens[i]),
			 i < TMEM_TOKENS ? 0 : (1 + 2 * i) * LEASE_NS);
	CHECK_EQ(tmem_state_token_ns(state, 12345), 0);
	tmem_state_close(state);
}

static void what_is_not_ours_is_refused(void)
{
	const uint64_t wrong = 5;
	char path[SCRATCH_PATH_BYTES];
	struct tmem_state *state;

	scratch_path(path, "refused");
	state = open_state(path);
	CHECK_EQ(refused(path, identity), -EBUSY);
	tmem_state_close(state);
	CHECK_EQ(refused(path, another), -EXDEV);
	overwrite(path, MAGIC_AT, &wrong, sizeof(wrong));
	CHECK_EQ(refused(path, identity), -EINVAL);
	scratch_path(path, "no/such/folder");
	CHECK_EQ(refused(path, identity), -ENOENT);
}

static void a_file_of_a_few_bytes_is_begun_anew(void)
{
	char path[SCRATCH_PATH_BYTES];
	struct tmem_state_progress progress;
	struct tmem_state_session session;
	struct tmem_state *state;

	scratch_path(path, "short");
	close(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	state = open_state(path);
	CHECK_EQ(tmem_state_next(state, -1, &session, &progress), -ENOENT);
	tmem_state_close(state);
}

/* As if the host had been booted since: the header names another boot, and its check is right. */
static void forge_boot_id(const char *path)
{
	uint8_t header[CHECK_AT];
	uint64_t check;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	CHECK_EQ(pread(fd, header, sizeof(header), 0), sizeof(header));
	close(fd);
	header[HOST_BOOT_ID_AT] ^= 1;
	check = XXH3_64bits(header, sizeof(header));
	overwrite(path, 0, header, sizeof(header));
	overwrite(path, CHECK_AT, &check, sizeof(check));
}

/* The guests of another boot of the host are gone, and so are their sessions. */
static void another_boot_of_the_host(void)
{
	char path[SCRATCH_PATH_BYTES];
	struct tmem_state_session session = session_of("guest", 5);
	struct tmem_state_progress progress;
	struct tmem_state *state;
	uint64_t token;

	scratch_path(path, "boot");
	state = open_state(path);
	CHECK_EQ(tmem_state_add(state, &session), 0);
	token = tmem_state_token(state, LEASE_NS, LEASE_NS);
	tmem_state_close(state);
	forge_boot_id(path);
	state = open_state(path);
	CHECK_EQ(tmem_state_next(state, -1, &session, &progress), 0);
	CHECK_EQ(session.flags & TMEM_STATE_RESUMABLE, 0);
	CHECK_EQ(session.epoch, 5);
	CHECK_EQ(tmem_state_token_ns(state, token), 0);
	tmem_state_close(state);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"it_keeps_what_it_is_told", it_keeps_what_it_is_told},
		{"a_kill_leaves_the_old_or_the_new", a_kill_leaves_the_old_or_the_new},
		{"a_damaged_copy_leaves_the_other", a_damaged_copy_leaves_the_other},
		{"tokens_keep_their_age", tokens_keep_their_age},
		{"what_is_not_ours_is_refused", what_is_not_ours_is_refused},
		{"a_file_of_a_few_bytes_is_begun_anew", a_file_of_a_few_bytes_is_begun_anew},
		{"another_boot_of_the_host", another_boot_of_the_host},
	};

	return RUN_TESTS(tests, argc, argv);
}
