// SPDX-License-Identifier: GPL-2.0
/*
 * bench DIRECTORY: what file operations cost there. Under QEMU's -icount the clock counts
 * instructions, so the numbers are instructions for the whole round trip, server included.
 * Each row is the median of rounds; output is "name<TAB>cost of one operation".
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 5
#define MIB (1 << 20)

static char path[4096], path2[4096], buf[MIB];
static const char *dir;

static void check(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static char *at(char *p, const char *name, int i)
{
	snprintf(p, sizeof(path), "%s/%s%d", dir, name, i);
	return p;
}

static void drop_caches(int n)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	check(fd >= 0 && write(fd, "3", 1) == 1, "drop_caches");
	close(fd);
}

static void do_fstat(int n)
{
	struct stat st;
	int fd = open(at(path, "big", 0), O_RDONLY);

	for (int i = 0; i < n; i++)
		check(!fstat(fd, &st), "fstat");
	close(fd);
}

static void do_lookup_miss(int n)
{
	struct stat st;

	for (int i = 0; i < n; i++)
		check(stat(at(path, "none", i), &st), "stat");
}

static void do_create(int n)
{
	for (int i = 0; i < n; i++) {
		int fd = open(at(path, "new", i), O_CREAT | O_WRONLY, 0644);

		check(write(fd, buf, 4096) == 4096, "write");
		close(fd);
	}
}

static void do_unlink(int n)
{
	for (int i = 0; i < n; i++)
		check(!unlink(at(path, "new", i)), "unlink");
}

static void do_rename(int n)
{
	for (int i = 0; i < n; i++)
		check(!rename(at(path, i % 2 ? "r" : "q", 0), at(path2, i % 2 ? "q" : "r", 0)),
		      "rename");
}

static void do_write_1m(int n)
{
	int fd = open(at(path, "out", 0), O_CREAT | O_WRONLY, 0644);

	for (int i = 0; i < n; i++)
		check(pwrite(fd, buf, MIB, (off_t)i * MIB) == MIB, "pwrite");
	close(fd);
}

static void do_read_1m(int n)
{
	int fd = open(at(path, "big", 0), O_RDONLY);

	for (int i = 0; i < n; i++)
		check(pread(fd, buf, MIB, (off_t)i * MIB) == MIB, "pread");
	close(fd);
}

static void do_read_warm(int n)
{
	int fd = open(at(path, "big", 0), O_RDONLY);

	for (int i = 0; i < n; i++)
		check(pread(fd, buf, 4096, (i % 256) * 4096) == 4096, "pread");
	close(fd);
}

static void do_readdir(int n)
{
	for (int i = 0; i < n; i++) {
		DIR *d = opendir(dir);

		while (readdir(d))
			;
		closedir(d);
	}
}

struct row {
	const char *name;
	void (*run)(int n);
	int n;
	/* Not part of the cost. */
	void (*before)(int n);
	void (*after)(int n);
};

static const struct row rows[] = {
	{ "fstat", do_fstat, 200 },
	{ "lookup miss", do_lookup_miss, 200 },
	{ "create+write 4 KiB+close", do_create, 50, NULL, do_unlink },
	{ "rename", do_rename, 50 },
	{ "readdir", do_readdir, 20 },
	{ "write 1 MiB", do_write_1m, 8 },
	{ "read 1 MiB cold", do_read_1m, 8, drop_caches },
	{ "read 4 KiB warm", do_read_warm, 1000 },
};

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

int main(int argc, char **argv)
{
	int fd;

	if (argc != 2)
		return 2;
	dir = argv[1];
	memset(buf, 7, sizeof(buf));
	fd = open(at(path, "big", 0), O_CREAT | O_WRONLY, 0644);
	check(fd >= 0, "open");
	for (int i = 0; i < 8; i++)
		check(write(fd, buf, MIB) == MIB, "write");
	close(fd);
	close(open(at(path, "q", 0), O_CREAT | O_WRONLY, 0644));
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		uint64_t cost[ROUNDS];

		for (int i = -1; i < ROUNDS; i++) {
			uint64_t start;

			if (rows[r].before)
				rows[r].before(rows[r].n);
			start = now();
			rows[r].run(rows[r].n);
			/* The first round is for warming up. */
			if (i >= 0)
				cost[i] = (now() - start) / rows[r].n;
			if (rows[r].after)
				rows[r].after(rows[r].n);
		}
		qsort(cost, ROUNDS, sizeof(cost[0]), compare);
		printf("%s\t%llu\n", rows[r].name, (unsigned long long)cost[ROUNDS / 2]);
		fflush(stdout);
	}
	return 0;
}
