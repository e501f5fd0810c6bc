// SPDX-License-Identifier: GPL-2.0
/* Set-id bits and capabilities of files that change, and who drops them. */
#include <fcntl.h>
#include <sys/syscall.h>
#include "record.h"

#define V1 FUSE_HANDLE_KILLPRIV
#define V2 FUSE_HANDLE_KILLPRIV_V2

static bool answered(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_write_out out = {};

	switch (req->in.opcode) {
	case FUSE_GETXATTR:
		return reply(fs, req, ENODATA, NULL, 0);
	case FUSE_FALLOCATE:
		return reply(fs, req, 0, NULL, 0);
	case FUSE_COPY_FILE_RANGE:
	case FUSE_COPY_FILE_RANGE_64:
		out.size = 1;
		return reply(fs, req, 0, &out, sizeof(out));
	default:
		return false;
	}
}

/* A mount for all, of a server with these features; `file` has this mode. */
static struct rawfs *server(uint64_t features, uint32_t mode)
{
	struct rawfs *fs = recording_fs(), *wanting = rawfs_wanting(features);

	fs->init_out = wanting->init_out;
	fs->entry_valid = fs->attr_valid = 1000;
	free(wanting);
	special = answered;
	rawfs_start(fs, ",allow_other");
	fs->node[2].mode = S_IFREG | mode;
	return fs;
}

static int write_to(const char *path, int flags)
{
	static char page[4096] __attribute__((aligned(4096)));
	int fd = open(path, O_WRONLY | flags);

	return fd < 0 || write(fd, page, sizeof(page)) != sizeof(page) ? -1 : close(fd);
}

static uint32_t write_flags(void)
{
	return ((struct fuse_write_in *)last(FUSE_WRITE))->write_flags;
}

/* Whether a SETATTR has set the mode. */
static bool mode_was_set(void)
{
	for (int i = 0; i < nseen; i++)
		if (seen[i].in.opcode == FUSE_SETATTR &&
		    ((struct fuse_setattr_in *)seen[i].body)->valid & FATTR_MODE)
			return true;
	return false;
}

TEST(a_write_says_that_set_ids_end)
{
	struct rawfs *fs = server(V2, 06777);

	CHECK_EQ(AS_NOBODY(write_to(rawfs_path(fs, "file"), 0)), 0);
	CHECK(write_flags() & FUSE_WRITE_KILL_SUIDGID);
	CHECK(!mode_was_set());
	rawfs_stop(fs);
}

TEST(a_write_by_who_may_keep_set_ids_does_not)
{
	struct rawfs *fs = server(V2, 06777);

	CHECK_EQ(write_to(rawfs_path(fs, "file"), 0), 0);
	CHECK(!(write_flags() & FUSE_WRITE_KILL_SUIDGID));
	CHECK(!mode_was_set());
	rawfs_stop(fs);
}

TEST(without_the_feature_the_kernel_drops_set_ids)
{
	struct rawfs *fs = server(0, 06777);

	CHECK_EQ(AS_NOBODY(write_to(rawfs_path(fs, "file"), 0)), 0);
	CHECK(!(write_flags() & FUSE_WRITE_KILL_SUIDGID));
	CHECK(mode_was_set());
	CHECK_EQ(fs->node[2].mode, S_IFREG | 0777);
	rawfs_stop(fs);
}

TEST(with_the_first_version_the_server_drops_set_ids_untold)
{
	struct rawfs *fs = server(V1, 06777);

	CHECK_EQ(AS_NOBODY(write_to(rawfs_path(fs, "file"), 0)), 0);
	CHECK(!(write_flags() & FUSE_WRITE_KILL_SUIDGID));
	CHECK_EQ(AS_NOBODY(truncate(rawfs_path(fs, "file"), 1)), 0);
	CHECK(!(((struct fuse_setattr_in *)last(FUSE_SETATTR))->valid & FATTR_KILL_SUIDGID));
	CHECK_EQ(chown(rawfs_path(fs, "file"), 5, 6), 0);
	CHECK(!(((struct fuse_setattr_in *)last(FUSE_SETATTR))->valid & FATTR_KILL_SUIDGID));
	CHECK(!mode_was_set());
	rawfs_stop(fs);
}

TEST(a_direct_write_says_so_to_any_server)
{
	struct rawfs *fs = server(0, 0777);

	CHECK_EQ(AS_NOBODY(write_to(rawfs_path(fs, "file"), O_DIRECT)), 0);
	CHECK(write_flags() & FUSE_WRITE_KILL_SUIDGID);
	CHECK_EQ(write_to(rawfs_path(fs, "file"), O_DIRECT), 0);
	CHECK(!(write_flags() & FUSE_WRITE_KILL_SUIDGID));
	rawfs_stop(fs);
}

TEST(a_truncation_says_so)
{
	struct rawfs *fs = server(V2, 06777);

	CHECK_EQ(AS_NOBODY(truncate(rawfs_path(fs, "file"), 5)), 0);
	CHECK(((struct fuse_setattr_in *)last(FUSE_SETATTR))->valid & FATTR_KILL_SUIDGID);
	CHECK_EQ(truncate(rawfs_path(fs, "file"), 4), 0);
	CHECK(!(((struct fuse_setattr_in *)last(FUSE_SETATTR))->valid & FATTR_KILL_SUIDGID));
	CHECK(!mode_was_set());
	rawfs_stop(fs);
}

TEST(a_new_owner_ends_set_ids_whoever_asks)
{
	struct rawfs *fs = server(V2, 06777);

	CHECK_EQ(chown(rawfs_path(fs, "file"), 5, 6), 0);
	CHECK(((struct fuse_setattr_in *)last(FUSE_SETATTR))->valid & FATTR_KILL_SUIDGID);
	CHECK_EQ(chown(rawfs_path(fs, "dir"), 5, 6), 0);
	CHECK(!(((struct fuse_setattr_in *)last(FUSE_SETATTR))->valid & FATTR_KILL_SUIDGID));
	CHECK(!mode_was_set());
	rawfs_stop(fs);
}

static int opened(const char *path, int flags)
{
	int fd = open(path, flags, 0666);

	return fd < 0 ? -1 : close(fd);
}

TEST(a_truncating_open_says_so)
{
	struct rawfs *fs = server(V2 | FUSE_ATOMIC_O_TRUNC, 0777);
	const char *file = rawfs_path(fs, "file");

	CHECK_EQ(AS_NOBODY(opened(file, O_WRONLY | O_TRUNC)), 0);
	CHECK(((struct fuse_open_in *)last(FUSE_OPEN))->open_flags & FUSE_OPEN_KILL_SUIDGID);
	CHECK_EQ(AS_NOBODY(opened(file, O_WRONLY)), 0);
	CHECK(!((struct fuse_open_in *)last(FUSE_OPEN))->open_flags);
	CHECK_EQ(opened(file, O_WRONLY | O_TRUNC), 0);
	CHECK(!((struct fuse_open_in *)last(FUSE_OPEN))->open_flags);
	rawfs_stop(fs);
}

TEST(a_create_that_may_truncate_says_so)
{
	struct rawfs *fs = server(V2, 0777);
	int flags = O_WRONLY | O_CREAT;

	CHECK_EQ(AS_NOBODY(opened(rawfs_path(fs, "a"), flags | O_TRUNC)), 0);
	CHECK(((struct fuse_create_in *)last(FUSE_CREATE))->open_flags & FUSE_OPEN_KILL_SUIDGID);
	CHECK_EQ(AS_NOBODY(opened(rawfs_path(fs, "b"), flags)), 0);
	CHECK(!((struct fuse_create_in *)last(FUSE_CREATE))->open_flags);
	CHECK_EQ(AS_NOBODY(opened(rawfs_path(fs, "c"), flags | O_TRUNC | O_EXCL)), 0);
	CHECK(!((struct fuse_create_in *)last(FUSE_CREATE))->open_flags);
	CHECK_EQ(opened(rawfs_path(fs, "d"), flags | O_TRUNC), 0);
	CHECK(!((struct fuse_create_in *)last(FUSE_CREATE))->open_flags);
	rawfs_stop(fs);
}

TEST(a_truncating_open_drops_set_ids)
{
	struct rawfs *fs;

	RS_ONLY("it forgets them if OPEN truncates");
	fs = server(FUSE_ATOMIC_O_TRUNC, 06777);
	CHECK_EQ(AS_NOBODY(opened(rawfs_path(fs, "file"), O_WRONLY | O_TRUNC)), 0);
	CHECK_EQ(fs->node[2].mode, S_IFREG | 0777);
	CHECK(!(((struct fuse_setattr_in *)last(FUSE_SETATTR))->valid & FATTR_SIZE));
	rawfs_stop(fs);
}

static bool drops(struct rawfs *fs, struct rawfs_req *req)
{
	if (req->in.opcode == FUSE_WRITE)
		fs->node[2].mode &= ~06000;
	return answered(fs, req);
}

TEST(the_mode_is_asked_for_again_when_set_ids_may_be_gone)
{
	struct rawfs *fs;
	struct stat st;

	RS_ONLY("it believes the mode of before the write");
	fs = server(V2, 06777);
	special = drops;
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(st.st_mode, S_IFREG | 06777);
	CHECK_EQ(AS_NOBODY(write_to(rawfs_path(fs, "file"), 0)), 0);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(st.st_mode, S_IFREG | 0777);
	rawfs_stop(fs);
}

static int allocated(const char *path)
{
	int fd = open(path, O_WRONLY);

	return fd < 0 || fallocate(fd, 0, 0, 100) ? -1 : close(fd);
}

static int copied(const char *path)
{
	int fd = open(path, O_RDWR);
	off_t from = 0, to = 100;

	return fd < 0 || copy_file_range(fd, &from, fd, &to, 1, 0) != 1 ? -1 : close(fd);
}

TEST(the_kernel_drops_set_ids_where_requests_cannot_say_so)
{
	static const uint64_t features[] = { 0, V1, V2 };
	struct rawfs *fs;

	RS_ONLY("they stay if the server drops them at a write");
	for (int i = 0; i < 3; i++) {
		fs = server(features[i], 06777);
		CHECK_EQ(AS_NOBODY(allocated(rawfs_path(fs, "file"))), 0);
		CHECK_EQ(fs->node[2].mode, S_IFREG | 0777);
		rawfs_stop(fs);
		fs = server(features[i], 06777);
		CHECK_EQ(AS_NOBODY(copied(rawfs_path(fs, "file"))), 0);
		CHECK_EQ(fs->node[2].mode, S_IFREG | 0777);
		CHECK_EQ(chmod(rawfs_path(fs, "file"), 06777), 0);
		CHECK_EQ(copied(rawfs_path(fs, "file")), 0);
		CHECK_EQ(fs->node[2].mode, S_IFREG | 06777);
		rawfs_stop(fs);
	}
}

/* How often the capabilities of a file are asked for in three writes. */
static int asks(uint64_t features)
{
	struct rawfs *fs = server(features, 0777);
	int fd = open(rawfs_path(fs, "file"), O_WRONLY), first;

	CHECK(fd >= 0);
	CHECK_EQ(write(fd, "a", 1), 1);
	CHECK_EQ(write(fd, "b", 1), 1);
	CHECK_EQ(write(fd, "c", 1), 1);
	first = fs->count[FUSE_GETXATTR];
	/* With new attributes, it may have got some. */
	CHECK_EQ(fchmod(fd, 0770), 0);
	CHECK_EQ(write(fd, "d", 1), 1);
	CHECK_EQ(fs->count[FUSE_GETXATTR], first + 1);
	close(fd);
	rawfs_stop(fs);
	return first;
}

TEST(that_a_file_has_no_capabilities_is_remembered)
{
	CHECK_EQ(asks(0), 3);
	CHECK_EQ(asks(V1), 3);
	CHECK_EQ(asks(V2), 1);
}
