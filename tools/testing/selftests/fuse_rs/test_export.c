// SPDX-License-Identifier: GPL-2.0
/* File handles: name_to_handle_at(2) and open_by_handle_at(2). */
#include <fcntl.h>
#include <sys/stat.h>
#include "record.h"

#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID 0x200
#endif
#define CONNECTABLE 0x002
#define IS_CONNECTABLE 0x10000
/* FILEID_INO64_GEN and FILEID_INO64_GEN_PARENT. */
#define ALONE 0x81
#define WITH_PARENT 0x82

struct handle {
	struct file_handle head;
	uint32_t word[32];
};

static struct rawfs *fs;
static int mount_fd;

static void start(uint64_t flags)
{
	fs = recording(rawfs_wanting(flags));
	rawfs_start(fs, "");
	mount_fd = open(fs->mnt, O_RDONLY);
	CHECK(mount_fd >= 0);
}

static void stop(void)
{
	close(mount_fd);
	rawfs_stop(fs);
}

static int name_it(const char *name, struct handle *handle, int flags)
{
	int id;

	handle->head.handle_bytes = sizeof(handle->word);
	return name_to_handle_at(AT_FDCWD, rawfs_path(fs, name), &handle->head, &id, flags);
}

static struct handle handle_of(const char *name)
{
	struct handle handle;

	CHECK_EQ(name_it(name, &handle, 0), 0);
	return handle;
}

static struct handle made_up(uint64_t node, uint32_t generation)
{
	return (struct handle){ { .handle_bytes = 12, .handle_type = ALONE },
				{ node >> 32, node, generation } };
}

static int open_it(struct handle *handle)
{
	return open_by_handle_at(mount_fd, &handle->head, O_RDONLY);
}

/* Makes the kernel forget all it has not in use. */
static void forget_all(void)
{
	EVENTUALLY((drop_caches("3"), fs->forgotten == fs->looked_up));
	nseen = 0;
}

static bool reads_hello(int fd)
{
	char buf[16];

	return pread(fd, buf, 5, 0) == 5 && !memcmp(buf, "hello", 5);
}

TEST(a_handle_names_node_and_generation)
{
	struct handle handle;

	start(0);
	handle = handle_of("file");
	CHECK_EQ(handle.head.handle_type, ALONE);
	CHECK_EQ(handle.head.handle_bytes, 12);
	CHECK_EQ(handle.word[0], 0);
	CHECK_EQ(handle.word[1], 2);
	CHECK_EQ(handle.word[2], 1);
	handle = handle_of("");
	CHECK_EQ(handle.word[1], FUSE_ROOT_ID);
	CHECK_EQ(handle.word[2], 0);
	stop();
}

TEST(a_handle_needs_room)
{
	struct handle handle = {};
	int id;

	start(0);
	handle.head.handle_bytes = 8;
	CHECK_ERR(name_to_handle_at(AT_FDCWD, rawfs_path(fs, "file"), &handle.head, &id, 0),
		  EOVERFLOW);
	CHECK_EQ(handle.head.handle_bytes, 12);
	stop();
}

TEST(a_handle_opens_what_is_cached)
{
	struct handle handle;
	int fd;

	start(0);
	handle = handle_of("file");
	nseen = 0;
	fd = open_it(&handle);
	CHECK(fd >= 0 && reads_hello(fd));
	CHECK(!asked(FUSE_LOOKUP));
	close(fd);
	handle = handle_of("");
	fd = open_it(&handle);
	CHECK(fd >= 0);
	close(fd);
	stop();
}

TEST(a_handle_outlives_the_cache)
{
	struct handle handle;
	int fd;

	start(FUSE_EXPORT_SUPPORT);
	handle = handle_of("file");
	forget_all();
	fd = open_it(&handle);
	CHECK(fd >= 0 && reads_hello(fd));
	CHECK_EQ(last_request(FUSE_LOOKUP)->in.nodeid, 2);
	CHECK_EQ(last_request(FUSE_LOOKUP)->len, 2);
	CHECK(!strcmp(last(FUSE_LOOKUP), "."));
	close(fd);
	/* The lookup of the handle is given back as any other. */
	forget_all();
	stop();
}

TEST(a_name_is_looked_up_after_its_inode_was_found_by_handle)
{
	struct handle handle;
	struct stat st;
	int fd;

	start(FUSE_EXPORT_SUPPORT);
	handle = handle_of("file");
	forget_all();
	fd = open_it(&handle);
	CHECK(fd >= 0);
	nseen = 0;
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK(!strcmp(last(FUSE_LOOKUP), "file"));
	nseen = 0;
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK(!asked(FUSE_LOOKUP));
	close(fd);
	stop();
}

TEST(without_export_support_only_known_nodes_are_found)
{
	struct handle handle;

	start(0);
	handle = handle_of("file");
	forget_all();
	CHECK_ERR(open_it(&handle), ESTALE);
	CHECK(!asked(FUSE_LOOKUP));
	stop();
}

TEST(a_handle_of_another_generation_is_stale)
{
	struct handle handle = made_up(2, 77);
	struct stat st;

	start(FUSE_EXPORT_SUPPORT);
	CHECK_ERR(open_it(&handle), ESTALE);
	CHECK(asked(FUSE_LOOKUP));
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_ERR(open_it(&handle), ESTALE);
	handle = made_up(FUSE_ROOT_ID, 77);
	CHECK_ERR(open_it(&handle), ESTALE);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	forget_all();
	stop();
}

TEST(a_handle_nobody_made_is_stale)
{
	struct handle handle = made_up(0, 0);

	start(FUSE_EXPORT_SUPPORT);
	CHECK_ERR(open_it(&handle), ESTALE);
	CHECK(!asked(FUSE_LOOKUP));
	handle = made_up(0x123456789abcdef0, 1);
	CHECK_ERR(open_it(&handle), ESTALE);
	CHECK_EQ(last_request(FUSE_LOOKUP)->in.nodeid, 0x123456789abcdef0);
	nseen = 0;
	handle = made_up(2, 1);
	handle.head.handle_bytes = 8;
	CHECK_ERR(open_it(&handle), ESTALE);
	handle.head.handle_bytes = 12;
	handle.head.handle_type = 1;
	CHECK_ERR(open_it(&handle), ESTALE);
	handle.head.handle_type = WITH_PARENT | IS_CONNECTABLE;
	CHECK_ERR(open_it(&handle), ESTALE);
	stop();
}

static uint64_t wrong_node;

static bool answer_another(struct rawfs *server, struct rawfs_req *req)
{
	struct fuse_entry_out out;

	if (req->in.opcode != FUSE_LOOKUP || strcmp(req->body, "."))
		return false;
	rawfs_entry(server, 3, &out);
	out.nodeid = wrong_node;
	rawfs_reply_entry(server, req->in.unique, &out);
	return true;
}

TEST(a_server_that_finds_another_node_is_not_believed)
{
	static const uint64_t nodes[] = { 3, FUSE_ROOT_ID, 0 };
	struct handle handle = made_up(2, 1);

	start(FUSE_EXPORT_SUPPORT);
	special = answer_another;
	for (int i = 0; i < 3; i++) {
		wrong_node = nodes[i];
		CHECK_ERR(open_it(&handle), ESTALE);
	}
	EVENTUALLY(fs->forgotten == fs->looked_up);
	stop();
}

static bool shows(int fd, const char *name)
{
	char link[64], path[256];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	CHECK(len > 0);
	path[len] = 0;
	return !strcmp(path, rawfs_path(fs, name));
}

TEST(a_directory_gets_its_place_in_the_tree)
{
	struct handle handle;
	int fd;

	start(FUSE_EXPORT_SUPPORT);
	CHECK_EQ(mkdir(rawfs_path(fs, "dir/a"), 0755), 0);
	CHECK_EQ(mkdir(rawfs_path(fs, "dir/a/b"), 0755), 0);
	handle = handle_of("dir/a/b");
	forget_all();
	fd = open_it(&handle);
	CHECK(fd >= 0 && shows(fd, "dir/a/b"));
	CHECK_EQ(faccessat(fd, "../../a/b", F_OK, 0), 0);
	close(fd);
	forget_all();
	stop();
}

TEST(a_file_gets_its_place_from_a_connectable_handle)
{
	struct handle handle;
	int fd;

	start(FUSE_EXPORT_SUPPORT);
	fd = open(rawfs_path(fs, "dir/new"), O_CREAT | O_WRONLY, 0644);
	CHECK(fd >= 0);
	close(fd);
	if (name_it("dir/new", &handle, CONNECTABLE) && errno == EINVAL)
		SKIP("a kernel without connectable handles");
	CHECK_EQ(handle.head.handle_type, WITH_PARENT | IS_CONNECTABLE);
	CHECK_EQ(handle.head.handle_bytes, 24);
	forget_all();
	fd = open_it(&handle);
	CHECK(fd >= 0 && shows(fd, "dir/new"));
	close(fd);
	stop();
}

static uint64_t wrong_parent;

static bool answer_wrong_parent(struct rawfs *server, struct rawfs_req *req)
{
	struct fuse_entry_out out;

	if (req->in.opcode != FUSE_LOOKUP || strcmp(req->body, ".."))
		return false;
	if (wrong_parent == UINT64_MAX)
		return reply(server, req, ENOENT, NULL, 0);
	rawfs_entry(server, wrong_parent, &out);
	rawfs_reply_entry(server, req->in.unique, &out);
	return true;
}

TEST(a_directory_without_a_place_in_the_tree_is_stale)
{
	struct handle handle;

	start(FUSE_EXPORT_SUPPORT);
	CHECK_EQ(mkdir(rawfs_path(fs, "dir/a"), 0755), 0);
	handle = handle_of("dir/a");
	special = answer_wrong_parent;
	/* None, itself, a file, and directories that it is not in. */
	uint64_t wrong[] = { 0, UINT64_MAX, handle.word[1], 2, FUSE_ROOT_ID };

	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		forget_all();
		wrong_parent = wrong[i];
		CHECK_ERR(open_it(&handle), ESTALE);
	}
	stop();
}

TEST(no_export_support_leaves_handles_that_tell_apart)
{
	struct handle handle;

	start(FUSE_NO_EXPORT_SUPPORT);
	CHECK_EQ(access(rawfs_path(fs, "file"), F_OK), 0);
	CHECK_ERR(name_it("file", &handle, 0), EOPNOTSUPP);
	CHECK_EQ(name_it("file", &handle, AT_HANDLE_FID), 0);
	CHECK_EQ(handle.head.handle_type, ALONE);
	CHECK_EQ(handle.word[1], 2);
	CHECK_ERR(open_it(&handle), ESTALE);
	stop();
}
