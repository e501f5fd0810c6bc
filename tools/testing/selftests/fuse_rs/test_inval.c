// SPDX-License-Identifier: GPL-2.0
/* Which changes of attributes make cached data stale. */
#include <fcntl.h>
#include <sys/stat.h>
#include "notify.h"

#define SIZE 12288

static int fd;

/* A file of three pages, all of them cached. */
static struct rawfs *start(uint64_t flags)
{
	struct rawfs *fs = rawfs_wanting(flags);
	char buf[SIZE];

	fs->open_flags = FOPEN_KEEP_CACHE;
	rawfs_start(fs, "");
	fs->node[2].size = SIZE;
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK(fd >= 0);
	CHECK_EQ(pread(fd, buf, SIZE, 0), SIZE);
	return fs;
}

/* The server's attributes become known. */
static void look(struct rawfs *fs)
{
	struct stat st;

	CHECK_EQ(notify_inval_inode(fs, 2, -1, 0), 0);
	CHECK_EQ(fstat(fd, &st), 0);
}

/* Whether the server is asked for the first bytes. */
static bool is_read_again(struct rawfs *fs)
{
	unsigned long before = fs->count[FUSE_READ];
	char buf[16];

	CHECK_EQ(pread(fd, buf, 16, 0), 16);
	return fs->count[FUSE_READ] != before;
}

static void stop(struct rawfs *fs)
{
	close(fd);
	rawfs_stop(fs);
}

TEST(another_mtime_is_other_data_with_auto_inval_data)
{
	struct rawfs *fs = start(FUSE_AUTO_INVAL_DATA);

	look(fs);
	CHECK(!is_read_again(fs));
	fs->node[2].mtime = 77;
	look(fs);
	CHECK(is_read_again(fs));
	stop(fs);
}

TEST(another_mtime_alone_is_the_same_data_without_it)
{
	struct rawfs *fs = start(0);

	fs->node[2].mtime = 77;
	look(fs);
	CHECK(!is_read_again(fs));
	stop(fs);
}

TEST(another_size_is_other_data)
{
	struct rawfs *fs = start(0);

	fs->node[2].size = SIZE + 1;
	look(fs);
	CHECK(is_read_again(fs));
	fs->node[2].size = SIZE;
	look(fs);
	CHECK(is_read_again(fs));
	stop(fs);
}

TEST(another_size_is_the_same_data_with_explicit_inval_data)
{
	struct rawfs *fs = start(FUSE_EXPLICIT_INVAL_DATA);

	CHECK(fs->init_in.flags & FUSE_EXPLICIT_INVAL_DATA);
	fs->node[2].size = SIZE + 1;
	fs->node[2].mtime = 77;
	look(fs);
	CHECK(!is_read_again(fs));
	stop(fs);
}

TEST(data_behind_a_new_end_is_dropped_with_explicit_inval_data)
{
	struct rawfs *fs = start(FUSE_EXPLICIT_INVAL_DATA);
	unsigned long before;
	char buf[16];

	fs->node[2].size = 4096;
	look(fs);
	CHECK(!is_read_again(fs));
	fs->node[2].size = SIZE;
	memset(fs->node[2].data + 8192, 'n', 16);
	look(fs);
	before = fs->count[FUSE_READ];
	CHECK_EQ(pread(fd, buf, 16, 8192), 16);
	CHECK_EQ(buf[0], 'n');
	CHECK(fs->count[FUSE_READ] > before);
	stop(fs);
}

TEST(explicit_inval_data_leaves_it_to_the_server)
{
	struct rawfs *fs = start(FUSE_EXPLICIT_INVAL_DATA);

	CHECK_EQ(notify_inval_inode(fs, 2, 0, 0), 0);
	CHECK(is_read_again(fs));
	stop(fs);
}

TEST(auto_inval_data_excludes_explicit_inval_data)
{
	struct rawfs *fs = start(FUSE_AUTO_INVAL_DATA | FUSE_EXPLICIT_INVAL_DATA);

	fs->node[2].size = SIZE + 1;
	look(fs);
	CHECK(is_read_again(fs));
	fs->node[2].mtime = 77;
	look(fs);
	CHECK(is_read_again(fs));
	stop(fs);
}
