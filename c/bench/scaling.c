/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a second processor brings: one thread alone and two at once, copying and putting. Two
 * threads have two clients; each works on its half of the set. Time for two is from the first start
 * to the last end.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "baseline.h"
#include "store.h"

enum { THREADS = 2, SLICES = 16, CONTESTS = 4 };

struct worker {
	pthread_t thread;
	unsigned int number;
	struct bench_baseline copy_alone;
	struct bench_baseline copy_both;
	struct bench_store put_alone; /* one engine for all, a client for each, two pools */
	struct bench_store put_both;
	struct bench_time start;
	struct bench_time end;
};

/* What the workers do next; written while they wait. */
static struct {
	pthread_barrier_t begin;
	pthread_barrier_t end;
	_Atomic unsigned int ready;
	unsigned int threads; /* the first so many work, beginning with .first */
	unsigned int first_worker;
	unsigned int contest;
	uint32_t first;
	uint32_t last;
	bool stop;
} job;

static void work(struct worker *worker)
{
	switch (job.contest) {
	case 0:
		bench_copy_to_area(&worker->copy_alone, job.first, job.last);
		break;
	case 1:
		bench_store_put_slice(&worker->put_alone, job.first, job.last);
		break;
	case 2:
		bench_copy_to_area(&worker->copy_both, job.first, job.last);
		break;
	default:
		bench_store_put_slice(&worker->put_both, job.first, job.last);
	}
}

static bool takes_part(const struct worker *worker)
{
	return job.threads == THREADS || worker->number == job.first_worker;
}

static void *run(void *context)
{
	struct worker *worker = context;

	if (!bench_pin(worker->number))
		bench_fail("this figure needs two processors");
	for (;;) {
		pthread_barrier_wait(&job.begin);
		if (job.stop)
			return NULL;
		if (takes_part(worker)) {
			/* The barrier wakes them one after the other; they start together. */
			atomic_fetch_add(&job.ready, 1);
			while (atomic_load(&job.ready) < job.threads)
				;
			worker->start = bench_now();
			work(worker);
			worker->end = bench_now();
		}
		pthread_barrier_wait(&job.end);
	}
}

/* From the first start to the last end. */
static uint64_t wall_ns(const struct worker *workers)
{
	uint64_t start = UINT64_MAX;
	uint64_t end = 0;

	for (unsigned int i = 0; i < THREADS; i++) {
		if (!takes_part(&workers[i]))
			continue;
		if (workers[i].start.wall_ns < start)
			start = workers[i].start.wall_ns;
		if (workers[i].end.wall_ns > end)
			end = workers[i].end.wall_ns;
	}
	return end - start;
}

/* The same without the time for which a worker was kept off its processor. */
static uint64_t own_ns(const struct worker *workers)
{
	uint64_t most = 0;

	for (unsigned int i = 0; i < THREADS; i++) {
		uint64_t own = workers[i].end.wall_ns - workers[i].start.wall_ns -
			       (workers[i].end.waited_ns - workers[i].start.waited_ns);

		if (takes_part(&workers[i]) && own > most)
			most = own;
	}
	return most;
}

static void run_job(struct worker *workers, struct bench_time *total)
{
	uint64_t wall;

	atomic_store(&job.ready, 0);
	pthread_barrier_wait(&job.begin);
	pthread_barrier_wait(&job.end);
	wall = wall_ns(workers);
	total->wall_ns += wall;
	total->waited_ns += wall - own_ns(workers);
}

static void run_round(struct worker *workers, uint32_t half, uint32_t round)
{
	static const char *const series[CONTESTS] = {"copy_alone", "put_alone", "copy_both",
						     "put_both"};
	struct bench_time times[CONTESTS] = {0};

	for (uint32_t turn = 0; turn < SLICES; turn++) {
		for (job.contest = 0; job.contest < CONTESTS; job.contest++) {
			uint32_t slice = (turn + job.contest * SLICES / CONTESTS) % SLICES;

			job.threads = job.contest < 2 ? 1 : THREADS;
			/* who is alone takes turns: processors need not be equal */
			job.first_worker = turn % THREADS;
			bench_slice(half, slice, SLICES, &job.first, &job.last);
			run_job(workers, &times[job.contest]);
		}
	}
	for (unsigned int i = 0; round > 0 && i < CONTESTS; i++)
		bench_sample(series[i], round, &times[i], i < 2 ? half : half * THREADS);
}

static void worker_init(struct worker *worker, unsigned int number, struct tmem_engine *engine,
			const struct bench_data *data, uint32_t half)
{
	static const char *const names[THREADS] = {"bench-0", "bench-1"};
	struct bench_store store = {
		.data = data, .engine = engine, .order = data->plain + number * half};
	uint32_t granted;

	worker->number = number;
	bench_baseline_init(&worker->copy_alone, data, store.order);
	bench_baseline_area(&worker->copy_alone, half);
	bench_baseline_init(&worker->copy_both, data, store.order);
	bench_baseline_area(&worker->copy_both, half);
	bench_client_new(engine, names[number], TMEM_ENCODING_RAW, &store.client, &store.pool);
	worker->put_alone = store;
	if (tmem_pool_new(store.client, NULL, TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT,
			  &store.pool, &granted) != 0)
		bench_fail("cannot make a pool");
	worker->put_both = store;
}

static void empty(struct worker *workers)
{
	for (unsigned int i = 0; i < THREADS; i++) {
		tmem_pool_flush(workers[i].put_alone.client, workers[i].put_alone.pool);
		tmem_pool_flush(workers[i].put_both.client, workers[i].put_both.pool);
	}
	bench_store_expect(&workers[0].put_both, 0);
}

static void start(struct worker *workers)
{
	pthread_barrier_init(&job.begin, NULL, THREADS + 1);
	pthread_barrier_init(&job.end, NULL, THREADS + 1);
	for (unsigned int i = 0; i < THREADS; i++)
		if (pthread_create(&workers[i].thread, NULL, run, &workers[i]) != 0)
			bench_fail("cannot start a thread");
}

static void stop(struct worker *workers)
{
	job.stop = true;
	pthread_barrier_wait(&job.begin);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
}

void bench_scaling(const struct bench_data *data)
{
	/* a quarter of the set for each thread keeps four areas and the arena within bounds */
	uint32_t half = data->plain_count / 4;
	struct worker *workers = bench_alloc(THREADS * sizeof(*workers));
	struct bench_store store;

	bench_store_open(&store, data, bench_room_bytes(half * 4ull), TMEM_ENCODING_RAW,
			 data->plain);
	for (unsigned int i = 0; i < THREADS; i++)
		worker_init(&workers[i], i, store.engine, data, half);
	start(workers);
	for (uint32_t round = 0; round <= data->rounds; round++) {
		run_round(workers, half, round);
		bench_store_expect(&workers[0].put_both, half * 3ull);
		empty(workers);
	}
	stop(workers);
	for (unsigned int i = 0; i < THREADS; i++) {
		bench_baseline_free(&workers[i].copy_alone);
		bench_baseline_free(&workers[i].copy_both);
		tmem_client_release(workers[i].put_both.client);
	}
	bench_store_close(&store);
	free(workers);
}
