/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A directory for the arenas of one test program, on tmpfs (TMEM_TEST_DIR, else /dev/shm). It goes
 * when the program ends, also by a failed check; the children of the program leave it alone.
 */
#ifndef TMEM_TEST_SCRATCH_H
#define TMEM_TEST_SCRATCH_H

enum { SCRATCH_PATH_BYTES = 128 };

/* Puts the path of the file @name in @path; nothing is created but the directory. */
void scratch_path(char *path, const char *name);

/* Puts the path of a new, empty file in memory in @path; it goes with the process. For fuzzers,
 * which die without cleaning up. */
void scratch_memory(char *path);

#endif
