// SPDX-License-Identifier: GPL-2.0
/* Targets of symbolic links that the server lets be cached (CACHE_SYMLINKS). */
#include <fcntl.h>
#include <sys/stat.h>
#include "notify.h"

#define LINK_NODE 4

static struct rawfs *start(uint64_t flags)
{
	struct rawfs *fs = rawfs_wanting(flags);

	rawfs_start(fs, "");
	return fs;
}

static void retarget(struct rawfs *fs, const char *target)
{
	strcpy(fs->node[LINK_NODE].data, target);
	fs->node[LINK_NODE].size = strlen(target);
}

/* Reads the link, and says whether the server was asked. */
static bool is_asked(struct rawfs *fs, const char *target)
{
	unsigned long before = fs->count[FUSE_READLINK];
	char buf[8192];
	ssize_t len = readlink(rawfs_path(fs, "link"), buf, sizeof(buf));

	CHECK_EQ(len, strlen(target));
	CHECK(!memcmp(buf, target, len));
	return fs->count[FUSE_READLINK] != before;
}

TEST(a_target_is_asked_for_once)
{
	struct rawfs *fs = start(FUSE_CACHE_SYMLINKS);
	struct stat st;

	CHECK(is_asked(fs, "file"));
	CHECK(fs->init_in.flags & FUSE_CACHE_SYMLINKS);
	CHECK(!is_asked(fs, "file"));
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(stat(rawfs_path(fs, "link"), &st), 0);
		CHECK_EQ(st.st_ino, 2);
	}
	CHECK_EQ(fs->count[FUSE_READLINK], 1);
	rawfs_stop(fs);
}

TEST(a_walk_keeps_the_target_too)
{
	struct rawfs *fs = start(FUSE_CACHE_SYMLINKS);
	struct stat st;

	CHECK_EQ(stat(rawfs_path(fs, "link"), &st), 0);
	CHECK_EQ(fs->count[FUSE_READLINK], 1);
	CHECK(!is_asked(fs, "file"));
	rawfs_stop(fs);
}

TEST(each_target_is_asked_for_without_the_flag)
{
	struct rawfs *fs = start(0);

	CHECK(is_asked(fs, "file"));
	CHECK(is_asked(fs, "file"));
	rawfs_stop(fs);
}

TEST(a_long_target_is_kept)
{
	struct rawfs *fs = start(FUSE_CACHE_SYMLINKS);
	char target[4096];

	memset(target, 'x', 4095);
	target[4095] = 0;
	retarget(fs, target);
	CHECK(is_asked(fs, target));
	CHECK(!is_asked(fs, target));
	rawfs_stop(fs);
}

TEST(a_stale_target_is_asked_for_again)
{
	struct rawfs *fs = start(FUSE_CACHE_SYMLINKS);

	CHECK(is_asked(fs, "file"));
	retarget(fs, "other");
	CHECK_EQ(notify_inval_inode(fs, LINK_NODE, 0, 0), 0);
	CHECK(is_asked(fs, "other"));
	CHECK(!is_asked(fs, "other"));
	rawfs_stop(fs);
}

TEST(stale_attributes_alone_leave_the_target)
{
	struct rawfs *fs = start(FUSE_CACHE_SYMLINKS);

	CHECK(is_asked(fs, "file"));
	CHECK_EQ(notify_inval_inode(fs, LINK_NODE, -1, 0), 0);
	CHECK(!is_asked(fs, "file"));
	rawfs_stop(fs);
}

TEST(a_target_of_another_size_or_mtime_is_asked_for_again)
{
	RS_ONLY("the C driver keeps the target");
	struct rawfs *fs = start(FUSE_CACHE_SYMLINKS);
	struct stat st;

	CHECK(is_asked(fs, "file"));
	retarget(fs, "elif");
	fs->node[LINK_NODE].mtime = 77;
	CHECK_EQ(notify_inval_inode(fs, LINK_NODE, -1, 0), 0);
	CHECK_EQ(lstat(rawfs_path(fs, "link"), &st), 0);
	CHECK(is_asked(fs, "elif"));
	retarget(fs, "longer");
	CHECK_EQ(notify_inval_inode(fs, LINK_NODE, -1, 0), 0);
	CHECK_EQ(lstat(rawfs_path(fs, "link"), &st), 0);
	CHECK(is_asked(fs, "longer"));
	rawfs_stop(fs);
}

TEST(a_target_dropped_from_memory_is_asked_for_again)
{
	struct rawfs *fs = start(FUSE_CACHE_SYMLINKS);

	CHECK(is_asked(fs, "file"));
	drop_caches("1");
	CHECK(is_asked(fs, "file"));
	CHECK(!is_asked(fs, "file"));
	rawfs_stop(fs);
}

static bool went_stale(struct rawfs *fs, struct rawfs_req *req)
{
	if (req->in.opcode != FUSE_READLINK || fs->count[FUSE_READLINK] > 1)
		return false;
	CHECK_EQ(notify_inval_inode(fs, LINK_NODE, 0, 0), 0);
	return false;
}

TEST(a_target_that_went_stale_while_it_was_asked_for_is_not_kept)
{
	RS_ONLY("the C driver waits for the answer in the notification");
	struct rawfs *fs = rawfs_wanting(FUSE_CACHE_SYMLINKS);

	fs->hook = went_stale;
	rawfs_start(fs, "");
	CHECK(is_asked(fs, "file"));
	CHECK(is_asked(fs, "file"));
	CHECK(!is_asked(fs, "file"));
	rawfs_stop(fs);
}
