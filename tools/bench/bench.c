// SPDX-License-Identifier: GPL-2.0
/*
 * bench [-w WORKERS] [-r ROUNDS] [-x TIMES] [-o PATTERN] NAME=DIRECTORY...
 *
 * What operations cost, on each of the drivers whose mounts are in the directories. The drivers
 * take turns within each round, and the first changes from round to round, so that both find the
 * machine in the same state. Under QEMU's -icount the clock counts instructions. For each round
 * that counts it prints
 *
 *   operation<TAB>driver<TAB>workers<TAB>nanoseconds of one call<TAB>calls
 *
 * for one worker and for each number up to WORKERS. Calls of several workers run at the same time,
 * and the time is that of all divided by the number of all calls.
 */
#include <fcntl.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mark.h"
#include "operations.h"

#define MAX_WORKERS 8

/* Between the parent and its workers. */
struct shared {
	pthread_barrier_t ready;
	uint64_t begin[MAX_WORKERS], end[MAX_WORKERS];
};

static struct shared *shared;
static int max_workers = 1, rounds = 5, times = 1;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* What was sent without waiting for an answer, such as RELEASE, is over by then. */
static void settle(void)
{
	usleep(50000);
}

static int calls(const struct operation *op)
{
	int n = op->count * times;

	return op->most && n > op->most ? op->most : n;
}

static void work(const struct operation *op, const char *place, int id)
{
	int n = calls(op);
	struct worker w = { .id = id };
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", place, op->mount);
	w.dir = open(path, O_PATH | O_DIRECTORY);
	w.buf = malloc(MIB);
	check(w.dir >= 0 && w.buf, path);
	/* Written once here, so that it is in memory. */
	memset(w.buf, 7, MIB);
	if (op->prepare)
		op->prepare(&w, n);
	settle();
	pthread_barrier_wait(&shared->ready);
	shared->begin[id] = now();
	mark(BEGIN_MARK);
	op->run(&w, n);
	mark(END_MARK);
	shared->end[id] = now();
	pthread_barrier_wait(&shared->ready);
	if (op->finish)
		op->finish(&w, n);
	exit(0);
}

static void prepare_barrier(int workers)
{
	pthread_barrierattr_t attr;

	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&shared->ready, &attr, workers);
}

static double measure(const struct operation *op, const char *place, int workers)
{
	uint64_t begin = UINT64_MAX, end = 0;

	prepare_barrier(workers);
	for (int i = 0; i < workers; i++)
		if (!fork())
			work(op, place, i);
	for (int i = 0; i < workers; i++) {
		int status;

		wait(&status);
		if (status) {
			fprintf(stderr, "bench: %s failed in %s\n", op->name, place);
			exit(1);
		}
	}
	for (int i = 0; i < workers; i++) {
		if (shared->begin[i] < begin)
			begin = shared->begin[i];
		if (shared->end[i] > end)
			end = shared->end[i];
	}
	settle();
	return (double)(end - begin) / (calls(op) * workers);
}

/* guest.sh does not make the mounts of what a driver cannot do. */
static bool can_do(const struct operation *op, const char *name, const char *place)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", place, op->mount);
	if (!access(path, F_OK))
		return true;
	fprintf(stderr, "bench: %s is left out: the driver %s cannot do it\n", op->name, name);
	return false;
}

static void measure_all(const struct operation *op, char **names, char **places, int drivers)
{
	/* The round before the first is for warming up. */
	for (int round = -1; round < rounds; round++)
		for (int i = 0; i < drivers * max_workers; i++) {
			int d = (i + round + 1) % drivers;
			int workers = 1 + i / drivers;
			double cost = measure(op, places[d], workers);

			if (round >= 0)
				printf("%s\t%s\t%d\t%.0f\t%d\n", op->name, names[d], workers, cost,
				       calls(op) * workers);
			fflush(stdout);
		}
}

int main(int argc, char **argv)
{
	const char *only = NULL;
	char **places;
	int c, drivers;

	while ((c = getopt(argc, argv, "w:r:x:o:")) != -1) {
		if (c == 'w')
			max_workers = atoi(optarg);
		else if (c == 'r')
			rounds = atoi(optarg);
		else if (c == 'x')
			times = atoi(optarg);
		else if (c == 'o')
			only = optarg;
		else
			return 2;
	}
	drivers = argc - optind;
	if (max_workers < 1 || max_workers > MAX_WORKERS || times < 1 || drivers < 1)
		return 2;
	places = calloc(drivers, sizeof(*places));
	argv += optind;
	for (int i = 0; i < drivers; i++) {
		places[i] = strchr(argv[i], '=');
		if (!places[i])
			return 2;
		*places[i]++ = '\0';
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	check(shared != MAP_FAILED, "mmap");
	for (const struct operation *op = operations; op->name; op++) {
		bool all = !only || !fnmatch(only, op->name, 0);

		for (int i = 0; all && i < drivers; i++)
			all = can_do(op, argv[i], places[i]);
		if (all)
			measure_all(op, argv, places, drivers);
	}
	return 0;
}
