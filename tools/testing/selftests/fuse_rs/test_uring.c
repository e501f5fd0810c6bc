// SPDX-License-Identifier: GPL-2.0
/* The device file through io_uring. */
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include "rawfs.h"
#include "uring.h"

/* What a request is known by; those that cancel others have numbers of their own. */
enum { POLLS = 1, READS, WRITES, SPLICES, CANCELS };

static struct io_uring_sqe sqe_poll(int fd, uint32_t len)
{
	return (struct io_uring_sqe){ .opcode = IORING_OP_POLL_ADD,
				      .fd = fd,
				      .poll32_events = POLLIN,
				      .len = len,
				      .user_data = POLLS };
}

static struct io_uring_sqe sqe_rw(int opcode, int fd, void *buf, size_t len)
{
	return (struct io_uring_sqe){ .opcode = opcode,
				      .fd = fd,
				      .addr = (uintptr_t)buf,
				      .len = len,
				      .user_data = opcode == IORING_OP_READ ? READS : WRITES };
}

static struct io_uring_sqe sqe_cancel(uint64_t what)
{
	return (struct io_uring_sqe){ .opcode = IORING_OP_ASYNC_CANCEL,
				      .fd = -1,
				      .addr = what,
				      .user_data = CANCELS };
}

static void cancel(struct ring *r, uint64_t what)
{
	struct io_uring_cqe cqe;
	int seen = 0;

	submit(r, sqe_cancel(what));
	for (int i = 0; i < 2; i++) {
		CHECK(completed(r, &cqe, 5000));
		if (cqe.user_data == CANCELS)
			CHECK_EQ(cqe.res, 0);
		else
			CHECK(cqe.res == -ECANCELED || cqe.res == -EINTR);
		seen |= 1 << cqe.user_data;
	}
	CHECK_EQ(seen, 1 << what | 1 << CANCELS);
}

static struct rawfs_req req;

/* Mounted, and the handshake is over. */
static struct rawfs *ready_fs(void)
{
	struct rawfs *fs = rawfs_new();

	rawfs_start_manual(fs, "");
	rawfs_handshake(fs);
	fs->attr_valid = 100;
	return fs;
}

TEST(poll_completes_when_a_request_arrives)
{
	struct rawfs *fs = ready_fs();
	struct io_uring_cqe cqe;
	struct ring r;
	pid_t pid;

	ring_open(&r);
	submit(&r, sqe_poll(fs->fd, 0));
	CHECK(!completed(&r, &cqe, 200));
	pid = stat_in_child(fs, "file");
	CHECK(completed(&r, &cqe, 5000));
	CHECK_EQ(cqe.user_data, POLLS);
	CHECK_EQ(cqe.res, POLLIN);
	/* There is something now: the next one does not wait. */
	submit(&r, sqe_poll(fs->fd, 0));
	CHECK(completed(&r, &cqe, 5000));
	CHECK_EQ(cqe.res, POLLIN);
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid), 0);
	close(r.fd);
	rawfs_stop(fs);
}

TEST(poll_completes_for_each_request)
{
	struct rawfs *fs = ready_fs();
	struct io_uring_cqe cqe;
	struct ring r;
	pid_t pid;

	ring_open(&r);
	submit(&r, sqe_poll(fs->fd, IORING_POLL_ADD_MULTI));
	for (int i = 0; i < 5; i++) {
		CHECK(!completed(&r, &cqe, 100));
		pid = stat_in_child(fs, "file");
		CHECK(completed(&r, &cqe, 5000));
		CHECK(cqe.res & POLLIN);
		CHECK(cqe.flags & IORING_CQE_F_MORE);
		CHECK(rawfs_read(fs->fd, &req));
		rawfs_default(fs, &req);
		CHECK_EQ(exit_of(pid), 0);
	}
	cancel(&r, POLLS);
	close(r.fd);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(poll_tells_of_the_end)
{
	struct rawfs *fs = ready_fs();
	struct io_uring_cqe cqe;
	struct ring r;

	ring_open(&r);
	submit(&r, sqe_poll(fs->fd, 0));
	CHECK_EQ(umount(fs->mnt), 0);
	CHECK(completed(&r, &cqe, 5000));
	CHECK_EQ(cqe.res, POLLERR);
}

TEST(poll_is_cancelled)
{
	struct rawfs *fs = ready_fs();
	struct ring r;
	pid_t pid;

	ring_open(&r);
	for (int i = 0; i < 3; i++) {
		submit(&r, sqe_poll(fs->fd, 0));
		cancel(&r, POLLS);
	}
	pid = stat_in_child(fs, "file");
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_stop(fs);
}

/* A poll that is under way has the file open, whatever becomes of the descriptor. */
TEST(poll_outlives_the_descriptor)
{
	struct rawfs *fs = ready_fs();
	struct io_uring_cqe cqe;
	struct ring r;
	pid_t pid;

	ring_open(&r);
	submit(&r, sqe_poll(fs->fd, 0));
	pid = stat_in_child(fs, "file");
	CHECK(completed(&r, &cqe, 5000));
	CHECK_EQ(cqe.res, POLLIN);
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_stop(fs);

	fs = ready_fs();
	submit(&r, sqe_poll(fs->fd, 0));
	close(fs->fd);
	pid = fork();
	if (pid == 0) {
		struct stat st;

		close(r.fd);
		_exit(stat(rawfs_path(fs, "file"), &st) ? errno : 0);
	}
	CHECK(completed(&r, &cqe, 5000));
	CHECK_EQ(cqe.res, POLLIN);
	/* With the poll, the last use of the file is over. */
	CHECK_EQ(exit_of(pid), ECONNABORTED);
	CHECK_EQ(umount(fs->mnt), 0);
}

TEST(cancel_of_a_poll_on_a_closed_descriptor)
{
	struct rawfs *fs = ready_fs();
	struct stat st;
	struct ring r;

	ring_open(&r);
	submit(&r, sqe_poll(fs->fd, 0));
	close(fs->fd);
	cancel(&r, POLLS);
	EVENTUALLY(stat(rawfs_path(fs, "file"), &st) == -1 && errno == ENOTCONN);
	CHECK_EQ(umount(fs->mnt), 0);
}

TEST(close_of_the_ring_ends_its_poll)
{
	struct rawfs *fs = ready_fs();
	struct stat st;
	struct ring r;
	pid_t pid;

	ring_open(&r);
	submit(&r, sqe_poll(fs->fd, 0));
	close(fs->fd);
	pid = fork();
	if (pid == 0) {
		/* A copy of the ring's memory would keep the ring; a new program has none. */
		execlp("test", "test", "!", "-e", rawfs_path(fs, "file"), NULL);
		_exit(127);
	}
	usleep(100000);
	munmap((void *)((uintptr_t)r.cq_head & ~4095ul), 4096);
	munmap(r.sqes, 4096);
	close(r.fd);
	CHECK_EQ(exit_of(pid), 0);
	EVENTUALLY(stat(rawfs_path(fs, "file"), &st) == -1 && errno == ENOTCONN);
	CHECK_EQ(umount(fs->mnt), 0);
}

TEST(read_waits_for_a_request)
{
	struct rawfs *fs = ready_fs();
	struct io_uring_cqe cqe;
	struct ring r;
	pid_t pid;

	ring_open(&r);
	for (int i = 0; i < 3; i++) {
		submit(&r, sqe_rw(IORING_OP_READ, fs->fd, &req, sizeof(req)));
		CHECK(!completed(&r, &cqe, 200));
		pid = stat_in_child(fs, "file");
		CHECK(completed(&r, &cqe, 5000));
		CHECK_EQ(cqe.user_data, READS);
		CHECK_EQ(cqe.res, req.in.len);
		CHECK_EQ(req.in.opcode, FUSE_LOOKUP);
		rawfs_default(fs, &req);
		CHECK_EQ(exit_of(pid), 0);
	}
	close(r.fd);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(read_and_write_at_once)
{
	struct rawfs *fs = ready_fs();
	struct io_uring_cqe cqe;
	struct {
		struct fuse_out_header out;
		struct fuse_entry_out entry;
	} m;
	struct ring r;
	pid_t pid = stat_in_child(fs, "file");
	struct pollfd p = { .fd = fs->fd, .events = POLLIN };

	CHECK_EQ(poll(&p, 1, ktap_ms(5000)), 1);
	ring_open(&r);
	submit(&r, sqe_rw(IORING_OP_READ, fs->fd, &req, sizeof(req)));
	CHECK(completed(&r, &cqe, 5000));
	CHECK_EQ(cqe.res, req.in.len);
	rawfs_entry(fs, 2, &m.entry);
	fs->node[2].nlookup++;
	m.out = (struct fuse_out_header){ .len = sizeof(m), .unique = req.in.unique + 2 };
	submit(&r, sqe_rw(IORING_OP_WRITE, fs->fd, &m, sizeof(m)));
	CHECK(completed(&r, &cqe, 5000));
	CHECK_EQ(cqe.res, -ENOENT);
	m.out.unique = req.in.unique;
	submit(&r, sqe_rw(IORING_OP_WRITE, fs->fd, &m, sizeof(m)));
	CHECK(completed(&r, &cqe, 5000));
	CHECK_EQ(cqe.user_data, WRITES);
	CHECK_EQ(cqe.res, sizeof(m));
	CHECK_EQ(exit_of(pid), 0);
	close(r.fd);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(read_is_cancelled)
{
	struct rawfs *fs = ready_fs();
	struct ring r;
	pid_t pid;

	ring_open(&r);
	submit(&r, sqe_rw(IORING_OP_READ, fs->fd, &req, sizeof(req)));
	cancel(&r, READS);
	/* It takes nothing with it. */
	pid = stat_in_child(fs, "file");
	CHECK(rawfs_read(fs->fd, &req));
	CHECK_EQ(req.in.opcode, FUSE_LOOKUP);
	rawfs_default(fs, &req);
	CHECK_EQ(exit_of(pid), 0);
	close(r.fd);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(read_ends_with_the_connection)
{
	struct rawfs *fs = ready_fs();
	struct io_uring_cqe cqe;
	struct ring r;

	ring_open(&r);
	submit(&r, sqe_rw(IORING_OP_READ, fs->fd, &req, sizeof(req)));
	CHECK(!completed(&r, &cqe, 100));
	CHECK_EQ(umount(fs->mnt), 0);
	CHECK(completed(&r, &cqe, 5000));
	CHECK_EQ(cqe.res, -ENODEV);
}

/* io_uring waits on behalf of the program, which O_NONBLOCK does not forbid. */
TEST(read_of_a_nonblocking_device)
{
	struct rawfs *fs = ready_fs();
	struct io_uring_cqe cqe;
	struct ring r;
	pid_t pid;

	ring_open(&r);
	CHECK_EQ(fcntl(fs->fd, F_SETFL, O_NONBLOCK), 0);
	submit(&r, sqe_rw(IORING_OP_READ, fs->fd, &req, sizeof(req)));
	CHECK(!completed(&r, &cqe, 200));
	pid = stat_in_child(fs, "file");
	CHECK(completed(&r, &cqe, 5000));
	CHECK_EQ(cqe.res, req.in.len);
	rawfs_default(fs, &req);
	CHECK_EQ(exit_of(pid), 0);
	CHECK_EQ(fcntl(fs->fd, F_SETFL, 0), 0);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(splice_waits_for_a_request)
{
	struct rawfs *fs = ready_fs();
	struct io_uring_cqe cqe;
	struct ring r;
	pid_t pid;
	int p[2];

	ring_open(&r);
	CHECK_EQ(pipe(p), 0);
	CHECK(fcntl(p[0], F_SETPIPE_SZ, 1 << 20) > 0);
	submit(&r, (struct io_uring_sqe){ .opcode = IORING_OP_SPLICE,
					  .splice_fd_in = fs->fd,
					  .splice_off_in = -1,
					  .fd = p[1],
					  .off = -1,
					  .len = 1 << 20,
					  .user_data = SPLICES });
	CHECK(!completed(&r, &cqe, 200));
	pid = stat_in_child(fs, "file");
	CHECK(completed(&r, &cqe, 5000));
	CHECK(cqe.res > 40);
	CHECK_EQ(read(p[0], &req, sizeof(req)), cqe.res);
	CHECK_EQ(req.in.opcode, FUSE_LOOKUP);
	rawfs_default(fs, &req);
	CHECK_EQ(exit_of(pid), 0);
	close(r.fd);
	rawfs_serve(fs);
	rawfs_stop(fs);
}
