// SPDX-License-Identifier: GPL-2.0
/*
 * shared_mapping [-s SEED] [-t SECONDS] [-p PROCESSES] FILE [BELOW]
 *
 * In the manner of bash-shared-mapping: processes store to shared mappings of one growing file, write
 * to it, read it both ways, truncate it, and call msync and fsync. Each page belongs to one process
 * for a while, which alone changes it and knows what must be in it; all read all pages. A page is
 * filled with words of one value, which says the owner and how often the page was changed: a page that
 * is not uniform, or that says something else than its owner put there, is a failure. Now and then
 * all meet and one of them truncates the file, and all know what is gone.
 *
 * In the end every page is compared, through FILE and, if it is given, in the file BELOW that a
 * passthrough keeps. Prints the seed and the number of operations in a second; fails with a line that
 * says what differs.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define WORDS (PAGE / sizeof(uint64_t))
#define PAGES 1024
#define MAX_PROCESSES 16
/* Operations of each process from one truncation to the next. */
#define STRETCH 200

/* What all processes see. */
struct shared {
	pthread_barrier_t meet;
	/* What each page holds: 0 for nothing, or beyond the end. Changed by its owner only. */
	_Atomic uint64_t value[PAGES];
	/* Pages the file has; only grows from one truncation to the next. */
	atomic_int size;
	atomic_ulong operations;
	atomic_bool failed, over;
};

static struct shared *shared;
static const char *path;
static int processes = 4, seconds = 10;
static uint64_t seed;

struct process {
	int id, fd;
	uint64_t random, changes;
	char *map;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

__attribute__((noreturn)) static void fail(const char *what, int page, uint64_t is, uint64_t should)
{
	fprintf(stderr, "shared_mapping: seed %lu: %s: page %d has %lx, should have %lx (%s)\n", seed,
		what, page, is, should, strerror(errno));
	shared->failed = true;
	exit(1);
}

static void check(bool ok, const char *what)
{
	if (!ok)
		fail(what, -1, 0, 0);
}

/* xorshift64* */
static uint32_t pick(struct process *p, uint32_t below)
{
	p->random ^= p->random >> 12;
	p->random ^= p->random << 25;
	p->random ^= p->random >> 27;
	return (p->random * 0x2545f4914f6cdd1dull >> 32) % below;
}

static void fill(uint64_t *words, uint64_t value)
{
	for (size_t i = 0; i < WORDS; i++)
		words[i] = value;
}

/* Whether all words have the value; if not, one that has another. */
static bool uniform(const uint64_t *words, uint64_t value, uint64_t *other)
{
	for (size_t i = 0; i < WORDS; i++)
		if (words[i] != value) {
			*other = words[i];
			return false;
		}
	return true;
}

static void grow(int pages)
{
	int size = shared->size;

	while (size < pages && !atomic_compare_exchange_weak(&shared->size, &size, pages))
		;
}

static int own_page(struct process *p, int below)
{
	int count = (below - p->id + processes - 1) / processes;

	return count > 0 ? p->id + (int)pick(p, count) * processes : -1;
}

static uint64_t next_value(struct process *p)
{
	return (uint64_t)(p->id + 1) << 56 | ++p->changes;
}

static void store(struct process *p)
{
	int page = own_page(p, shared->size);

	if (page < 0)
		return;
	shared->value[page] = next_value(p);
	fill((uint64_t *)(p->map + (size_t)page * PAGE), shared->value[page]);
}

/* Often at the end, which makes the file grow. */
static void write_page(struct process *p)
{
	int size = shared->size, most = size + 2 * processes;
	int page = own_page(p, most < PAGES ? most : PAGES);
	uint64_t words[WORDS];

	shared->value[page] = next_value(p);
	fill(words, shared->value[page]);
	check(pwrite(p->fd, words, PAGE, (off_t)page * PAGE) == PAGE, "pwrite");
	grow(page + 1);
}

/* What the process has put there itself must be there, seen either way. */
static void verify(struct process *p, bool mapped)
{
	int page = own_page(p, shared->size);
	uint64_t words[WORDS], *at = words, other;

	if (page < 0)
		return;
	if (mapped)
		at = (uint64_t *)(p->map + (size_t)page * PAGE);
	else
		check(pread(p->fd, words, PAGE, (off_t)page * PAGE) == PAGE, "pread");
	if (!uniform(at, shared->value[page], &other))
		fail(mapped ? "mapping" : "pread", page, other, shared->value[page]);
}

/* Pages of others change meanwhile; but each of their words is one their owner has put there. */
static void look(struct process *p)
{
	int page = pick(p, shared->size);
	uint64_t words[WORDS];

	check(pread(p->fd, words, PAGE, (off_t)page * PAGE) == PAGE, "pread of another's page");
	for (size_t i = 0; i < WORDS; i++)
		if (words[i] && words[i] >> 56 != (uint64_t)(page % processes + 1))
			fail("another's page", page, words[i], shared->value[page]);
}

static void flush(struct process *p)
{
	int page = pick(p, shared->size);

	if (pick(p, 2))
		check(!fsync(p->fd), "fsync");
	else
		check(!msync(p->map + (size_t)page * PAGE, PAGE, MS_SYNC), "msync");
}

/* While all others wait. */
static void truncate_file(struct process *p)
{
	int pages = 1 + pick(p, shared->size);

	check(!ftruncate(p->fd, (off_t)pages * PAGE), "ftruncate");
	for (int page = pages; page < PAGES; page++)
		shared->value[page] = 0;
	shared->size = pages;
}

static void step(struct process *p)
{
	uint32_t kind = pick(p, 100);

	if (kind < 35)
		store(p);
	else if (kind < 55)
		write_page(p);
	else if (kind < 70)
		verify(p, true);
	else if (kind < 85)
		verify(p, false);
	else if (kind < 97)
		look(p);
	else
		flush(p);
}

static void run(int id)
{
	struct process p = { .id = id, .random = seed * 1000003 + id + 1 };
	double end = now() + seconds;

	p.fd = open(path, O_RDWR);
	check(p.fd >= 0, "open");
	p.map = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, p.fd, 0);
	check(p.map != MAP_FAILED, "mmap");
	for (int turn = 0; !shared->over; turn++) {
		for (int i = 0; i < STRETCH && !shared->failed; i++)
			step(&p);
		shared->operations += STRETCH;
		pthread_barrier_wait(&shared->meet);
		if (turn % processes == id) {
			truncate_file(&p);
			shared->over = shared->failed || now() > end;
		}
		pthread_barrier_wait(&shared->meet);
	}
	close(p.fd);
	munmap(p.map, PAGES * PAGE);
	exit(0);
}

static void compare(const char *what, const char *name)
{
	int fd = open(name, O_RDWR);
	uint64_t words[WORDS], other;

	check(fd >= 0, name);
	check(!fsync(fd), "fsync");
	check(lseek(fd, 0, SEEK_END) == (off_t)shared->size * PAGE, "the size of the file");
	for (int page = 0; page < shared->size; page++) {
		check(pread(fd, words, PAGE, (off_t)page * PAGE) == PAGE, what);
		if (!uniform(words, shared->value[page], &other))
			fail(what, page, other, shared->value[page]);
	}
	close(fd);
}

/* A driver that cannot map the file shared and writable is told from one that does it wrongly. */
static bool can_map(void)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	void *map;

	check(fd >= 0, path);
	check(!ftruncate(fd, PAGE), "ftruncate");
	map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return false;
	munmap(map, PAGE);
	return true;
}

/* When one has failed, the others may wait for it at the barrier. */
static bool await(pid_t *pids)
{
	bool good = true;

	for (int left = processes; left--; ) {
		int status;

		wait(&status);
		if (status && good) {
			good = false;
			for (int i = 0; i < processes; i++)
				kill(pids[i], SIGKILL);
		}
	}
	return good;
}

int main(int argc, char **argv)
{
	pthread_barrierattr_t attr;
	pid_t pids[MAX_PROCESSES];
	double start;
	int c;

	seed = time(NULL);
	while ((c = getopt(argc, argv, "s:t:p:")) != -1) {
		if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 't')
			seconds = atoi(optarg);
		else if (c == 'p')
			processes = atoi(optarg);
		else
			return 2;
	}
	if (optind >= argc || processes < 1 || processes > MAX_PROCESSES)
		return 2;
	path = argv[optind];
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	check(shared != MAP_FAILED, "memory");
	shared->size = 1;
	if (!can_map()) {
		printf("shared_mapping: a shared mapping of the file cannot be written to\n");
		return 4;
	}
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&shared->meet, &attr, processes);
	start = now();
	for (int i = 0; i < processes; i++) {
		pids[i] = fork();
		check(pids[i] >= 0, "fork");
		if (!pids[i])
			run(i);
	}
	if (!await(pids))
		return 1;
	printf("shared_mapping: seed %lu, %d processes, %lu operations, %.0f in a second\n", seed,
	       processes, shared->operations, shared->operations / (now() - start));
	compare("in the end", path);
	if (optind + 1 < argc)
		compare("below", argv[optind + 1]);
	return 0;
}
