// SPDX-License-Identifier: GPL-2.0
/* Which attributes are asked for again, and when. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "record.h"

#define BUT_ATIME (STATX_BASIC_STATS & ~STATX_ATIME)

static struct rawfs *fs;

static void start(const char *more)
{
	fs = rawfs_wanting(0);
	rawfs_start(fs, more);
}

/* Whether the server is asked for attributes when these are wanted. */
static bool asks(const char *name, unsigned int mask, int flags)
{
	unsigned long before = fs->count[FUSE_GETATTR] + fs->count[FUSE_STATX];
	struct statx stx;

	CHECK_EQ(statx(AT_FDCWD, rawfs_path(fs, name), AT_SYMLINK_NOFOLLOW | flags, mask, &stx), 0);
	return fs->count[FUSE_GETATTR] + fs->count[FUSE_STATX] != before;
}

TEST(a_write_changes_what_goes_with_data)
{
	int fd;

	start("");
	fd = open(rawfs_path(fs, "file"), O_RDWR);
	CHECK_EQ(write(fd, "new", 3), 3);
	CHECK(!asks("file", STATX_TYPE | STATX_MODE | STATX_UID | STATX_GID | STATX_NLINK, 0));
	CHECK(asks("file", STATX_MTIME, 0));
	CHECK(!asks("file", BUT_ATIME, 0));
	CHECK_EQ(write(fd, "new", 3), 3);
	CHECK(asks("file", STATX_SIZE, 0));
	close(fd);
	rawfs_stop(fs);
}

TEST(reading_changes_the_time_of_access)
{
	char buf[16];
	int fd;

	start("");
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK(!asks("file", STATX_BASIC_STATS, 0));
	CHECK_EQ(read(fd, buf, 5), 5);
	CHECK(!asks("file", BUT_ATIME, 0));
	CHECK(asks("file", STATX_ATIME, 0));
	CHECK(!asks("file", STATX_ATIME, 0));
	/* From the cache nothing is read. */
	CHECK_EQ(pread(fd, buf, 5, 0), 5);
	CHECK(!asks("file", STATX_ATIME, 0));
	close(fd);
	rawfs_stop(fs);
}

static void reads_past_the_cache(int flags, size_t len)
{
	int fd = open(rawfs_path(fs, "file"), O_RDONLY | flags);
	void *buf = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(fd >= 0 && buf != MAP_FAILED);
	CHECK(!asks("file", STATX_BASIC_STATS, 0));
	CHECK(pread(fd, buf, len, 0) > 0);
	CHECK(!asks("file", BUT_ATIME, 0));
	CHECK(asks("file", STATX_ATIME, 0));
	CHECK(!asks("file", STATX_ATIME, 0));
	munmap(buf, len);
	close(fd);
}

TEST(reading_past_the_cache_changes_the_time_of_access)
{
	fs = rawfs_wanting(FUSE_ASYNC_DIO);
	rawfs_start(fs, "");
	CHECK_EQ(truncate(rawfs_path(fs, "file"), RAWFS_DATA), 0);
	reads_past_the_cache(O_DIRECT, 4096);
	/* In several requests at a time. */
	reads_past_the_cache(O_DIRECT, RAWFS_DATA);
	fs->open_flags = FOPEN_DIRECT_IO;
	reads_past_the_cache(0, 4096);
	rawfs_stop(fs);
}

TEST(listing_changes_the_time_of_access)
{
	DIR *d;

	start("");
	CHECK(!asks("dir", STATX_BASIC_STATS, 0));
	d = opendir(rawfs_path(fs, "dir"));
	CHECK(d && readdir(d));
	closedir(d);
	CHECK(!asks("dir", BUT_ATIME, 0));
	CHECK(asks("dir", STATX_ATIME, 0));
	rawfs_stop(fs);
}

TEST(following_changes_the_time_of_access)
{
	char buf[16];

	start("");
	CHECK(readlink(rawfs_path(fs, "link"), buf, sizeof(buf)) > 0);
	CHECK(!asks("link", BUT_ATIME, 0));
	CHECK(asks("link", STATX_ATIME, 0));
	rawfs_stop(fs);
}

TEST(no_time_of_access_changes_on_a_read_only_mount)
{
	char buf[16];

	start("");
	CHECK_EQ(mount(NULL, fs->mnt, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	CHECK(readlink(rawfs_path(fs, "link"), buf, sizeof(buf)) > 0);
	CHECK(!asks("link", STATX_BASIC_STATS, 0));
	rawfs_stop(fs);
}

TEST(new_names_change_what_goes_with_names)
{
	start("");
	CHECK_EQ(mkdir(rawfs_path(fs, "dir/new"), 0755), 0);
	CHECK(!asks("dir", STATX_TYPE | STATX_MODE | STATX_UID | STATX_GID | STATX_ATIME, 0));
	CHECK(asks("dir", STATX_NLINK, 0));
	CHECK_EQ(rmdir(rawfs_path(fs, "dir/new")), 0);
	CHECK(asks("dir", STATX_MTIME, 0));
	rawfs_stop(fs);
}

TEST(permissions_do_not_go_with_names)
{
	unsigned long before;

	start(",default_permissions");
	CHECK_EQ(mkdir(rawfs_path(fs, "dir/a"), 0755), 0);
	before = fs->count[FUSE_GETATTR];
	CHECK_EQ(mkdir(rawfs_path(fs, "dir/b"), 0755), 0);
	CHECK_EQ(mkdir(rawfs_path(fs, "dir/c"), 0755), 0);
	CHECK_EQ(fs->count[FUSE_GETATTR], before);
	rawfs_stop(fs);
}

TEST(a_removed_name_changes_links_and_ctime)
{
	unsigned long before;
	struct statx stx;
	int fd;

	start("");
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK(fd >= 0);
	CHECK_EQ(unlink(rawfs_path(fs, "file")), 0);
	before = fs->count[FUSE_GETATTR];
	CHECK_EQ(statx(fd, "", AT_EMPTY_PATH, STATX_SIZE | STATX_MTIME, &stx), 0);
	CHECK_EQ(fs->count[FUSE_GETATTR], before);
	CHECK_EQ(statx(fd, "", AT_EMPTY_PATH, STATX_CTIME, &stx), 0);
	CHECK_EQ(fs->count[FUSE_GETATTR], before + 1);
	close(fd);
	rawfs_stop(fs);
}

TEST(after_their_time_any_are_asked_for)
{
	start("");
	fs->attr_valid = 0;
	CHECK_EQ(access(rawfs_path(fs, "file"), F_OK), 0);
	CHECK(asks("file", STATX_MODE, 0));
	CHECK(asks("file", STATX_ATIME, 0));
	CHECK(!asks("file", 0, 0));
	rawfs_stop(fs);
}

TEST(a_caller_may_insist_or_not_care)
{
	start("");
	CHECK_EQ(access(rawfs_path(fs, "file"), F_OK), 0);
	CHECK(!asks("file", STATX_BASIC_STATS, 0));
	CHECK(asks("file", STATX_MODE, AT_STATX_FORCE_SYNC));
	CHECK(!asks("file", 0, AT_STATX_FORCE_SYNC));
	CHECK_EQ(truncate(rawfs_path(fs, "file"), 1), 0);
	fs->attr_valid = 0;
	CHECK(asks("file", STATX_SIZE, AT_STATX_FORCE_SYNC));
	CHECK(!asks("file", STATX_SIZE, AT_STATX_DONT_SYNC));
	CHECK(!asks("file", STATX_BTIME, AT_STATX_DONT_SYNC));
	CHECK(asks("file", STATX_SIZE, 0));
	rawfs_stop(fs);
}

/* A server with STATX that knows the time of birth. */
static bool serve_statx(struct rawfs *server, struct rawfs_req *req)
{
	struct fuse_statx_out out = { .attr_valid = server->attr_valid };
	struct fuse_entry_out entry;

	if (req->in.opcode != FUSE_STATX)
		return false;
	rawfs_entry(server, req->in.nodeid, &entry);
	out.stat.mask = STATX_BASIC_STATS | STATX_BTIME;
	out.stat.ino = entry.attr.ino;
	out.stat.mode = entry.attr.mode;
	out.stat.nlink = entry.attr.nlink;
	out.stat.size = entry.attr.size;
	out.stat.btime.tv_sec = 99;
	rawfs_reply(server->fd, req->in.unique, 0, &out, sizeof(out));
	return true;
}

TEST(the_time_of_birth_alone_is_asked_for)
{
	fs = rawfs_wanting(0);
	fs->hook = serve_statx;
	rawfs_start(fs, "");
	CHECK(asks("file", STATX_BTIME, 0));
	CHECK_EQ(fs->count[FUSE_STATX], 1);
	/* All attributes came with it, and will do until their time is over. */
	CHECK(!asks("file", STATX_BTIME | STATX_BASIC_STATS, 0));
	CHECK(asks("file", STATX_BTIME, AT_STATX_FORCE_SYNC));
	fs->attr_valid = 0;
	CHECK(asks("file", STATX_BTIME, AT_STATX_FORCE_SYNC));
	CHECK(asks("file", STATX_BTIME, 0));
	rawfs_stop(fs);
}

static bool hold(struct rawfs *server, struct rawfs_req *req)
{
	struct fuse_attr_out out = { .attr_valid = 1000 };
	struct fuse_entry_out entry;

	if (req->in.opcode != FUSE_GETATTR || server->count[FUSE_GETATTR] != 1)
		return false;
	/* What the directory is like before it is changed, told after that. */
	rawfs_entry(server, req->in.nodeid, &entry);
	out.attr = entry.attr;
	struct rawfs_req *next = malloc(sizeof(*next));

	rawfs_expect(server, next, FUSE_MKDIR);
	rawfs_default(server, next);
	free(next);
	/* The maker goes on before the answer is sent. */
	while (!server->arg)
		usleep(1000);
	rawfs_reply(server->fd, req->in.unique, 0, &out, sizeof(out));
	return true;
}

TEST(attributes_from_before_a_change_are_not_believed)
{
	RS_ONLY("the C driver believes them");
	struct statx stx;
	pid_t pid;

	fs = rawfs_wanting(0);
	fs->hook = hold;
	rawfs_start(fs, "");
	CHECK(!asks("dir", STATX_BASIC_STATS, 0));
	pid = fork();
	if (pid == 0)
		_exit(statx(AT_FDCWD, rawfs_path(fs, "dir"), AT_STATX_FORCE_SYNC,
			    STATX_BASIC_STATS, &stx));
	EVENTUALLY(fs->count[FUSE_GETATTR] == 1);
	CHECK_EQ(mkdir(rawfs_path(fs, "dir/new"), 0755), 0);
	fs->arg = fs;
	CHECK_EQ(exit_of(pid), 0);
	CHECK(asks("dir", STATX_NLINK, 0) || fs->count[FUSE_GETATTR] > 1);
	rawfs_stop(fs);
}
