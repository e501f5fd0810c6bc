/* SPDX-License-Identifier: GPL-2.0 */
/* The setting of many cases: a server that can hold requests, and a worker that maps its file. */
#ifndef MAPPED_H
#define MAPPED_H

#include <sys/mman.h>
#include "hold.h"
#include "worker.h"

/* The node of `file`. */
#define NODE 2
#define RW (PROT_READ | PROT_WRITE)

extern struct rawfs *fs;
extern struct worker w;

/* What the file has there before a case writes to it. */
char old(size_t at);
/* What the server has there. */
char there(size_t at);
/*
 * Makes a server that is not started yet, with these flags (FUSE_*) in INIT. Each OPEN gets a
 * handle of its own: 100, 101 and so on.
 */
void prepare(uint64_t flags);
/* Starts it, with a file of so many bytes, and a worker that opens the file with these flags. */
void start(size_t size, int flags);
/* All of that, and the worker maps the whole file, writable. */
void start_mapped(size_t size);
/* Ends the worker and the server. */
void stop(void);
/* Another worker that has opened a file, made if it is not there. */
struct worker another(int flags, const char *name);
/* The worker stores a byte. */
void store(size_t at, char byte);
/* The same, and the page is with the server, which holds that WRITE and those to come. */
void store_and_hold(size_t at, char byte);
/* The name under which the kernel has the pages of the mount, as in /sys/class/bdi. */
const char *bdi(void);
/* The WRITEs there have been, by offset. */
extern struct fuse_write_in wrote[RECORD_MAX];
extern int nwrote;
void look_at_writes(void);
/* One of those was of this. */
void was(int which, uint64_t offset, uint32_t size);

#endif
