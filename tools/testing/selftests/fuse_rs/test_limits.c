// SPDX-License-Identifier: GPL-2.0
/* How large requests may be and how long they may take: /proc/sys/fs/fuse, and INIT. */
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <time.h>
#include "rawfs.h"

#define MAX_PAGES 1024
#define LARGE (MAX_PAGES * 4096)

TEST(limits_have_bounds)
{
	CHECK_EQ(set_limit("max_pages_limit", 0), -1u);
	CHECK_EQ(set_limit("max_pages_limit", 65536), -1u);
	CHECK_EQ(set_limit("max_pages_limit", 256), 256);
	CHECK_EQ(set_limit("default_request_timeout", 65536), -1u);
	CHECK_EQ(set_limit("default_request_timeout", 0), 0);
	CHECK_EQ(set_limit("max_request_timeout", 65536), -1u);
	CHECK_EQ(set_limit("max_request_timeout", 0), 0);
}

/* A server that takes requests as large as can be. */
static struct rawfs *large_fs(unsigned int limit)
{
	struct rawfs *fs = rawfs_new();
	unsigned int before = set_limit("max_pages_limit", limit);

	fs->open_flags = FOPEN_DIRECT_IO | FOPEN_NOFLUSH;
	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 36,
					       .max_readahead = 131072,
					       .max_write = LARGE,
					       .max_pages = 65535,
					       .flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES };
	rawfs_start_manual(fs, "");
	rawfs_handshake(fs);
	set_limit("max_pages_limit", before);
	return fs;
}

static char *buffer(size_t len)
{
	char *mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(mem != MAP_FAILED);
	return mem;
}

/* Reads requests with room for large ones until one has this opcode. */
static struct rawfs_req *large_request(struct rawfs *fs, uint32_t opcode)
{
	struct rawfs_req *req = (void *)buffer(LARGE + sizeof(*req));

	for (;;) {
		ssize_t len = read(fs->fd, req, LARGE + 8192);

		CHECK(len >= (ssize_t)sizeof(req->in));
		if (req->in.opcode == opcode)
			return req;
		rawfs_default(fs, req);
	}
}

static pid_t writes_and_reads(struct rawfs *fs)
{
	pid_t pid = fork();

	if (pid == 0) {
		char *mem = buffer(LARGE);
		int fd = open(rawfs_path(fs, "file"), O_RDWR);

		close(fs->fd);
		memset(mem, 'w', LARGE);
		CHECK_EQ(pwrite(fd, mem, LARGE, 0), LARGE);
		CHECK_EQ(pread(fd, mem, LARGE, 0), LARGE);
		for (int i = 0; i < LARGE; i++)
			CHECK_EQ(mem[i], 'r');
		_exit(0);
	}
	return pid;
}

TEST(requests_are_as_large_as_the_administrator_allows)
{
	struct rawfs *fs = large_fs(MAX_PAGES);
	pid_t pid = writes_and_reads(fs);
	struct rawfs_req *req = large_request(fs, FUSE_WRITE);
	struct fuse_write_in *in = (void *)req->body;
	struct fuse_write_out out = { .size = in->size };

	CHECK_EQ(in->size, LARGE);
	for (int i = 0; i < LARGE; i++)
		CHECK_EQ(((char *)(in + 1))[i], 'w');
	CHECK(rawfs_reply(fs->fd, req->in.unique, 0, &out, sizeof(out)) > 0);
	req = large_request(fs, FUSE_READ);
	CHECK_EQ(((struct fuse_read_in *)req->body)->size, LARGE);
	memset((char *)req + sizeof(*req), 'r', LARGE);
	CHECK(rawfs_reply(fs->fd, req->in.unique, 0, (char *)req + sizeof(*req), LARGE) > 0);
	CHECK_EQ(exit_of(pid), 0);
	close(fs->fd);
	CHECK_EQ(umount2(fs->mnt, MNT_DETACH), 0);
}

TEST(requests_are_no_larger_than_the_administrator_allows)
{
	struct rawfs *fs = large_fs(16);
	pid_t pid = writes_and_reads(fs);
	struct rawfs_req *req = large_request(fs, FUSE_WRITE);

	CHECK_EQ(((struct fuse_write_in *)req->body)->size, 16 * 4096);
	/* It is not to hear of the end of the connection. */
	CHECK_EQ(kill(pid, SIGKILL), 0);
	close(fs->fd);
	kill_child(pid);
	CHECK_EQ(umount2(fs->mnt, MNT_DETACH), 0);
}

/* A server that may say how long it takes; nothing but INIT is answered. */
static struct rawfs *slow_fs(uint16_t timeout)
{
	struct rawfs *fs = rawfs_new();

	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 46,
					       .max_readahead = 131072,
					       .max_write = 4096,
					       .flags = FUSE_INIT_EXT,
					       .flags2 = FUSE_REQUEST_TIMEOUT >> 32,
					       .request_timeout = timeout };
	rawfs_start_manual(fs, "");
	rawfs_handshake(fs);
	return fs;
}

/* A server in a process of its own, which has a mount point of its own; it ends with what stat gave. */
static pid_t asked_in_vain(uint16_t timeout)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct rawfs *fs = slow_fs(timeout);
		int error = exit_of(stat_in_child(fs, "file"));

		umount2(fs->mnt, MNT_DETACH);
		rmdir(fs->mnt);
		_exit(error);
	}
	return pid;
}

TEST(an_overdue_request_ends_its_connection)
{
	time_t start = time(NULL);
	pid_t said, by_default;
	unsigned int before;
	struct rawfs *fs;

	RS_ONLY("looks every 15 seconds");
	before = set_limit("default_request_timeout", 15);
	fs = slow_fs(0);
	set_limit("default_request_timeout", before);
	by_default = stat_in_child(fs, "file");
	/* Fewer seconds than 15 are as many. */
	said = asked_in_vain(1);
	CHECK_EQ(exit_of(by_default), ECONNABORTED);
	CHECK_EQ(exit_of(said), ECONNABORTED);
	CHECK(time(NULL) - start >= 14);
}
