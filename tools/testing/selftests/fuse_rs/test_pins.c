// SPDX-License-Identifier: GPL-2.0
/* What a request names stays until it is answered, and nobody waits for requests of others. */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include "rawfs.h"

static struct rawfs_req req, other;

static struct rawfs *ready_fs(void)
{
	struct rawfs *fs = rawfs_new();

	fs->entry_valid = fs->attr_valid = 1000;
	rawfs_start_manual(fs, "");
	rawfs_handshake(fs);
	return fs;
}

/* Whether a request of this kind comes within 300 ms; others are answered by the tree. */
static bool comes(struct rawfs *fs, uint32_t opcode)
{
	for (;;) {
		struct pollfd p = { .fd = fs->fd, .events = POLLIN };

		if (poll(&p, 1, 300) != 1 || !(p.revents & POLLIN) || !rawfs_read(fs->fd, &other))
			return false;
		if (other.in.opcode == opcode)
			return true;
		rawfs_default(fs, &other);
	}
}

static bool forget_comes(struct rawfs *fs, uint64_t node)
{
	if (comes(fs, FUSE_FORGET))
		return other.in.nodeid == node;
	return false;
}

/* Reads ahead from the file without waiting, closes it and ends. */
static pid_t read_ahead(struct rawfs *fs)
{
	pid_t pid = fork();

	if (pid == 0) {
		int fd = open(rawfs_path(fs, "file"), O_RDONLY);

		if (fd < 0 || readahead(fd, 0, 65536))
			_exit(1);
		close(fd);
		_exit(0);
	}
	return pid;
}

static struct rawfs *fs_with_unanswered_read(void)
{
	struct rawfs *fs = ready_fs();
	pid_t pid;

	fs->node[2].size = 65536;
	pid = read_ahead(fs);
	rawfs_expect(fs, &req, FUSE_READ);
	/* FLUSH comes from close. */
	CHECK(comes(fs, FUSE_FLUSH));
	rawfs_default(fs, &other);
	CHECK_EQ(exit_of(pid), 0);
	return fs;
}

static void end(struct rawfs *fs)
{
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(release_waits_for_reads)
{
	struct rawfs *fs = fs_with_unanswered_read();

	CHECK(!comes(fs, FUSE_RELEASE));
	rawfs_default(fs, &req);
	CHECK(comes(fs, FUSE_RELEASE));
	rawfs_default(fs, &other);
	end(fs);
}

TEST(forget_waits_for_release)
{
	struct rawfs *fs = ready_fs();
	pid_t pid = fork();

	if (pid == 0) {
		const char *file = rawfs_path(fs, "file");
		int fd = open(file, O_RDONLY);

		_exit(fd < 0 || unlink(file) || close(fd));
	}
	/* Busy for a moment, until everything is queued. */
	rawfs_expect(fs, &req, FUSE_FLUSH);
	rawfs_default(fs, &req);
	CHECK_EQ(exit_of(pid), 0);
	usleep(200000);
	CHECK(rawfs_read(fs->fd, &req));
	CHECK_EQ(req.in.opcode, FUSE_RELEASE);
	CHECK(!forget_comes(fs, 2));
	rawfs_default(fs, &req);
	CHECK(forget_comes(fs, 2));
	rawfs_default(fs, &other);
	end(fs);
}

TEST(forget_waits_for_a_lookup_nobody_waits_for)
{
	RS_ONLY("a killed caller is gone at once");
	struct rawfs *fs = ready_fs();
	pid_t pid = fork();

	if (pid == 0) {
		struct stat st;

		_exit(stat(rawfs_path(fs, "dir/x"), &st) ? 0 : 1);
	}
	do
		rawfs_expect(fs, &req, FUSE_LOOKUP);
	while (req.in.nodeid == 1 ? (rawfs_default(fs, &req), true) : false);
	CHECK_EQ(req.in.nodeid, 3);
	kill_child(pid);
	drop_caches("2");
	CHECK(!forget_comes(fs, 3));
	rawfs_reply(fs->fd, req.in.unique, ENOENT, NULL, 0);
	CHECK(forget_comes(fs, 3));
	rawfs_default(fs, &other);
	end(fs);
}

TEST(release_waits_for_a_write_nobody_waits_for)
{
	RS_ONLY("a killed caller is gone at once");
	struct rawfs *fs = ready_fs();
	pid_t pid = fork();

	if (pid == 0) {
		int fd = open(rawfs_path(fs, "file"), O_WRONLY);

		_exit(write(fd, "x", 1) != 1);
	}
	rawfs_expect(fs, &req, FUSE_WRITE);
	kill_child(pid);
	CHECK(!comes(fs, FUSE_RELEASE));
	rawfs_default(fs, &req);
	CHECK(comes(fs, FUSE_RELEASE));
	rawfs_default(fs, &other);
	end(fs);
}

TEST(umount_does_not_wait_for_reads)
{
	struct rawfs *fs = fs_with_unanswered_read();

	alarm(ktap_ms(10000) / 1000);
	CHECK_EQ(umount(fs->mnt), 0);
	alarm(0);
	CHECK_ERR(rawfs_reply(fs->fd, req.in.unique, 0, "x", 1), ENOENT);
}

TEST(reclaim_does_not_wait_for_reads)
{
	RS_ONLY("the C driver evicts the inode, and waits for its folios");
	struct rawfs *fs = fs_with_unanswered_read();

	alarm(ktap_ms(10000) / 1000);
	drop_caches("3");
	drop_caches("3");
	alarm(0);
	rawfs_default(fs, &req);
	end(fs);
}

/* The child, which waits for an answer, is gone soon after it is killed. */
static void dies(pid_t pid)
{
	int status;

	usleep(300000);
	CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
	CHECK_EQ(kill(pid, SIGKILL), 0);
	alarm(ktap_ms(10000) / 1000);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	alarm(0);
	CHECK(WIFSIGNALED(status));
}

TEST(a_kill_ends_an_open_that_waits_for_a_read)
{
	RS_ONLY("waits for folios cannot be ended");
	struct rawfs *fs = fs_with_unanswered_read();
	pid_t pid = fork();

	if (pid == 0)
		_exit(open(rawfs_path(fs, "file"), O_RDONLY) < 0);
	CHECK(comes(fs, FUSE_OPEN));
	rawfs_default(fs, &other);
	dies(pid);
	rawfs_default(fs, &req);
	end(fs);
}

TEST(a_kill_ends_a_write_that_waits_for_a_write)
{
	RS_ONLY("waits for inode locks cannot be ended");
	struct rawfs *fs = ready_fs();
	pid_t pid[2];
	int fd;

	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		if (pid[i] == 0) {
			fd = open(rawfs_path(fs, "file"), O_WRONLY);
			_exit(write(fd, "x", 1) != 1);
		}
	}
	rawfs_expect(fs, &req, FUSE_WRITE);
	/* The other opens, and waits for its turn. */
	CHECK(!comes(fs, FUSE_WRITE));
	for (int i = 0; i < 2; i++)
		dies(pid[i]);
	rawfs_default(fs, &req);
	end(fs);
}

TEST(what_a_killed_open_left_undone_is_done_by_the_next)
{
	RS_ONLY("waits for folios cannot be ended");
	struct rawfs *fs = fs_with_unanswered_read();
	pid_t pid = fork();
	char buf[6];
	int fd;

	if (pid == 0)
		_exit(open(rawfs_path(fs, "file"), O_RDONLY) < 0);
	CHECK(comes(fs, FUSE_OPEN));
	rawfs_default(fs, &other);
	dies(pid);
	/* What was being read is of before the open. */
	rawfs_default(fs, &req);
	memcpy(fs->node[2].data, "HELLO", 5);
	rawfs_serve(fs);
	fs->open_flags = FOPEN_KEEP_CACHE;
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK_EQ(read(fd, buf, 5), 5);
	CHECK(!memcmp(buf, "HELLO", 5));
	close(fd);
	rawfs_stop(fs);
}

struct late_reply {
	int fd;
	struct fuse_out_header out;
	void *nowhere;
};

static void *write_reply(void *arg)
{
	struct late_reply *late = arg;
	struct iovec iov[2] = { { &late->out, sizeof(late->out) },
				{ late->nowhere, late->out.len - sizeof(late->out) } };

	if (writev(late->fd, iov, 2) >= 0)
		printf("# the reply was taken\n");
	return NULL;
}

TEST(a_reply_in_memory_that_does_not_come_holds_nobody_up)
{
	struct rawfs *fs = ready_fs();
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg;
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	pid_t pid = fork();
	struct late_reply late;
	pthread_t thread;

	if (pid == 0) {
		struct stat st;

		_exit(stat(rawfs_path(fs, "file"), &st) ? errno : 0);
	}
	CHECK(uffd >= 0);
	CHECK_EQ(ioctl(uffd, UFFDIO_API, &api), 0);
	late.nowhere = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg = (struct uffdio_register){ .range = { (unsigned long)late.nowhere, 4096 },
					.mode = UFFDIO_REGISTER_MODE_MISSING };
	CHECK_EQ(ioctl(uffd, UFFDIO_REGISTER, &reg), 0);
	rawfs_expect(fs, &req, FUSE_LOOKUP);
	late.fd = fs->fd;
	late.out = (struct fuse_out_header){ .len = sizeof(late.out) + sizeof(struct fuse_entry_out),
					     .unique = req.in.unique };
	CHECK_EQ(pthread_create(&thread, NULL, write_reply, &late), 0);
	usleep(200000);
	alarm(ktap_ms(10000) / 1000);
	/* Ends the connection; whether it also unmounts depends on who is faster. */
	umount2(fs->mnt, MNT_FORCE);
	CHECK_EQ(exit_of(pid), ECONNABORTED);
	/* Now the memory comes. */
	CHECK_EQ(ioctl(uffd, UFFDIO_UNREGISTER, &reg.range), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	alarm(0);
}

TEST(a_device_closed_before_the_mount_is_noticed)
{
	int fsfd = syscall(SYS_fsopen, rawfs_type(), 0), fd = rawfs_open(), mfd;
	char number[16];
	struct stat st;

	CHECK(fsfd >= 0);
	snprintf(number, sizeof(number), "%d", fd);
	CHECK_EQ(syscall(SYS_fsconfig, fsfd, 1, "fd", number, 0), 0);
	CHECK_EQ(syscall(SYS_fsconfig, fsfd, 1, "rootmode", "40000", 0), 0);
	CHECK_EQ(syscall(SYS_fsconfig, fsfd, 1, "user_id", "0", 0), 0);
	CHECK_EQ(syscall(SYS_fsconfig, fsfd, 1, "group_id", "0", 0), 0);
	close(fd);
	alarm(ktap_ms(10000) / 1000);
	if (!syscall(SYS_fsconfig, fsfd, 6, NULL, NULL, 0)) {
		mfd = syscall(SYS_fsmount, fsfd, 0, 0);
		CHECK(mfd >= 0);
		CHECK_ERR(fstatat(mfd, "x", &st, 0), ENOTCONN);
	}
	alarm(0);
}

TEST(a_short_read_is_the_end)
{
	struct rawfs *fs = ready_fs();
	pid_t pid;

	fs->node[2].size = 60000;
	pid = fork();
	if (pid == 0) {
		static char buf[100000];
		int fd = open(rawfs_path(fs, "file"), O_RDONLY);

		CHECK_EQ(read(fd, buf, 20000), 10);
		_exit(0);
	}
	rawfs_expect(fs, &req, FUSE_READ);
	rawfs_reply(fs->fd, req.in.unique, 0, "0123456789", 10);
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_stop(fs);
}

TEST(servers_without_async_read_get_one_at_a_time)
{
	struct rawfs *fs = rawfs_new();
	pid_t pid;

	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 31,
					       .max_readahead = 131072,
					       .max_write = 131072,
					       .max_pages = 4,
					       .flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES };
	fs->entry_valid = fs->attr_valid = 1000;
	rawfs_start_manual(fs, "");
	rawfs_handshake(fs);
	fs->node[2].size = 65536;
	pid = read_ahead(fs);
	for (int i = 0; i < 4; i++) {
		rawfs_expect(fs, &req, FUSE_READ);
		CHECK_EQ(((struct fuse_read_in *)req.body)->offset, i * 16384);
		CHECK_EQ(((struct fuse_read_in *)req.body)->size, 16384);
		if (i < 3)
			CHECK(!comes(fs, FUSE_READ));
		rawfs_default(fs, &req);
	}
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_stop(fs);
}

TEST(servers_without_parallel_dirops_get_one_at_a_time)
{
	struct rawfs *fs = ready_fs();
	pid_t pid[2];

	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		if (pid[i] == 0) {
			struct stat st;

			_exit(stat(rawfs_path(fs, i ? "file" : "dir"), &st) ? 1 : 0);
		}
	}
	rawfs_expect(fs, &req, FUSE_LOOKUP);
	CHECK(!comes(fs, FUSE_LOOKUP));
	rawfs_default(fs, &req);
	CHECK(comes(fs, FUSE_LOOKUP));
	rawfs_default(fs, &other);
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid[0]), 0);
	CHECK_EQ(exit_of(pid[1]), 0);
	rawfs_stop(fs);
}

TEST(max_readahead_is_kept)
{
	struct rawfs *fs = rawfs_new();
	char byte;
	int fd;

	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 31,
					       .max_write = 131072,
					       .max_pages = 32,
					       .flags = FUSE_ASYNC_READ | FUSE_MAX_PAGES };
	fs->entry_valid = fs->attr_valid = 1000;
	rawfs_start(fs, "");
	fs->node[2].size = 262144;
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(pread(fd, &byte, 1, i * 4096), 1);
	CHECK_EQ(fs->count[FUSE_READ], 8);
	close(fd);
	rawfs_stop(fs);
}

TEST(fuseblk_servers_are_told_of_the_end)
{
	struct rawfs *fs = rawfs_new();
	unsigned long before;

	/* For the tree of a started server; the mount itself is made again below. */
	rawfs_start(fs, "");
	rawfs_stop(fs);
	before = fs->count[FUSE_INIT];
	rawfs_restart_on_disk(fs, ",blksize=1024");
	CHECK_EQ(fs->count[FUSE_DESTROY], 0);
	EVENTUALLY(fs->count[FUSE_INIT] == before + 1);
	CHECK_EQ(umount(fs->mnt), 0);
	CHECK_EQ(fs->count[FUSE_DESTROY], 1);
}
