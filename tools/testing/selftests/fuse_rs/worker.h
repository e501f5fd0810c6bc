/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Processes that use a file when they are told, one call after the other, so that a case can see
 * which of them wait, and kill those. A fault that waits may hold up all threads of its process:
 * with requests held, stores are a worker's.
 */
#ifndef WORKER_H
#define WORKER_H

#include "rawfs.h"

#define PAGE 4096

struct worker {
	pid_t pid;
	int to, from;
};

/* Returns what a call gave, or minus its errno. */
typedef long (*step)(long a, long b);

/* A process without the device. */
struct worker worker(struct rawfs *fs);
/* Has it do something. */
void begin(struct worker *w, step what, long a, long b);
/* Whether it is still at it in a while. */
bool waits(struct worker *w);
/* What it came to; the case fails if that takes longer than 5 s (ktap_ms). */
long result(struct worker *w);
/* Both: has it do something and waits for that. */
long tell(struct worker *w, step what, long a, long b);
/* Lets it exit, and waits for that. */
void dismiss(struct worker *w);
/* Kills it, and waits up to 5 s (ktap_ms) for its end. */
void kill_worker(struct worker *w);

/* Steps: each worker has one open file and one mapping of it. */
long file_open(long flags, long name);
long file_close(long a, long b);
/* So many pages from the start, shared. */
long file_map(long pages, long prot);
long file_unmap(long a, long b);
/* Leaves the mapping, without the pages. */
long file_unfault(long a, long b);
long file_store(long at, long byte);
/* The byte there. */
long file_load(long at, long b);
long file_msync(long flags, long b);
long file_fsync(long a, long b);
/* Starts write-back. */
long file_start(long a, long b);
long file_truncate(long size, long b);
/* Writes so many 'w'. */
long file_write(long at, long len);
/* The byte there, by read(2); 0 behind the end. */
long file_read(long at, long b);
/* What fstat tells. */
long file_size(long a, long b);
long file_mtime(long a, long b);
/* Asks for what is cached to be dropped. */
long file_uncache(long a, long b);

/* For steps of a case's own: the file and its mapping. */
extern int the_file;
extern volatile char *the_map;

#endif
