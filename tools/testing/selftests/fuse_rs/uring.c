// SPDX-License-Identifier: GPL-2.0
#include <sys/mman.h>
#include <sys/syscall.h>
#include "ktap.h"
#include "uring.h"

void ring_open(struct ring *r)
{
	struct io_uring_params p = {};
	size_t len;
	char *mem;

	r->fd = syscall(SYS_io_uring_setup, 8, &p);
	CHECK(r->fd >= 0);
	CHECK(p.features & IORING_FEAT_SINGLE_MMAP);
	len = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQ_RING);
	CHECK(mem != MAP_FAILED);
	r->sq_tail = (uint32_t *)(mem + p.sq_off.tail);
	r->sq_mask = (uint32_t *)(mem + p.sq_off.ring_mask);
	r->sq_array = (uint32_t *)(mem + p.sq_off.array);
	r->cq_head = (uint32_t *)(mem + p.cq_off.head);
	r->cq_tail = (uint32_t *)(mem + p.cq_off.tail);
	r->cq_mask = (uint32_t *)(mem + p.cq_off.ring_mask);
	r->cqes = (struct io_uring_cqe *)(mem + p.cq_off.cqes);
	r->sqes = mmap(NULL, p.sq_entries * sizeof(*r->sqes), PROT_READ | PROT_WRITE, MAP_SHARED,
		       r->fd, IORING_OFF_SQES);
	CHECK(r->sqes != MAP_FAILED);
}

void submit(struct ring *r, struct io_uring_sqe sqe)
{
	uint32_t tail = *r->sq_tail, at = tail & *r->sq_mask;

	r->sqes[at] = sqe;
	r->sq_array[at] = at;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
	CHECK_EQ(syscall(SYS_io_uring_enter, r->fd, 1, 0, 0, NULL, 0), 1);
}

bool completed(struct ring *r, struct io_uring_cqe *cqe, int ms)
{
	struct __kernel_timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	struct io_uring_getevents_arg arg = { .ts = (uintptr_t)&ts };
	uint32_t head = *r->cq_head;

	if (head == __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE))
		syscall(SYS_io_uring_enter, r->fd, 0, 1,
			IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof(arg));
	if (head == __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE))
		return false;
	*cqe = r->cqes[head & *r->cq_mask];
	__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
	return true;
}
