/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host of the simulation: sessions, leases, requests. */
#ifndef TMEM_TEST_SIM_HOST_H
#define TMEM_TEST_SIM_HOST_H

#include "sim.h"

/* Takes one message of the client and writes its answers to the client's out. */
void sim_host_take(struct sim *sim, int client, const struct tmem_message *message,
		   const void *payload);

#endif
