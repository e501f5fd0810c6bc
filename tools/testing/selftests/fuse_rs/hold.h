/* SPDX-License-Identifier: GPL-2.0 */
/* A server that records, and keeps requests of one kind back until the case answers them. */
#ifndef HOLD_H
#define HOLD_H

#include "record.h"

#define HELD_MAX 64

/*
 * Makes a server one that can hold requests. It takes `special`; what is not kept goes to
 * `unheld`, if there is one.
 */
struct rawfs *holding(struct rawfs *fs);
extern bool (*unheld)(struct rawfs *fs, struct rawfs_req *req);
/* From here on requests with this opcode are kept; those of others, and with 0 all, are served. */
void hold(uint32_t opcode);
/* How many are kept. */
int held(void);
/* The body of one of them, the oldest is 0. The case fails if there is none. */
void *held_body(int which);
/* Has one of them answered as if it were not held, or with an error. */
void let_go(struct rawfs *fs, int which, int error);
/* Keeps no more, and has all answered so, the oldest first. */
void let_all_go(struct rawfs *fs);

#endif
