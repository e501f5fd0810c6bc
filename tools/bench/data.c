// SPDX-License-Identifier: GPL-2.0
/* Operations on the data of a file of BIG_MIB. */
#include <fcntl.h>
#include <linux/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "operations.h"

#define BIG_PAGES (BIG_MIB * 256)

void prepare_open(struct worker *w, int n)
{
	open_big(w, O_RDWR);
}

/*
 * Opening drops what is cached, as long as the server does not say KEEP_CACHE. The kernel is asked
 * whether it did.
 */
void prepare_cold(struct worker *w, int n)
{
	struct cachestat_range all = { 0, 0 };
	struct cachestat stat;

	open_big(w, O_RDWR);
	check(!syscall(SYS_cachestat, w->fd, &all, &stat, 0), "cachestat");
	check(stat.nr_cache == 0, "the file is still cached");
}

void prepare_cached(struct worker *w, int n)
{
	open_big(w, O_RDWR);
	run_read_1m(w, BIG_MIB);
}

void run_write_1m(struct worker *w, int n)
{
	for (int i = 0; i < n; i++)
		check(pwrite(w->fd, w->buf, MIB, (off_t)(i % BIG_MIB) * MIB) == MIB, "pwrite");
}

void run_read_1m(struct worker *w, int n)
{
	for (int i = 0; i < n; i++)
		check(pread(w->fd, w->buf, MIB, (off_t)(i % BIG_MIB) * MIB) == MIB, "pread");
}

void run_write_4k(struct worker *w, int n)
{
	for (int i = 0; i < n; i++)
		check(pwrite(w->fd, w->buf, 4096, (off_t)(i % BIG_PAGES) * 4096) == 4096, "pwrite");
}

void run_read_4k(struct worker *w, int n)
{
	for (int i = 0; i < n; i++)
		check(pread(w->fd, w->buf, 4096, (off_t)(i % BIG_PAGES) * 4096) == 4096, "pread");
}

/* Pages that are not neighbours, and never the first one: nothing that looks like a stream. */
void run_read_scattered(struct worker *w, int n)
{
	for (int i = 0; i < n; i++) {
		off_t page = (1 + i * 1021) % BIG_PAGES;

		check(pread(w->fd, w->buf, 4096, page * 4096) == 4096, "pread");
	}
}
