// SPDX-License-Identifier: GPL-2.0
/* What a server says once that it does not have (ENOSYS) is not asked for again. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "rawfs.h"

static uint32_t lacking;

static bool lacks(struct rawfs *fs, struct rawfs_req *req)
{
	if (req->in.opcode != lacking)
		return false;
	rawfs_reply(fs->fd, req->in.unique, ENOSYS, NULL, 0);
	return true;
}

static struct rawfs *without(uint32_t opcode)
{
	struct rawfs *fs = rawfs_new();

	lacking = opcode;
	fs->hook = lacks;
	rawfs_start(fs, "");
	return fs;
}

TEST(without_open_files_are_open)
{
	struct rawfs *fs = without(FUSE_OPEN);
	char buf[16];

	for (int i = 0; i < 3; i++) {
		int fd = open(rawfs_path(fs, "file"), O_RDWR);

		CHECK(fd >= 0);
		CHECK_EQ(pread(fd, buf, 5, 0), 5);
		CHECK_EQ(pwrite(fd, buf, 5, 0), 5);
		close(fd);
	}
	CHECK_EQ(fs->count[FUSE_OPEN], 1);
	rawfs_stop(fs);
	CHECK_EQ(fs->count[FUSE_RELEASE], 0);
}

TEST(without_open_cached_data_stays)
{
	struct rawfs *fs = without(FUSE_OPEN);
	char buf[16];

	fs->entry_valid = fs->attr_valid = 1000;
	for (int i = 0; i < 3; i++) {
		int fd = open(rawfs_path(fs, "file"), O_RDONLY);

		CHECK_EQ(pread(fd, buf, 5, 0), 5);
		close(fd);
	}
	CHECK_EQ(fs->count[FUSE_READ], 1);
	rawfs_stop(fs);
}

TEST(without_opendir_directories_are_open)
{
	struct rawfs *fs = without(FUSE_OPENDIR);

	for (int i = 0; i < 3; i++) {
		DIR *d = opendir(fs->mnt);

		CHECK(d && readdir(d));
		closedir(d);
	}
	CHECK_EQ(fs->count[FUSE_OPENDIR], 1);
	rawfs_stop(fs);
	CHECK_EQ(fs->count[FUSE_RELEASEDIR], 0);
}

TEST(without_flush_closing_works)
{
	struct rawfs *fs = without(FUSE_FLUSH);

	for (int i = 0; i < 3; i++) {
		int fd = open(rawfs_path(fs, "file"), O_RDONLY);

		CHECK(fd >= 0);
		CHECK_EQ(close(fd), 0);
	}
	CHECK_EQ(fs->count[FUSE_FLUSH], 1);
	rawfs_stop(fs);
}

TEST(without_fsync_all_is_durable)
{
	struct rawfs *fs = without(FUSE_FSYNC);
	int fd = open(rawfs_path(fs, "file"), O_RDWR), dir = open(fs->mnt, O_RDONLY);

	for (int i = 0; i < 3; i++) {
		CHECK_EQ(fsync(fd), 0);
		CHECK_EQ(fdatasync(fd), 0);
	}
	CHECK_EQ(fs->count[FUSE_FSYNC], 1);
	/* Directories are another request. */
	CHECK_EQ(fsync(dir), 0);
	CHECK_EQ(fs->count[FUSE_FSYNCDIR], 1);
	close(fd);
	close(dir);
	rawfs_stop(fs);
}

TEST(without_fsyncdir_all_is_durable)
{
	struct rawfs *fs = without(FUSE_FSYNCDIR);
	int fd = open(rawfs_path(fs, "file"), O_RDWR), dir = open(fs->mnt, O_RDONLY);

	for (int i = 0; i < 3; i++)
		CHECK_EQ(fsync(dir), 0);
	CHECK_EQ(fs->count[FUSE_FSYNCDIR], 1);
	CHECK_EQ(fsync(fd), 0);
	CHECK_EQ(fs->count[FUSE_FSYNC], 1);
	close(fd);
	close(dir);
	rawfs_stop(fs);
}

TEST(without_create_files_are_made_and_opened)
{
	struct rawfs *fs = without(FUSE_CREATE);
	char name[16];

	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "new%d", i);
		int fd = open(rawfs_path(fs, name), O_CREAT | O_EXCL | O_RDWR, 0640);
		struct stat st;

		CHECK(fd >= 0);
		CHECK_EQ(fstat(fd, &st), 0);
		CHECK_EQ(st.st_mode, S_IFREG | 0640);
		CHECK_EQ(write(fd, "data", 4), 4);
		close(fd);
	}
	CHECK_EQ(fs->count[FUSE_CREATE], 1);
	CHECK_EQ(fs->count[FUSE_MKNOD], 3);
	CHECK_EQ(fs->count[FUSE_OPEN], 3);
	rawfs_stop(fs);
}

TEST(without_access_all_is_allowed)
{
	struct rawfs *fs = without(FUSE_ACCESS);

	for (int i = 0; i < 3; i++)
		CHECK_EQ(access(rawfs_path(fs, "file"), R_OK | W_OK), 0);
	CHECK_EQ(fs->count[FUSE_ACCESS], 1);
	rawfs_stop(fs);
}

TEST(without_rename2_flags_are_invalid)
{
	struct rawfs *fs = without(FUSE_RENAME2);

	for (int i = 0; i < 3; i++)
		CHECK_ERR(renameat2(AT_FDCWD, rawfs_path(fs, "file"), AT_FDCWD,
				    rawfs_path(fs, "new"), RENAME_NOREPLACE),
			  EINVAL);
	CHECK_EQ(fs->count[FUSE_RENAME2], 1);
	/* Renames without flags are another request. */
	CHECK_EQ(rename(rawfs_path(fs, "file"), rawfs_path(fs, "new")), 0);
	CHECK_EQ(fs->count[FUSE_RENAME], 1);
	rawfs_stop(fs);
}

TEST(without_link_links_are_not_permitted)
{
	struct rawfs *fs = without(FUSE_LINK);

	for (int i = 0; i < 3; i++)
		CHECK_ERR(link(rawfs_path(fs, "file"), rawfs_path(fs, "new")), EPERM);
	CHECK_EQ(fs->count[FUSE_LINK], 1);
	rawfs_stop(fs);
}

TEST(other_requests_are_made_again)
{
	struct rawfs *fs = without(FUSE_MKDIR);

	for (int i = 0; i < 3; i++)
		CHECK_ERR(mkdir(rawfs_path(fs, "new"), 0755), ENOSYS);
	CHECK_EQ(fs->count[FUSE_MKDIR], 3);
	rawfs_stop(fs);
}
