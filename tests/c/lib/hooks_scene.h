/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tests of the hooks (c/hooks) begin with: a table, and backends that keep numbers. */
#ifndef TMEM_TEST_HOOKS_SCENE_H
#define TMEM_TEST_HOOKS_SCENE_H

#include <stddef.h>

#include "check.h"
#include "hooks_table.h"
#include "keeper.h"
#include "user/hooks_user.h"

enum { PAGES = 8, BIG = 4096 };

extern const struct tmem_oid oid;
extern const uint8_t uuids[2][16];

extern struct tmem_hooks *hooks;
extern struct keeper *keeper, *other; /* not attached at first */

/* Before and after each test. */
void set_up(void);
void tear_down(void);
/* The same with the keeper attached and swap area 0. */
void set_up_attached(void);
void tear_down_attached(void);
/* The same for a test in which the keepers may be called otherwise than was promised. */
void tear_down_unchecked(void);

int mount_fs(const uint8_t *uuid);
void put(int id, uint64_t value);
/* 0: a miss. */
uint64_t get(int id);
/* A page that holds its offset. */
int store(uint32_t type, uint64_t offset);

struct tmem_hooks_counters counters(void);

#endif
