// SPDX-License-Identifier: GPL-2.0
/* The handshake. */
#include <fcntl.h>
#include <sys/mount.h>
#include "rawfs.h"

TEST(request_says_what_we_are)
{
	struct rawfs *fs = rawfs_new();
	struct rawfs_req *req = calloc(1, sizeof(*req));
	struct fuse_init_in *in = (void *)req->body;

	rawfs_start_manual(fs, "");
	CHECK(rawfs_read(fs->fd, req));
	CHECK_EQ(req->in.opcode, FUSE_INIT);
	CHECK_EQ(req->in.len, sizeof(req->in) + sizeof(*in));
	CHECK_EQ(req->in.uid, 0);
	CHECK_EQ(in->major, 7);
	CHECK(in->minor >= 46);
	CHECK(in->max_readahead >= 4096);
	CHECK(in->flags & FUSE_BIG_WRITES);
	CHECK(in->flags & FUSE_MAX_PAGES);
	CHECK(in->flags & FUSE_INIT_EXT);
	rawfs_init(fs, req);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

static void with_minor(uint32_t minor, size_t len)
{
	struct rawfs *fs = rawfs_new();
	struct stat st;
	int fd;

	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = minor,
					       .max_readahead = 65536,
					       .max_write = 65536,
					       .flags = FUSE_BIG_WRITES };
	fs->init_len = len;
	rawfs_start(fs, "");
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(st.st_size, 12);
	fd = open(rawfs_path(fs, "new"), O_CREAT | O_WRONLY, 0644);
	CHECK(fd >= 0);
	CHECK_EQ(write(fd, "abc", 3), 3);
	close(fd);
	rawfs_stop(fs);
}

TEST(minor_12_with_24_bytes)
{
	with_minor(12, 24);
}

TEST(minor_22_with_24_bytes)
{
	with_minor(22, 24);
}

TEST(minor_23)
{
	with_minor(23, 64);
}

TEST(minor_46)
{
	with_minor(46, 64);
}

TEST(minor_above_ours)
{
	with_minor(99, 64);
}

/* A connection that did not come about gives errors and can be unmounted. */
static void refused(struct fuse_init_out out, size_t len)
{
	struct rawfs *fs = rawfs_new();
	struct rawfs_req *req = calloc(1, sizeof(*req));
	struct stat st;

	rawfs_start_manual(fs, "");
	CHECK(rawfs_read(fs->fd, req));
	rawfs_reply(fs->fd, req->in.unique, 0, &out, len);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), -1);
	CHECK(errno == ENOTCONN || errno == ECONNABORTED || errno == ECONNREFUSED);
	CHECK_EQ(umount(fs->mnt), 0);
}

TEST(other_major_is_refused)
{
	refused((struct fuse_init_out){ .major = 6, .minor = 31 }, 64);
}

TEST(short_reply_is_refused)
{
	RS_ONLY("C takes what is missing for zeros");
	refused((struct fuse_init_out){ .major = 7, .minor = 31 }, 4);
}

TEST(error_is_refused)
{
	struct rawfs *fs = rawfs_new();
	struct rawfs_req *req = calloc(1, sizeof(*req));
	struct stat st;

	rawfs_start_manual(fs, "");
	CHECK(rawfs_read(fs->fd, req));
	rawfs_reply(fs->fd, req->in.unique, EPERM, NULL, 0);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), -1);
	CHECK_EQ(umount(fs->mnt), 0);
}

TEST(absurd_limits)
{
	struct rawfs *fs = rawfs_new();
	char buf[8192] = { 1 };
	int fd;

	RS_ONLY("C then wants read buffers of 4 GiB");

	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 40,
					       .max_readahead = UINT32_MAX,
					       .flags = UINT32_MAX & ~FUSE_WRITEBACK_CACHE &
							~FUSE_POSIX_ACL & ~FUSE_DO_READDIRPLUS &
							~FUSE_MAP_ALIGNMENT,
					       .max_background = UINT16_MAX,
					       .congestion_threshold = UINT16_MAX,
					       .max_write = UINT32_MAX,
					       .time_gran = UINT32_MAX,
					       .max_pages = UINT16_MAX };
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "new"), O_CREAT | O_RDWR, 0644);
	CHECK(fd >= 0);
	CHECK_EQ(write(fd, buf, sizeof(buf)), sizeof(buf));
	CHECK_EQ(pread(fd, buf, sizeof(buf), 0), sizeof(buf));
	close(fd);
	rawfs_stop(fs);
}

static uint32_t largest_write;

static bool note_write(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_write_in *in = (void *)req->body;

	if (req->in.opcode == FUSE_WRITE && in->size > largest_write)
		largest_write = in->size;
	return false;
}

TEST(max_write_is_at_least_4096)
{
	struct rawfs *fs = rawfs_new();
	static char buf[20000];
	int fd;

	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 31,
					       .max_write = 1,
					       .flags = FUSE_BIG_WRITES };
	fs->hook = note_write;
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "new"), O_CREAT | O_RDWR, 0644);
	CHECK_EQ(write(fd, buf, sizeof(buf)), sizeof(buf));
	CHECK_EQ(largest_write, 4096);
	close(fd);
	rawfs_stop(fs);
}

TEST(max_write_is_kept)
{
	struct rawfs *fs = rawfs_new();
	static char buf[100000];
	int fd;

	memset(buf, 1, sizeof(buf));
	fs->hook = note_write;
	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 31,
					       .max_write = 16384,
					       .max_pages = 32,
					       .flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES };
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "new"), O_CREAT | O_RDWR, 0644);
	CHECK_EQ(write(fd, buf, sizeof(buf)), sizeof(buf));
	CHECK_EQ(largest_write, 16384);
	close(fd);
	rawfs_stop(fs);
}

TEST(requests_wait_for_the_handshake_and_are_killable)
{
	struct rawfs *fs = rawfs_new();
	struct rawfs_req *req = calloc(1, sizeof(*req));
	int status;
	pid_t pid;

	rawfs_start_manual(fs, "");
	CHECK(rawfs_read(fs->fd, req));
	pid = fork();
	if (pid == 0) {
		struct stat st;

		_exit(stat(rawfs_path(fs, "file"), &st) ? 1 : 0);
	}
	usleep(200000);
	CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
	kill_child(pid);
	rawfs_init(fs, req);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(close_before_the_answer_ends_the_wait)
{
	struct rawfs *fs = rawfs_new();
	struct rawfs_req *req = calloc(1, sizeof(*req));
	int status;
	pid_t pid;

	rawfs_start_manual(fs, "");
	pid = fork();
	if (pid == 0) {
		struct stat st;

		close(fs->fd);
		_exit(stat(rawfs_path(fs, "file"), &st) ? errno : 0);
	}
	CHECK(rawfs_read(fs->fd, req));
	usleep(100000);
	close(fs->fd);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	CHECK(WEXITSTATUS(status) == ENOTCONN || WEXITSTATUS(status) == ECONNABORTED);
	CHECK_EQ(umount(fs->mnt), 0);
}
