/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host of the simulation: sessions, leases, requests. */
#ifndef TMEM_TEST_SIM_HOST_H
#define TMEM_TEST_SIM_HOST_H

#include "sim.h"

/* Takes one message of the client and writes its answers to the client's out. */
void sim_host_take(struct sim *sim, int client, const struct tmem_message *message,
		   const void *payload);

bool sim_host_rule(const struct sim *sim, enum sim_rule rule);
uint64_t sim_host_age_ns(const struct sim *sim, uint64_t since_ns);
void sim_host_answer(struct sim_client *client, struct tmem_message *message, uint64_t key,
		     const void *payload);
bool sim_host_lapsed(const struct sim *sim, const struct sim_client *client);
bool sim_host_served(const struct sim *sim);
bool sim_host_is_shared(struct sim_client *client, uint32_t pool);
void sim_host_drop_pools(struct sim *sim, struct sim_client *client, bool persistent);
void sim_host_end_session(struct sim *sim, struct sim_client *client, bool sticky);
void sim_host_expel(struct sim *sim, struct sim_client *client, int reason);
void sim_host_say_bye(struct sim_client *client, int reason);
void sim_host_hello(struct sim *sim, struct sim_client *client, const struct tmem_message *message,
		    const void *payload);
void sim_host_start(struct sim *sim, struct sim_client *client, const struct tmem_message *message);

#endif
