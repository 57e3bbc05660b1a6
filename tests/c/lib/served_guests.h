/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests of the real server and engine: shims in user space, over sockets. */
#ifndef TMEM_TEST_SERVED_GUESTS_H
#define TMEM_TEST_SERVED_GUESTS_H

#include <stddef.h>
#include <stdint.h>

#include "server.h"
#include "user/transport.h"

enum { GUESTS = 2, PATIENCE_MS = 60000 };

extern struct tmem_engine *engine;
extern struct tmem_transport *transports[GUESTS];
extern struct tmem_shim *shims[GUESTS];

/* A server that stops and starts again has the same arena. */
void start_server(void);
void stop_server(void);
/* @test names their boot, so that no session of another test goes on. */
void start_guests(const char *test);
void stop_guests(void);

/* A new pool of a guest, once the host has made it. */
uint32_t pool_of(int guest, uint32_t flags, const uint8_t *uuid);
struct tmem_oid oid_of(uint64_t object);

uint64_t guest_counter(int guest, size_t offset);
#define COUNTER(guest, name) guest_counter(guest, offsetof(struct tmem_shim_counters, name))

#endif
