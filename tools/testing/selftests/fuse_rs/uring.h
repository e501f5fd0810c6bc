/* SPDX-License-Identifier: GPL-2.0 */
/* io_uring by its system calls, of which there is no library here. */
#ifndef URING_H
#define URING_H

#include <linux/io_uring.h>
#include <stdbool.h>
#include <stdint.h>

struct ring {
	int fd;
	uint32_t *sq_tail, *sq_mask, *sq_array;
	uint32_t *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

void ring_open(struct ring *r);
/* Hands a request over; the case fails if that is not possible. */
void submit(struct ring *r, struct io_uring_sqe sqe);
/* Takes a completion; false if there is none within the time. */
bool completed(struct ring *r, struct io_uring_cqe *cqe, int ms);

#endif
