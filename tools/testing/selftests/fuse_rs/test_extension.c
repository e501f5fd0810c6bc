// SPDX-License-Identifier: GPL-2.0
/* What requests that make an inode say behind their body. */
#include <fcntl.h>
#include <grp.h>
#include "record.h"

#define THEIR_GROUP 77

/* A mount for all, of a server with these features; `dir` belongs to a group. */
static struct rawfs *server(uint64_t features)
{
	struct rawfs *fs = recording_fs(), *wanting = rawfs_wanting(features);

	fs->init_out = wanting->init_out;
	free(wanting);
	rawfs_start(fs, ",allow_other");
	fs->node[3].gid = THEIR_GROUP;
	return fs;
}

/* Makes one inode of each sort in `dir`, as somebody of this group, and of another one besides. */
static void make_all(struct rawfs *fs, gid_t gid, gid_t other)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (chdir(rawfs_path(fs, "dir")) || setgroups(1, &other) || setgid(gid) || setuid(65534))
			_exit(1);
		_exit(mkdir("d", 0755) || mknod("n", S_IFIFO | 0644, 0) || symlink("target", "s") ||
		      open("c", O_CREAT | O_WRONLY, 0644) < 0 ||
		      (open(".", O_TMPFILE | O_WRONLY, 0644) < 0 && errno != EOPNOTSUPP));
	}
	CHECK_EQ(exit_of(pid), 0);
}

/* The extensions of a request: its body but for `len` bytes. */
static const uint32_t *extensions_of(uint32_t opcode, size_t len, size_t expected)
{
	struct recorded *request = last_request(opcode);

	if (request->in.total_extlen * 8 != expected || request->len != len + expected)
		FAIL("request %u has %u units in %zu bytes", opcode, request->in.total_extlen,
		     request->len);
	return (const uint32_t *)(request->body + len);
}

/* Calls `check` with the extensions of each request, which have this length. */
static void check_all(size_t expected, void (*check)(const uint32_t *words))
{
	const struct {
		uint32_t opcode;
		size_t len;
	} sorts[] = {
		{ FUSE_MKDIR, sizeof(struct fuse_mkdir_in) + 2 },
		{ FUSE_MKNOD, sizeof(struct fuse_mknod_in) + 2 },
		{ FUSE_SYMLINK, 2 + 7 },
		{ FUSE_CREATE, sizeof(struct fuse_create_in) + 2 },
	};

	for (int i = 0; i < 4; i++) {
		uint32_t words[8];

		memcpy(words, extensions_of(sorts[i].opcode, sorts[i].len, expected), expected);
		check(words);
	}
	CHECK_EQ(last_request(FUSE_TMPFILE)->in.total_extlen * 8, expected);
}

static void nothing(const uint32_t *words)
{
}

static void the_group(const uint32_t *words)
{
	CHECK_EQ(words[0], 16);
	CHECK_EQ(words[1], FUSE_EXT_GROUPS);
	CHECK_EQ(words[2], 1);
	CHECK_EQ(words[3], THEIR_GROUP);
}

TEST(the_group_of_the_directory_is_told)
{
	struct rawfs *fs = server(FUSE_CREATE_SUPP_GROUP);

	make_all(fs, 65534, THEIR_GROUP);
	check_all(16, the_group);
	CHECK_EQ(last_request(FUSE_LOOKUP)->in.total_extlen, 0);
	rawfs_stop(fs);
}

TEST(it_is_not_told_if_it_is_in_the_header)
{
	struct rawfs *fs = server(FUSE_CREATE_SUPP_GROUP);

	make_all(fs, THEIR_GROUP, 65534);
	check_all(0, nothing);
	rawfs_stop(fs);
}

TEST(it_is_not_told_to_those_who_are_not_in_it)
{
	struct rawfs *fs = server(FUSE_CREATE_SUPP_GROUP);

	make_all(fs, 65534, THEIR_GROUP + 1);
	check_all(0, nothing);
	rawfs_stop(fs);
}

TEST(nothing_is_told_unless_the_server_wants_it)
{
	struct rawfs *fs = server(0);

	make_all(fs, 65534, THEIR_GROUP);
	check_all(0, nothing);
	rawfs_stop(fs);
}

static void no_label(const uint32_t *words)
{
	CHECK_EQ(words[0], 8);
	CHECK_EQ(words[1], 0);
}

static void no_label_and_the_group(const uint32_t *words)
{
	no_label(words);
	the_group(words + 2);
}

TEST(that_there_is_no_label_is_told)
{
	struct rawfs *fs;

	if (!access("/sys/fs/selinux/policy", F_OK))
		SKIP("new inodes have labels here");
	fs = server(FUSE_SECURITY_CTX);
	make_all(fs, 65534, THEIR_GROUP);
	check_all(8, no_label);
	rawfs_stop(fs);
	fs = server(FUSE_SECURITY_CTX | FUSE_CREATE_SUPP_GROUP);
	make_all(fs, 65534, THEIR_GROUP);
	check_all(24, no_label_and_the_group);
	rawfs_stop(fs);
}
