// SPDX-License-Identifier: GPL-2.0
/*
 * inflight NAME MOUNT: what it costs to use a page while many others are with the server.
 *
 * MOUNT is that of a holder (tools/containment). For 1, 1000 and 100 000 pages, of which none is the
 * neighbour of another, it starts to write them back, waits until the server holds all that it may be
 * sent, and prints what a store to a page between them costs that is mapped and clean, and a read of
 * a page that is not cached, in the format of bench.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096l
#define MOST 100000
#define CALLS 200
/* The most a server can be sent (max_background); the others are queued. */
#define LIMIT 65535
/* Pages that are stored to lie between those in flight, and pages that are read behind all. */
#define SIZE ((2 * MOST + 64 * CALLS) * PAGE)

static const char *name, *mount;
static char *map;
static int data;

static void check(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int open_file(const char *file, int flags)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", mount, file);
	fd = open(path, flags);
	check(fd >= 0, path);
	return fd;
}

static void tell(const char *what)
{
	int fd = open_file("control", O_WRONLY);

	check(write(fd, what, strlen(what)) == (ssize_t)strlen(what), "control");
	close(fd);
}

static int held(void)
{
	int fd = open_file("control", O_RDONLY);
	char text[64] = "";

	check(read(fd, text, sizeof(text) - 1) > 0, "control");
	close(fd);
	return atoi(text);
}

static void put_in_flight(int count)
{
	int before = -1, is;

	for (int i = 0; i < count; i++)
		map[2 * i * PAGE]++;
	tell("hold");
	/* It does not return before the release. */
	if (!fork())
		_exit(fsync(data));
	while ((is = held()) < (count < LIMIT ? count : LIMIT)) {
		if (is == before) {
			fprintf(stderr, "inflight: the driver %s sends %d of %d WRITEs\n", name, is,
				count);
			exit(1);
		}
		before = is;
		sleep(2);
	}
}

static void report(const char *what, int count, uint64_t begin)
{
	printf("%s, %d in flight\t%s\t1\t%lu\n", what, count, name, (now() - begin) / CALLS);
	fflush(stdout);
}

static void measure_stores(int count)
{
	uint64_t begin;
	char sum = 0;

	for (int i = 0; i < CALLS; i++)
		sum += *(volatile char *)&map[(2 * (i * (MOST / CALLS)) + 1) * PAGE];
	begin = now();
	for (int i = 0; i < CALLS; i++)
		map[(2 * (i * (MOST / CALLS)) + 1) * PAGE] = sum;
	report("store", count, begin);
}

static void measure_reads(int count)
{
	uint64_t begin;
	char byte;

	check(!posix_fadvise(data, 0, 0, POSIX_FADV_RANDOM), "fadvise");
	check(!posix_fadvise(data, 2 * MOST * PAGE, 0, POSIX_FADV_DONTNEED), "fadvise");
	begin = now();
	for (int i = 0; i < CALLS; i++)
		check(pread(data, &byte, 1, (2 * MOST + 64 * i) * PAGE) == 1, "pread");
	report("read 4 KiB cold", count, begin);
	check(!posix_fadvise(data, 0, 0, POSIX_FADV_NORMAL), "fadvise");
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	name = argv[1];
	mount = argv[2];
	data = open_file("data", O_RDWR);
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, data, 0);
	if (map == MAP_FAILED) {
		fprintf(stderr, "inflight: the driver %s has no writable shared mappings\n", name);
		return 0;
	}
	for (int count = 1; count <= MOST; count *= count == 1 ? 1000 : 100) {
		put_in_flight(count);
		measure_stores(count);
		measure_reads(count);
		tell("release");
		check(wait(NULL) > 0, "wait");
		check(!fsync(data), "fsync");
	}
	return 0;
}
