/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The setting of cases about DAX: a mount of a device of tools/dax-device.
 *
 * FUSE_DAX_TAG is its tag; its window has 8 ranges, it misbehaves when it is asked to, and lets files
 * use DAX whose names end in .dax. FUSE_DAX_SHARED is another way to the directory that it shares, and
 * FUSE_DAX_COUNTERS its file of counters. Without them the case is skipped.
 */
#ifndef DAXFS_H
#define DAXFS_H

#include "mapped.h"

/* What is shown in a range of the window. */
#define PIECE (2 << 20)
#define RANGES 8

/* Mounts it with these options; `fs` is set as far as workers and paths need it. */
void dax_mount(const char *options);
void dax_umount(void);
/* Makes a file of so many bytes on the host: old(at) where it has data, else zeroes. */
void dax_file(const char *name, size_t size);
/* Whether it has data there: around the quarters of pieces, and in the last page. */
bool dax_has_data(size_t at, size_t size);
/* One of zeroes. */
void dax_sparse(const char *name, off_t size);
/* A mount with dax=always, with `file` of so many bytes, and worker `w`, which has opened it. */
void dax_start(size_t size);
/* The same, and the worker maps it. */
void dax_start_mapped(size_t size, int prot);
/* The same with a file of so many pieces, all zeroes. */
void dax_start_large(int pieces);
/* Ends the worker and unmounts. */
void dax_stop(void);
/* The path of a file on the host. */
const char *dax_host(const char *name);
/* The byte there on the host. */
char on_host(const char *name, off_t at);
/* Changes it there. */
void put_on_host(const char *name, off_t at, char byte);
/* How often the device has been asked for something, since the mount or dax_recount(). */
unsigned long dax_count(const char *counter);
void dax_recount(void);
/* Orders a wrong answer from the device. */
void dax_order(const char *kind, const char *opcode);

/* Steps of a worker. */
/* The byte there in the mapping; EFAULT if that is SIGBUS. */
long dax_load(long at, long b);
/* Stores a byte there, likewise. */
long dax_store(long at, long byte);
/* Pins a page of the mapping, until dax_unpin; of one piece or several. */
long dax_pin(long at, long b);
long dax_unpin(long a, long b);

#endif
