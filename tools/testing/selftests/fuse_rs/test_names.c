// SPDX-License-Identifier: GPL-2.0
/* Names: links and renames, and what goes with an open directory. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "record.h"

/* The tree holds one name of a node; here a node gets another one. */
static bool serve_link(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_entry_out out;
	uint64_t node;

	if (req->in.opcode != FUSE_LINK)
		return false;
	node = ((struct fuse_link_in *)req->body)->oldnodeid;
	fs->node[node].nlink++;
	rawfs_entry(fs, node, &out);
	rawfs_reply_entry(fs, req->in.unique, &out);
	return true;
}

static struct rawfs *start(void)
{
	struct rawfs *fs = recording_fs();

	special = serve_link;
	fs->entry_valid = fs->attr_valid = 1000;
	rawfs_start(fs, "");
	return fs;
}

static ino_t ino(struct rawfs *fs, const char *name)
{
	struct stat st;

	return lstat(rawfs_path(fs, name), &st) ? 0 : st.st_ino;
}

TEST(a_link_is_another_name_of_the_same_file)
{
	struct rawfs *fs = start();
	struct fuse_link_in *in;
	unsigned long lookups;
	struct stat st;

	CHECK_EQ(ino(fs, "file"), 2);
	CHECK_EQ(ino(fs, "dir"), 3);
	lookups = fs->count[FUSE_LOOKUP];
	CHECK_EQ(link(rawfs_path(fs, "file"), rawfs_path(fs, "dir/other")), 0);
	in = last(FUSE_LINK);
	CHECK_EQ(in->oldnodeid, 2);
	CHECK(!strcmp((char *)(in + 1), "other"));
	CHECK_EQ(last_request(FUSE_LINK)->in.nodeid, 3);
	CHECK_EQ(stat(rawfs_path(fs, "dir/other"), &st), 0);
	CHECK_EQ(st.st_ino, 2);
	CHECK_EQ(st.st_nlink, 2);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(st.st_nlink, 2);
	/* Only the name that was not known was looked up. */
	CHECK_EQ(fs->count[FUSE_LOOKUP], lookups + 1);
	rawfs_stop(fs);
	CHECK_EQ(fs->node[2].nlookup, 2);
}

TEST(a_link_changes_attributes_of_file_and_directory)
{
	struct rawfs *fs = start();
	unsigned long asked;
	struct stat st;

	CHECK_EQ(ino(fs, "file"), 2);
	CHECK_EQ(ino(fs, "dir"), 3);
	CHECK_EQ(link(rawfs_path(fs, "file"), rawfs_path(fs, "dir/other")), 0);
	asked = fs->count[FUSE_GETATTR];
	CHECK_EQ(stat(rawfs_path(fs, "dir"), &st), 0);
	CHECK_EQ(fs->count[FUSE_GETATTR], asked + 1);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(st.st_nlink, 2);
	rawfs_stop(fs);
}

TEST(noreplace_renames_what_is_free)
{
	struct rawfs *fs = start();
	struct fuse_rename2_in *in;

	CHECK_EQ(renameat2(AT_FDCWD, rawfs_path(fs, "file"), AT_FDCWD, rawfs_path(fs, "dir/new"),
			   RENAME_NOREPLACE),
		 0);
	in = last(FUSE_RENAME2);
	CHECK_EQ(in->newdir, 3);
	CHECK_EQ(in->flags, RENAME_NOREPLACE);
	CHECK_EQ(last_request(FUSE_RENAME2)->in.nodeid, 1);
	CHECK_EQ(fs->count[FUSE_RENAME], 0);
	CHECK_EQ(ino(fs, "dir/new"), 2);
	CHECK_EQ(ino(fs, "file"), 0);
	rawfs_stop(fs);
}

TEST(noreplace_replaces_nothing)
{
	struct rawfs *fs = start();

	CHECK_ERR(renameat2(AT_FDCWD, rawfs_path(fs, "file"), AT_FDCWD, rawfs_path(fs, "link"),
			    RENAME_NOREPLACE),
		  EEXIST);
	CHECK_EQ(ino(fs, "file"), 2);
	CHECK_EQ(ino(fs, "link"), 4);
	rawfs_stop(fs);
}

TEST(the_server_knows_better_what_noreplace_would_replace)
{
	struct rawfs *fs = start();

	CHECK_EQ(ino(fs, "file"), 2);
	/* Somebody else has made it. The C driver and we look it up before renaming. */
	CHECK_EQ(ino(fs, "new"), 0);
	strcpy(fs->node[4].name, "new");
	CHECK_ERR(renameat2(AT_FDCWD, rawfs_path(fs, "file"), AT_FDCWD, rawfs_path(fs, "new"),
			    RENAME_NOREPLACE),
		  EEXIST);
	CHECK_EQ(ino(fs, "new"), 4);
	CHECK_EQ(ino(fs, "file"), 2);
	rawfs_stop(fs);
}

TEST(exchange_swaps_two_names)
{
	struct rawfs *fs = start();
	struct fuse_rename2_in *in;
	unsigned long lookups;

	CHECK_EQ(ino(fs, "file"), 2);
	CHECK_EQ(ino(fs, "dir"), 3);
	CHECK_EQ(renameat2(AT_FDCWD, rawfs_path(fs, "file"), AT_FDCWD, rawfs_path(fs, "dir"),
			   RENAME_EXCHANGE),
		 0);
	in = last(FUSE_RENAME2);
	CHECK_EQ(in->flags, RENAME_EXCHANGE);
	lookups = fs->count[FUSE_LOOKUP];
	CHECK_EQ(ino(fs, "file"), 3);
	CHECK_EQ(ino(fs, "dir"), 2);
	CHECK_EQ(fs->count[FUSE_LOOKUP], lookups);
	rawfs_stop(fs);
}

TEST(exchange_leaves_both_files_linked)
{
	struct rawfs *fs = start();
	struct stat st;
	int fd = open(rawfs_path(fs, "file"), O_RDONLY);

	CHECK(fd >= 0);
	CHECK_EQ(ino(fs, "link"), 4);
	CHECK_EQ(renameat2(AT_FDCWD, rawfs_path(fs, "link"), AT_FDCWD, rawfs_path(fs, "file"),
			   RENAME_EXCHANGE),
		 0);
	CHECK_EQ(statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS,
		       &(struct statx){ 0 }),
		 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_nlink, 1);
	close(fd);
	rawfs_stop(fs);
}

TEST(fsync_of_a_directory_reaches_the_server)
{
	struct rawfs *fs = start();
	int fd = open(rawfs_path(fs, "dir"), O_RDONLY | O_DIRECTORY);
	struct fuse_fsync_in *in;

	CHECK(fd >= 0);
	CHECK_EQ(fsync(fd), 0);
	in = last(FUSE_FSYNCDIR);
	CHECK_EQ(last_request(FUSE_FSYNCDIR)->in.nodeid, 3);
	CHECK_EQ(in->fh, 3);
	CHECK_EQ(in->fsync_flags, 0);
	CHECK_EQ(fdatasync(fd), 0);
	in = last(FUSE_FSYNCDIR);
	CHECK_EQ(in->fsync_flags, FUSE_FSYNC_FDATASYNC);
	CHECK_EQ(fs->count[FUSE_FSYNCDIR], 2);
	CHECK_EQ(fs->count[FUSE_FSYNC], 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(the_last_close_of_a_directory_releases_it)
{
	struct rawfs *fs = start();
	int fd = open(rawfs_path(fs, "dir"), O_RDONLY | O_DIRECTORY | O_NOATIME), copy = dup(fd);
	struct fuse_release_in *in;

	CHECK(fd >= 0 && copy >= 0);
	close(fd);
	CHECK_EQ(fs->count[FUSE_RELEASEDIR], 0);
	close(copy);
	EVENTUALLY(fs->count[FUSE_RELEASEDIR] == 1);
	in = last(FUSE_RELEASEDIR);
	CHECK_EQ(last_request(FUSE_RELEASEDIR)->in.nodeid, 3);
	CHECK_EQ(in->fh, 3);
	CHECK((in->flags & O_NOATIME) != 0);
	CHECK_EQ(fs->count[FUSE_RELEASE], 0);
	CHECK_EQ(fs->count[FUSE_FLUSH], 0);
	rawfs_stop(fs);
}
