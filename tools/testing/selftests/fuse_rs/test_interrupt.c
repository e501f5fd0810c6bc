// SPDX-License-Identifier: GPL-2.0
/* Signals while a request is with the server. */
#include <fcntl.h>
#include <sys/mount.h>
#include "rawfs.h"

static void nothing(int sig)
{
}

/* As stat_in_child, but SIGUSR1 does not end it. */
static pid_t stat_interruptibly(struct rawfs *fs)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct sigaction sa = { .sa_handler = nothing };
		struct stat st;

		sigaction(SIGUSR1, &sa, NULL);
		_exit(stat(rawfs_path(fs, "file"), &st) ? errno : 0);
	}
	return pid;
}

static struct rawfs *ready_fs(struct rawfs_req *req)
{
	struct rawfs *fs = rawfs_new();

	rawfs_start_manual(fs, "");
	rawfs_handshake(fs);
	return fs;
}

static struct rawfs_req req, intr;

static pid_t interrupted_lookup(struct rawfs *fs)
{
	pid_t pid = stat_interruptibly(fs);

	rawfs_expect(fs, &req, FUSE_LOOKUP);
	usleep(50000);
	kill(pid, SIGUSR1);
	return pid;
}

TEST(server_is_told)
{
	struct rawfs *fs = ready_fs(&req);
	pid_t pid = interrupted_lookup(fs);

	CHECK(rawfs_read(fs->fd, &intr));
	CHECK_EQ(intr.in.opcode, FUSE_INTERRUPT);
	CHECK_EQ(((struct fuse_interrupt_in *)intr.body)->unique, req.in.unique);
	CHECK_EQ(intr.in.unique, req.in.unique | 1);
	CHECK(rawfs_reply(fs->fd, req.in.unique, EINTR, NULL, 0) > 0);
	CHECK_EQ(exit_of(pid), EINTR);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(server_may_finish_all_the_same)
{
	struct rawfs *fs = ready_fs(&req);
	pid_t pid = interrupted_lookup(fs);

	CHECK(rawfs_read(fs->fd, &intr));
	CHECK_EQ(intr.in.opcode, FUSE_INTERRUPT);
	fs->attr_valid = 100;
	rawfs_default(fs, &req);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(eagain_asks_again)
{
	struct rawfs *fs = ready_fs(&req);
	pid_t pid = interrupted_lookup(fs);

	for (int i = 0; i < 3; i++) {
		CHECK(rawfs_read(fs->fd, &intr));
		CHECK_EQ(intr.in.opcode, FUSE_INTERRUPT);
		CHECK(rawfs_reply(fs->fd, intr.in.unique, EAGAIN, NULL, 0) > 0);
	}
	CHECK(rawfs_read(fs->fd, &intr));
	CHECK(rawfs_reply(fs->fd, req.in.unique, EINTR, NULL, 0) > 0);
	CHECK_EQ(exit_of(pid), EINTR);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(enosys_is_remembered)
{
	struct rawfs *fs = ready_fs(&req);
	pid_t pid = interrupted_lookup(fs);
	static char buf[262144];

	CHECK(rawfs_read(fs->fd, &intr));
	CHECK_EQ(intr.in.opcode, FUSE_INTERRUPT);
	CHECK(rawfs_reply(fs->fd, intr.in.unique, ENOSYS, NULL, 0) > 0);
	CHECK(rawfs_reply(fs->fd, req.in.unique, EINTR, NULL, 0) > 0);
	CHECK_EQ(exit_of(pid), EINTR);
	pid = interrupted_lookup(fs);
	usleep(100000);
	fcntl(fs->fd, F_SETFL, O_NONBLOCK);
	CHECK_ERR(read(fs->fd, buf, sizeof(buf)), EAGAIN);
	fcntl(fs->fd, F_SETFL, 0);
	CHECK(rawfs_reply(fs->fd, req.in.unique, ENOENT, NULL, 0) > 0);
	CHECK_EQ(exit_of(pid), ENOENT);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(reply_to_an_interrupt_nobody_sent)
{
	struct rawfs *fs = ready_fs(&req);

	CHECK_ERR(rawfs_reply(fs->fd, 77777, EAGAIN, NULL, 0), ENOENT);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(kill_ends_a_wait_for_a_dead_server)
{
	RS_ONLY("C waits until the server answers");

	struct rawfs *fs = ready_fs(&req);
	pid_t pid = stat_interruptibly(fs);
	int status;

	rawfs_expect(fs, &req, FUSE_LOOKUP);
	kill(pid, SIGKILL);
	/* Mainline waits for ever here: the request is with the server. */
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
	rawfs_reply(fs->fd, req.in.unique, ENOENT, NULL, 0);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(killed_before_it_was_read_is_not_sent)
{
	struct rawfs *fs = ready_fs(&req);
	pid_t pid = stat_interruptibly(fs);
	static char buf[262144];

	usleep(200000);
	kill_child(pid);
	fcntl(fs->fd, F_SETFL, O_NONBLOCK);
	CHECK_ERR(read(fs->fd, buf, sizeof(buf)), EAGAIN);
	fcntl(fs->fd, F_SETFL, 0);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(kill_ends_a_cached_read)
{
	RS_ONLY("C waits until the server answers");

	struct rawfs *fs = ready_fs(&req);
	pid_t pid = fork();

	if (pid == 0) {
		char buf[16];
		int fd = open(rawfs_path(fs, "file"), O_RDONLY);

		_exit(read(fd, buf, sizeof(buf)) < 0);
	}
	rawfs_expect(fs, &req, FUSE_READ);
	usleep(50000);
	kill_child(pid);
	rawfs_default(fs, &req);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(open_that_comes_too_late_is_closed)
{
	RS_ONLY("C waits until the server answers");

	struct rawfs *fs = ready_fs(&req);
	struct fuse_open_out out = { .fh = 4711 };
	pid_t pid = fork();

	if (pid == 0)
		_exit(open(rawfs_path(fs, "file"), O_RDONLY) < 0);
	rawfs_expect(fs, &req, FUSE_OPEN);
	kill_child(pid);
	CHECK(rawfs_reply(fs->fd, req.in.unique, 0, &out, sizeof(out)) > 0);
	rawfs_expect(fs, &req, FUSE_RELEASE);
	CHECK_EQ(((struct fuse_release_in *)req.body)->fh, 4711);
	rawfs_reply(fs->fd, req.in.unique, 0, NULL, 0);
	rawfs_serve(fs);
	rawfs_stop(fs);
}
