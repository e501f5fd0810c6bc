// SPDX-License-Identifier: GPL-2.0
/* Operations on pages that are dirty for a while: write-back, and stores to shared mappings. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "operations.h"

#define PAGE 4096
#define PAGES_OF_MIB (MIB / PAGE)

void prepare_mapped(struct worker *w, int n)
{
	prepare_cached(w, n);
	w->map = mmap(NULL, BIG_MIB * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
	check(w->map != MAP_FAILED, "mmap");
}

void run_write_1m_fsync(struct worker *w, int n)
{
	for (int i = 0; i < n; i++) {
		check(pwrite(w->fd, w->buf, MIB, (off_t)(i % BIG_MIB) * MIB) == MIB, "pwrite");
		check(!fsync(w->fd), "fsync");
	}
}

/* No page is the neighbour of another, so that each is a WRITE of its own. */
void run_write_scattered_fsync(struct worker *w, int n)
{
	for (int i = 0; i < n * 64; i++) {
		off_t page = i * 1021 % (BIG_MIB * PAGES_OF_MIB);

		check(pwrite(w->fd, w->buf, PAGE, page * PAGE) == PAGE, "pwrite");
		if (i % 64 == 63)
			check(!fsync(w->fd), "fsync");
	}
}

void run_store_msync(struct worker *w, int n)
{
	for (int i = 0; i < n; i++) {
		char *part = w->map + (size_t)(i % BIG_MIB) * MIB;

		for (int page = 0; page < PAGES_OF_MIB; page++)
			part[page * PAGE]++;
		check(!msync(part, MIB, MS_SYNC), "msync");
	}
}
