// SPDX-License-Identifier: GPL-2.0
/* The device file. */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include "rawfs.h"

/* No memory of ours is there. */
static void *volatile nowhere = (void *)8;

static struct rawfs *new_fs(void)
{
	return calloc(1, sizeof(struct rawfs));
}

/* A child that calls stat on the file; its exit status is the errno. */
static pid_t stat_in_child(struct rawfs *fs)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct stat st;

		close(fs->fd);
		_exit(stat(rawfs_path(fs, "file"), &st) ? errno : 0);
	}
	return pid;
}

static int exit_of(pid_t pid)
{
	int status;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Mounted, and the handshake is over. */
static struct rawfs *ready_fs(void)
{
	struct rawfs *fs = new_fs();
	struct rawfs_req *req = calloc(1, sizeof(*req));

	rawfs_start_manual(fs, "");
	CHECK(rawfs_read(fs->fd, req));
	rawfs_init(fs, req);
	free(req);
	return fs;
}

TEST(unmounted_device_has_nothing)
{
	int fd = rawfs_open();
	char buf[65536];

	CHECK_ERR(read(fd, buf, sizeof(buf)), EPERM);
	CHECK_ERR(write(fd, buf, 16), EPERM);
}

TEST(nonblocking_read)
{
	struct rawfs *fs = ready_fs();
	static char buf[262144];

	fcntl(fs->fd, F_SETFL, O_NONBLOCK);
	CHECK_ERR(read(fs->fd, buf, sizeof(buf)), EAGAIN);
	CHECK_EQ(umount(fs->mnt), 0);
	CHECK_ERR(read(fs->fd, buf, sizeof(buf)), ENODEV);
}

TEST(small_buffer_is_refused)
{
	struct rawfs *fs = ready_fs();
	char buf[8191];

	CHECK_ERR(read(fs->fd, buf, sizeof(buf)), EINVAL);
	/* And one that is too small for a WRITE of max_write bytes. */
	static char larger[131072];

	CHECK_ERR(read(fs->fd, larger, sizeof(larger)), EINVAL);
	CHECK_EQ(umount(fs->mnt), 0);
}

TEST(readv_and_writev)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req req;
	struct iovec in[2] = { { &req, 24 }, { (char *)&req + 24, sizeof(req) - 24 } };
	struct fuse_entry_out entry;
	struct fuse_out_header out;
	struct iovec reply[3] = { { &out, 7 },
				  { (char *)&out + 7, sizeof(out) - 7 },
				  { &entry, sizeof(entry) } };
	pid_t pid = stat_in_child(fs);
	ssize_t n = readv(fs->fd, in, 2);

	CHECK(n > (ssize_t)sizeof(req.in));
	CHECK_EQ(req.in.opcode, FUSE_LOOKUP);
	fs->attr_valid = 100;
	rawfs_entry(fs, 2, &entry);
	out = (struct fuse_out_header){ .len = sizeof(out) + sizeof(entry), .unique = req.in.unique };
	CHECK_EQ(writev(fs->fd, reply, 3), out.len);
	CHECK_EQ(exit_of(pid), 0);
	fs->node[2].nlookup++;
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(splice_both_ways)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req req;
	struct fuse_entry_out entry;
	int p[2];
	ssize_t n;
	pid_t pid;

	CHECK_EQ(pipe(p), 0);
	CHECK(fcntl(p[0], F_SETPIPE_SZ, 1 << 20) > 0);
	pid = stat_in_child(fs);
	n = splice(fs->fd, NULL, p[1], NULL, 1 << 20, 0);
	CHECK(n > 0);
	CHECK_EQ(read(p[0], &req, sizeof(req)), n);
	CHECK_EQ(req.in.len, n);
	CHECK_EQ(req.in.opcode, FUSE_LOOKUP);
	fs->attr_valid = 100;
	rawfs_entry(fs, 2, &entry);
	struct fuse_out_header out = { .len = sizeof(out) + sizeof(entry), .unique = req.in.unique };

	CHECK_EQ(write(p[1], &out, sizeof(out)), sizeof(out));
	CHECK_EQ(write(p[1], &entry, sizeof(entry)), sizeof(entry));
	CHECK_EQ(splice(p[0], NULL, fs->fd, NULL, out.len, SPLICE_F_MOVE), out.len);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(poll_tells)
{
	struct rawfs *fs = ready_fs();
	struct pollfd p = { .fd = fs->fd, .events = POLLIN | POLLOUT };
	pid_t pid;

	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLOUT);
	pid = stat_in_child(fs);
	p.events = POLLIN;
	CHECK_EQ(poll(&p, 1, 5000), 1);
	CHECK_EQ(p.revents, POLLIN);
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_stop(fs);
}

TEST(poll_on_unmounted_device_is_an_error)
{
	struct pollfd p = { .fd = rawfs_open(), .events = POLLIN };

	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK(p.revents & POLLERR);
}

TEST(epoll_wakes_and_tells_of_the_end)
{
	struct rawfs *fs = ready_fs();
	int ep = epoll_create1(0);
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	pid_t pid;

	CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fs->fd, &ev), 0);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 0);
	pid = stat_in_child(fs);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 5000), 1);
	CHECK_EQ(umount2(fs->mnt, MNT_FORCE), -1); /* busy, but aborted */
	CHECK_EQ(epoll_wait(ep, &ev, 1, 5000), 1);
	CHECK(ev.events & EPOLLERR);
	CHECK(exit_of(pid) != 0);
}

static volatile sig_atomic_t got_sigio;

static void on_sigio(int sig)
{
	got_sigio++;
}

TEST(fasync_signals)
{
	struct rawfs *fs = ready_fs();
	pid_t pid;

	signal(SIGIO, on_sigio);
	CHECK_EQ(fcntl(fs->fd, F_SETOWN, getpid()), 0);
	CHECK_EQ(fcntl(fs->fd, F_SETFL, O_ASYNC), 0);
	pid = stat_in_child(fs);
	EVENTUALLY(got_sigio > 0);
	CHECK_EQ(fcntl(fs->fd, F_SETFL, 0), 0);
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_stop(fs);
}

TEST(aio_poll)
{
	struct rawfs *fs = ready_fs();
	aio_context_t ctx = 0;
	struct iocb cb = { .aio_fildes = fs->fd,
			   .aio_lio_opcode = IOCB_CMD_POLL,
			   .aio_buf = POLLIN },
		    *cbs[] = { &cb };
	struct io_event ev;
	struct timespec five = { .tv_sec = 5 }, none = {};
	pid_t pid;

	CHECK_EQ(syscall(SYS_io_setup, 8, &ctx), 0);
	CHECK_EQ(syscall(SYS_io_submit, ctx, 1, cbs), 1);
	CHECK_EQ(syscall(SYS_io_getevents, ctx, 0, 1, &ev, &none), 0);
	pid = stat_in_child(fs);
	CHECK_EQ(syscall(SYS_io_getevents, ctx, 1, 1, &ev, &five), 1);
	CHECK(ev.res & POLLIN);
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_stop(fs);
}

TEST(clone_shares_requests_but_not_replies)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req req;
	struct fuse_entry_out entry;
	uint32_t fd = fs->fd;
	int clone = rawfs_open();
	pid_t pid;

	CHECK_EQ(ioctl(clone, FUSE_DEV_IOC_CLONE, &fd), 0);
	CHECK_ERR(ioctl(clone, FUSE_DEV_IOC_CLONE, &fd), EINVAL);
	pid = stat_in_child(fs);
	CHECK(rawfs_read(clone, &req));
	CHECK_EQ(req.in.opcode, FUSE_LOOKUP);
	rawfs_entry(fs, 2, &entry);
	entry.attr_valid = 100;
	CHECK_ERR(rawfs_reply(fs->fd, req.in.unique, 0, &entry, sizeof(entry)), ENOENT);
	CHECK(rawfs_reply(clone, req.in.unique, 0, &entry, sizeof(entry)) > 0);
	CHECK_EQ(exit_of(pid), 0);
	close(clone);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(clone_of_something_else_is_refused)
{
	int dev = rawfs_open();
	uint32_t null = open("/dev/null", O_RDWR), unmounted = rawfs_open();

	CHECK_ERR(ioctl(dev, FUSE_DEV_IOC_CLONE, &null), EINVAL);
	CHECK_ERR(ioctl(dev, FUSE_DEV_IOC_CLONE, &unmounted), EPERM);
	CHECK_ERR(ioctl(dev, 0x1234, &null), ENOTTY);
}

TEST(close_of_a_clone_ends_what_it_took)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req req;
	uint32_t fd = fs->fd;
	int clone = rawfs_open();
	struct stat st;
	pid_t pid;

	CHECK_EQ(ioctl(clone, FUSE_DEV_IOC_CLONE, &fd), 0);
	pid = fork();
	if (pid == 0) {
		close(clone);
		close(fs->fd);
		_exit(stat(rawfs_path(fs, "file"), &st) ? errno : 0);
	}
	CHECK(rawfs_read(clone, &req));
	close(clone);
	CHECK_EQ(exit_of(pid), ECONNABORTED);
	rawfs_serve(fs);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	rawfs_stop(fs);
}

TEST(close_ends_the_connection)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req req;
	struct stat st;
	pid_t pid = stat_in_child(fs);

	CHECK(rawfs_read(fs->fd, &req));
	close(fs->fd);
	CHECK_EQ(exit_of(pid), ECONNABORTED);
	CHECK_ERR(stat(rawfs_path(fs, "file"), &st), ENOTCONN);
	CHECK_EQ(umount(fs->mnt), 0);
}

TEST(forced_umount_ends_waiters)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req req;
	pid_t pid = stat_in_child(fs);

	CHECK(rawfs_read(fs->fd, &req));
	umount2(fs->mnt, MNT_FORCE);
	CHECK_EQ(exit_of(pid), ECONNABORTED);
	EVENTUALLY(umount(fs->mnt) == 0 || errno == EINVAL);
	CHECK(!rawfs_read(fs->fd, &req));
}

static void *reader(void *arg)
{
	struct rawfs *fs = arg;
	struct rawfs_req *req = malloc(sizeof(*req));

	while (rawfs_read(fs->fd, req))
		rawfs_default(fs, req);
	free(req);
	return NULL;
}

TEST(several_readers)
{
	struct rawfs *fs = ready_fs();
	pthread_t t[3];
	pid_t pids[4];

	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, reader, fs);
	rawfs_serve(fs);
	for (int i = 0; i < 4; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct stat st;

			for (int k = 0; k < 500; k++)
				if (stat(rawfs_path(fs, "file"), &st))
					_exit(1);
			_exit(0);
		}
	}
	for (int i = 0; i < 4; i++)
		CHECK_EQ(exit_of(pids[i]), 0);
	rawfs_stop(fs);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
}

TEST(bad_destination_loses_only_the_request)
{
	struct rawfs *fs = ready_fs();
	struct stat st;
	pid_t pid = stat_in_child(fs);
	struct pollfd p = { .fd = fs->fd, .events = POLLIN };

	CHECK_EQ(poll(&p, 1, 5000), 1);
	CHECK_ERR(read(fs->fd, nowhere, 1 << 20), EFAULT);
	CHECK_EQ(exit_of(pid), EIO);
	rawfs_serve(fs);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	rawfs_stop(fs);
}
