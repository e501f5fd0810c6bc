/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OPERATIONS_H
#define OPERATIONS_H

#include <stdbool.h>
#include <stddef.h>

#define MIB (1 << 20)
/* Size of the files `big0` and up, of which each worker has one. */
#define BIG_MIB 32
/* Size of the file `huge`. */
#define HUGE_MIB 64

/* One process that runs an operation on one mount. */
struct worker {
	int dir;	/* the mount's root */
	int id;		/* from 0 */
	int fd;		/* a file prepare() has opened */
	char *buf;	/* 1 MiB, in memory */
	char *map;	/* the file of prepare_mapped(), all of it */
};

struct operation {
	const char *name;
	const char *mount;	/* directory of the mount it is measured on */
	int count;		/* calls of one round */
	int most;		/* of which there cannot be more; 0 if there can */
	/* What has to be before the calls, and is not part of their cost. */
	void (*prepare)(struct worker *w, int n);
	void (*run)(struct worker *w, int n);
	void (*finish)(struct worker *w, int n);
};

/* Ends with one without a name. */
extern const struct operation operations[];

void check(bool ok, const char *what);
/* A file name that differs by kind, worker and number; valid until the next call but one. */
const char *name_of(const struct worker *w, char kind, int i);
void open_big(struct worker *w, int flags);
void close_fd(struct worker *w, int n);

void run_fstat(struct worker *w, int n);
void run_lookup_miss(struct worker *w, int n);
void run_create(struct worker *w, int n);
void run_unlink(struct worker *w, int n);
void run_rename(struct worker *w, int n);
void run_symlink(struct worker *w, int n);
void run_getxattr(struct worker *w, int n);
void run_readdir(struct worker *w, int n);
void prepare_one_file(struct worker *w, int n);
void finish_one_file(struct worker *w, int n);
void prepare_xattr(struct worker *w, int n);
void prepare_drop_caches(struct worker *w, int n);

void run_write_1m(struct worker *w, int n);
void run_read_1m(struct worker *w, int n);
void run_write_4k(struct worker *w, int n);
void run_read_4k(struct worker *w, int n);
void run_read_scattered(struct worker *w, int n);
void prepare_open(struct worker *w, int n);
void prepare_cold(struct worker *w, int n);
void prepare_cached(struct worker *w, int n);

void prepare_mapped(struct worker *w, int n);
void run_write_1m_fsync(struct worker *w, int n);
void run_write_scattered_fsync(struct worker *w, int n);
void run_store_msync(struct worker *w, int n);

void prepare_open_new(struct worker *w, int n);
void prepare_huge(struct worker *w, int n);
void prepare_mapped_huge(struct worker *w, int n);
void prepare_copy(struct worker *w, int n);
void run_copy_1m(struct worker *w, int n);
void run_look_at_pages(struct worker *w, int n);
void run_read_all_over(struct worker *w, int n);

#endif
