/* SPDX-License-Identifier: GPL-2.0 */
/* Allocations that fail, on kernels with fault injection. */
#ifndef FAULTS_H
#define FAULTS_H

#include "rawfs.h"

/* Allocations of this thread can fail from here on; skips the case where that cannot be. */
void faults_prepare(void);

/* A call, which gives -1 and an errno if it fails, and what is done before and after it. */
struct work {
	int (*call)(struct rawfs *fs);
	void (*before)(struct rawfs *fs);
	void (*after)(struct rawfs *fs);
	/* What it may say instead of ENOMEM. */
	int error;
};

/* Does the call again and again, each time with a later allocation failing, until none is left. */
void at_every_allocation(struct rawfs *fs, struct work work);

/*
 * Has so many allocations of objects, and so many of pages, fail: the next ones of all tasks for
 * which that is switched on.
 */
void faults_begin(int times);
/* Switches it on or off for this thread. */
void faults_here(bool on);
/* The same for the kernel's workers. */
void faults_of_kworkers(bool on);
/* How many have failed. */
int faults_so_far(void);
/* No more. Returns how many have failed. */
int faults_end(void);

#endif
