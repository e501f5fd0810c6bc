// SPDX-License-Identifier: GPL-2.0
/* Operations on files that are seen through the DAX window of a device, which the program maps, too. */
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "operations.h"

#define PAGE 4096
#define HUGE_SIZE ((size_t)HUGE_MIB * MIB)

/* What a file that is opened afterwards shows was in no window before. */
void prepare_open_new(struct worker *w, int n)
{
	prepare_drop_caches(w, n);
	open_big(w, O_RDWR);
}

static void open_huge(struct worker *w)
{
	w->fd = openat(w->dir, "huge", O_RDWR);
	check(w->fd >= 0, "open");
}

void prepare_huge(struct worker *w, int n)
{
	prepare_drop_caches(w, n);
	open_huge(w);
}

void prepare_mapped_huge(struct worker *w, int n)
{
	prepare_huge(w, n);
	w->map = mmap(NULL, HUGE_SIZE, PROT_READ, MAP_SHARED, w->fd, 0);
	check(w->map != MAP_FAILED, "mmap");
}

static char from[MIB];

void prepare_copy(struct worker *w, int n)
{
	memset(from, 7, MIB);
}

/* For comparison: without any file, eight bytes at a time as in the kernel. */
void run_copy_1m(struct worker *w, int n)
{
	for (int i = 0; i < n; i++) {
		void *source = from, *target = w->buf;
		size_t count = MIB / sizeof(uint64_t);

		asm volatile("rep movsq" : "+S"(source), "+D"(target), "+c"(count) : : "memory");
	}
}

void run_look_at_pages(struct worker *w, int n)
{
	for (size_t at = 0; at < HUGE_SIZE; at += PAGE)
		(void)*(volatile char *)(w->map + at);
}

/* Most calls need a range that is not in the window. */
void run_read_all_over(struct worker *w, int n)
{
	uint32_t random = 1;

	for (int i = 0; i < n; i++) {
		off_t page;

		random = random * 1664525 + 1013904223;
		page = (random >> 8) % (HUGE_SIZE / PAGE);
		check(pread(w->fd, w->buf, PAGE, page * PAGE) == PAGE, "pread");
	}
}
