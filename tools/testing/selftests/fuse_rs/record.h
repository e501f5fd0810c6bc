/* SPDX-License-Identifier: GPL-2.0 */
/* A server that remembers what it was asked. */
#ifndef RECORD_H
#define RECORD_H

#include "rawfs.h"

#define RECORD_MAX 512

struct recorded {
	struct fuse_in_header in;
	char body[512];
	size_t len; /* of the whole body */
};

/* The requests, in order. */
extern struct recorded seen[RECORD_MAX];
extern atomic_int nseen;
/* What a case answers itself; the tree answers the rest. */
extern bool (*special)(struct rawfs *fs, struct rawfs_req *req);

/* Makes a server record that is not mounted yet. */
struct rawfs *recording(struct rawfs *fs);
/* A server that records; not mounted yet. */
struct rawfs *recording_fs(void);
/* The latest request with this opcode, or NULL. */
struct recorded *asked(uint32_t opcode);
/* The same; the case fails if there was none. */
struct recorded *last_request(uint32_t opcode);
/* The body of the latest request with this opcode; the case fails if there was none. */
void *last(uint32_t opcode);
/* Answers, for `special`: always true. */
bool reply(struct rawfs *fs, struct rawfs_req *req, int error, const void *body, size_t len);

#endif
