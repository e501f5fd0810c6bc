// SPDX-License-Identifier: GPL-2.0
/* poll(2) and epoll(7): what the server is asked, and how it wakes those who wait. */
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include "record.h"

/* What the file is ready for. */
static atomic_uint ready;
static atomic_int poll_error;

static bool serve_poll(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_poll_out out = { .revents = ready };

	if (req->in.opcode != FUSE_POLL)
		return false;
	return reply(fs, req, poll_error, &out, poll_error ? 0 : sizeof(out));
}

static struct rawfs *poll_fs(void)
{
	struct rawfs *fs = recording_fs();

	special = serve_poll;
	rawfs_start(fs, "");
	return fs;
}

static int open_file(struct rawfs *fs)
{
	int fd = open(rawfs_path(fs, "file"), O_RDWR);

	CHECK(fd >= 0);
	return fd;
}

static struct fuse_poll_in *asked_poll(void)
{
	CHECK_EQ(last_request(FUSE_POLL)->len, sizeof(struct fuse_poll_in));
	return last(FUSE_POLL);
}

static int poll_one(int fd, short events, int timeout)
{
	struct pollfd one = { .fd = fd, .events = events };

	CHECK(poll(&one, 1, timeout) >= 0);
	return one.revents;
}

/* Sends a notification of `len` bytes. */
static ssize_t wake(struct rawfs *fs, uint64_t kh, size_t len)
{
	struct fuse_notify_poll_wakeup_out body[2] = { { .kh = kh } };
	struct fuse_out_header out = { .len = sizeof(out) + len, .error = FUSE_NOTIFY_POLL };
	struct iovec parts[2] = { { &out, sizeof(out) }, { body, len } };

	return writev(fs->fd, parts, 2);
}

TEST(the_server_says_what_a_file_is_ready_for)
{
	struct rawfs *fs = poll_fs();
	int fd = open_file(fs);
	struct fuse_poll_in *in;

	ready = POLLIN | POLLRDNORM | POLLPRI;
	CHECK_EQ(poll_one(fd, POLLIN | POLLOUT, 0), POLLIN);
	in = asked_poll();
	CHECK_EQ(last_request(FUSE_POLL)->in.nodeid, 2);
	CHECK_EQ(in->fh, 2);
	CHECK_EQ(in->events & (POLLIN | POLLOUT), POLLIN | POLLOUT);
	CHECK_EQ(in->events & POLLPRI, 0);
	/* Nobody waits. */
	CHECK_EQ(in->flags, 0);
	ready = POLLHUP | POLLERR;
	CHECK_EQ(poll_one(fd, POLLIN, 0), POLLHUP | POLLERR);
	ready = 0;
	CHECK_EQ(poll_one(fd, POLLIN, 0), 0);
	CHECK_EQ(fs->count[FUSE_POLL], 3);
	close(fd);
	rawfs_stop(fs);
}

TEST(open_files_have_names_of_their_own)
{
	struct rawfs *fs = poll_fs();
	int fd = open_file(fs), other = open_file(fs);
	uint64_t kh;

	poll_one(fd, POLLIN, 0);
	kh = asked_poll()->kh;
	poll_one(fd, POLLIN, 0);
	CHECK_EQ(asked_poll()->kh, kh);
	poll_one(other, POLLIN, 0);
	CHECK(asked_poll()->kh != kh);
	close(other);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_notification_wakes_those_who_wait)
{
	struct rawfs *fs = poll_fs();
	int fd = open_file(fs);
	pid_t pid = fork();

	if (pid == 0)
		_exit(poll_one(fd, POLLIN, -1));
	EVENTUALLY(fs->count[FUSE_POLL] == 1);
	CHECK_EQ(asked_poll()->flags, FUSE_POLL_SCHEDULE_NOTIFY);
	ready = POLLIN;
	CHECK_EQ(wake(fs, asked_poll()->kh, 8), sizeof(struct fuse_out_header) + 8);
	CHECK_EQ(exit_of(pid), POLLIN);
	CHECK_EQ(fs->count[FUSE_POLL], 2);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_notification_wakes_epoll)
{
	struct rawfs *fs = poll_fs();
	int fd = open_file(fs), ep = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN | EPOLLET }, got;

	CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event), 0);
	CHECK_EQ(asked_poll()->flags, FUSE_POLL_SCHEDULE_NOTIFY);
	CHECK_EQ(epoll_wait(ep, &got, 1, 0), 0);
	ready = -1u;
	wake(fs, asked_poll()->kh, 8);
	CHECK_EQ(epoll_wait(ep, &got, 1, 5000), 1);
	CHECK_EQ(got.events & EPOLLIN, EPOLLIN);
	CHECK_EQ(epoll_wait(ep, &got, 1, 0), 0);
	close(fd);
	EVENTUALLY(fs->count[FUSE_RELEASE] == 1);
	CHECK_EQ(epoll_wait(ep, &got, 1, 0), 0);
	close(ep);
	rawfs_stop(fs);
}

TEST(only_events_of_files_are_believed)
{
	RS_ONLY("all bits are passed on");
	struct rawfs *fs = poll_fs();
	int fd = open_file(fs), ep = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT | EPOLLET }, got;

	ready = -1u;
	CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event), 0);
	CHECK_EQ(epoll_wait(ep, &got, 1, 0), 1);
	CHECK_EQ(got.events, EPOLLIN | EPOLLERR | EPOLLHUP);
	close(ep);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_notification_about_no_file_is_nothing)
{
	struct rawfs *fs = poll_fs();
	int fd = open_file(fs);
	uint64_t kh;

	poll_one(fd, POLLIN, 0);
	kh = asked_poll()->kh;
	CHECK_EQ(wake(fs, kh + 1, 8), sizeof(struct fuse_out_header) + 8);
	CHECK_EQ(wake(fs, -1ull, 8), sizeof(struct fuse_out_header) + 8);
	close(fd);
	EVENTUALLY(fs->count[FUSE_RELEASE] == 1);
	CHECK_EQ(wake(fs, kh, 8), sizeof(struct fuse_out_header) + 8);
	CHECK_ERR(wake(fs, kh, 7), EINVAL);
	CHECK_ERR(wake(fs, kh, 9), EINVAL);
	rawfs_stop(fs);
}

TEST(files_of_a_server_without_poll_are_always_ready)
{
	struct rawfs *fs = poll_fs();
	int fd = open_file(fs);

	poll_error = ENOSYS;
	CHECK_EQ(poll_one(fd, POLLIN | POLLOUT | POLLPRI, 0), POLLIN | POLLOUT);
	CHECK_EQ(poll_one(fd, POLLIN | POLLOUT, -1), POLLIN | POLLOUT);
	CHECK_EQ(fs->count[FUSE_POLL], 1);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_refused_poll_is_an_error_of_the_file)
{
	struct rawfs *fs = poll_fs();
	int fd = open_file(fs);

	poll_error = EPERM;
	CHECK_EQ(poll_one(fd, POLLIN, 0), POLLERR);
	poll_error = 0;
	ready = POLLIN;
	CHECK_EQ(poll_one(fd, POLLIN, 0), POLLIN);
	close(fd);
	rawfs_stop(fs);
}
