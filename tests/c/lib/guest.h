/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest of the C tests: a shim, and a thread that moves its bytes over a socket to a server in
 * the same process. The connection can be cut and comes back by itself.
 */
#ifndef TMEM_TEST_GUEST_H
#define TMEM_TEST_GUEST_H

#include <pthread.h>

#include "server.h"
#include "shim.h"

struct guest {
	struct tmem_shim *shim;
	void *memory;
	struct tmem_server *server; /* NULL: nobody is there */
	char name[64];
	pthread_t pump;
	pthread_mutex_t lock; /* of server, fd, flags */
	int wake[2];
	int fd;
	uint32_t cut, stop, woken;
	uint32_t events[16]; /* by enum tmem_shim_event */
};

/* Starts the guest; its client is @name. @config may be NULL. */
void guest_start(struct guest *guest, struct tmem_server *server, const char *name, uint8_t boot,
		 const struct tmem_shim_config *config);

/* Another server (NULL: none) is to be connected to from now on. */
void guest_use(struct guest *guest, struct tmem_server *server);

/* Cuts the connection. */
void guest_cut(struct guest *guest);

/* Ends the pump, in order if @orderly, and frees everything. */
void guest_stop(struct guest *guest, int orderly);

#endif
