/* SPDX-License-Identifier: GPL-2.0 */
/* What a server tells without being asked. Each returns 0, or the errno that write(2) gave. */
#ifndef NOTIFY_H
#define NOTIFY_H

#include "rawfs.h"

/* Any notification: a head and what follows it. */
int notify(struct rawfs *fs, int code, const void *head, size_t head_len, const void *rest,
	   size_t rest_len);
/* Attributes of a node are stale, and its data, unless `off` is negative. */
int notify_inval_inode(struct rawfs *fs, uint64_t node, int64_t off, int64_t len);
/* A name is stale. */
int notify_inval_entry(struct rawfs *fs, uint64_t parent, const char *name, uint32_t flags);
/* A name is gone. */
int notify_deleted(struct rawfs *fs, uint64_t parent, uint64_t child, const char *name);
/* Data for the page cache. */
int notify_store(struct rawfs *fs, uint64_t node, uint64_t offset, const void *data, uint32_t len);

#endif
