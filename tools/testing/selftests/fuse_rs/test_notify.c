// SPDX-License-Identifier: GPL-2.0
/* What a server tells without being asked. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include "notify.h"

#define EXPIRE_ONLY 1

static struct rawfs *new_fs(void)
{
	struct rawfs *fs = rawfs_new();

	fs->entry_valid = fs->attr_valid = 1000;
	fs->open_flags = FOPEN_KEEP_CACHE;
	rawfs_start(fs, "");
	return fs;
}

static void look(struct rawfs *fs, const char *name)
{
	struct stat st;

	CHECK_EQ(stat(rawfs_path(fs, name), &st), 0);
}

TEST(stale_attributes_are_fetched)
{
	struct rawfs *fs = new_fs();
	struct stat st;

	look(fs, "file");
	fs->node[2].mode = S_IFREG | 0600;
	look(fs, "file");
	CHECK_EQ(fs->count[FUSE_GETATTR], 0);
	CHECK_EQ(notify_inval_inode(fs, 2, -1, 0), 0);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(fs->count[FUSE_GETATTR], 1);
	CHECK_EQ(st.st_mode, S_IFREG | 0600);
	rawfs_stop(fs);
}

static void read_at(int fd, off_t at, char expected)
{
	char c;

	CHECK_EQ(pread(fd, &c, 1, at), 1);
	CHECK_EQ(c, expected);
}

TEST(stale_data_is_read_again)
{
	struct rawfs *fs = new_fs();
	int fd;

	fs->node[2].size = 16384;
	memset(fs->node[2].data, 'a', 16384);
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	for (int i = 0; i < 4; i++)
		read_at(fd, i * 4096, 'a');
	memset(fs->node[2].data, 'b', 16384);
	/* Attributes only. */
	CHECK_EQ(notify_inval_inode(fs, 2, -1, 0), 0);
	read_at(fd, 4096, 'a');
	/* The second page. */
	CHECK_EQ(notify_inval_inode(fs, 2, 4097, 10), 0);
	read_at(fd, 0, 'a');
	read_at(fd, 4096, 'b');
	read_at(fd, 8192, 'a');
	/* All from the third. */
	CHECK_EQ(notify_inval_inode(fs, 2, 8192, 0), 0);
	read_at(fd, 0, 'a');
	read_at(fd, 8192, 'b');
	read_at(fd, 12288, 'b');
	close(fd);
	rawfs_stop(fs);
}

TEST(a_stale_name_is_looked_up_again)
{
	struct rawfs *fs = new_fs();
	struct stat st;

	look(fs, "file");
	look(fs, "file");
	CHECK_EQ(fs->count[FUSE_LOOKUP], 1);
	CHECK_EQ(notify_inval_entry(fs, 1, "file", 0), 0);
	look(fs, "file");
	CHECK_EQ(fs->count[FUSE_LOOKUP], 2);
	/* Another file has the name. */
	strcpy(fs->node[2].name, "old");
	strcpy(fs->node[4].name, "file");
	CHECK_EQ(notify_inval_entry(fs, 1, "file", 0), 0);
	CHECK_EQ(lstat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(st.st_ino, 4);
	rawfs_stop(fs);
}

TEST(an_expired_name_may_be_the_same)
{
	struct rawfs *fs = rawfs_new();
	int fd;

	fs->entry_valid = fs->attr_valid = 1000;
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "dir"), O_RDONLY | O_DIRECTORY);
	CHECK(fd >= 0);
	CHECK_EQ(notify_inval_entry(fs, 1, "dir", EXPIRE_ONLY), 0);
	look(fs, "dir");
	CHECK_EQ(fs->count[FUSE_LOOKUP], 2);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_deleted_name_is_gone)
{
	struct rawfs *fs = new_fs();
	struct stat st;
	int fd;

	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK(fd >= 0);
	CHECK_EQ(notify_deleted(fs, 1, 7, "file"), ENOENT);
	look(fs, "file");
	fs->node[2].name[0] = 0;
	CHECK_EQ(notify_deleted(fs, 1, 2, "file"), 0);
	CHECK_ERR(stat(rawfs_path(fs, "file"), &st), ENOENT);
	CHECK_EQ(notify_deleted(fs, 1, 2, "never"), ENOENT);
	close(fd);
	EVENTUALLY(fs->node[2].nlookup == 0);
	rawfs_stop(fs);
}

TEST(a_deleted_directory_is_dead)
{
	struct rawfs *fs = new_fs();
	int dir = open(rawfs_path(fs, "dir"), O_RDONLY | O_DIRECTORY), fd;

	CHECK(dir >= 0);
	fd = openat(dir, "in_use", O_CREAT | O_RDWR, 0600);
	CHECK(fd >= 0);
	CHECK_EQ(notify_deleted(fs, 1, 3, "dir"), ENOTEMPTY);
	close(fd);
	CHECK_EQ(unlinkat(dir, "in_use", 0), 0);
	look(fs, "dir");
	CHECK_EQ(notify_deleted(fs, 1, 3, "dir"), 0);
	CHECK_ERR(openat(dir, "new", O_CREAT | O_RDWR, 0600), ENOENT);
	close(dir);
	rawfs_stop(fs);
}

TEST(a_mount_point_is_not_deleted)
{
	struct rawfs *fs = new_fs();

	CHECK_EQ(mount("none", rawfs_path(fs, "dir"), "tmpfs", 0, NULL), 0);
	/* The C driver unmounts it: its d_invalidate comes first. */
	int error = notify_deleted(fs, 1, 3, "dir");

	CHECK(error == EBUSY || error == 0);
	umount2(rawfs_path(fs, "dir"), MNT_DETACH);
	rawfs_stop(fs);
}

TEST(stored_data_needs_no_read)
{
	struct rawfs *fs = new_fs();
	static char data[8192];
	struct stat st;
	int fd;

	memset(data, 's', sizeof(data));
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK(fd >= 0);
	fs->node[2].size = 12;
	CHECK_EQ(notify_store(fs, 2, 0, data, sizeof(data)), 0);
	/* What the server has is longer now. */
	fs->node[2].size = sizeof(data);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(st.st_size, sizeof(data));
	read_at(fd, 0, 's');
	read_at(fd, 8191, 's');
	CHECK_EQ(fs->count[FUSE_READ], 0);
	close(fd);
	rawfs_stop(fs);
}

/* While a WRITE waits for its answer the server hears of newer data. */
static bool newer_data_comes(struct rawfs *fs, struct rawfs_req *req)
{
	static const char newer[8192] = { [0 ... 8191] = 'n' };
	struct fuse_write_out out = { .size = sizeof(newer) };

	if (req->in.opcode != FUSE_WRITE)
		return false;
	memcpy(fs->node[2].data, newer, sizeof(newer));
	if (fs->arg)
		CHECK_EQ(notify_store(fs, 2, 0, newer, sizeof(newer)), 0);
	else
		CHECK_EQ(notify_inval_inode(fs, 2, 0, 0), 0);
	rawfs_reply(fs->fd, req->in.unique, 0, &out, sizeof(out));
	return true;
}

static void written_data_was_old(bool by_store)
{
	struct rawfs *fs = new_fs();
	static char data[8192];
	int fd;

	fs->node[2].size = sizeof(data);
	fs->arg = by_store ? fs : NULL;
	fs->hook = newer_data_comes;
	fd = open(rawfs_path(fs, "file"), O_RDWR);
	memset(data, 'w', sizeof(data));
	CHECK_EQ(pwrite(fd, data, sizeof(data), 0), sizeof(data));
	read_at(fd, 100, 'n');
	read_at(fd, 5000, 'n');
	close(fd);
	rawfs_stop(fs);
}

TEST(data_gone_stale_during_a_write_is_read_again)
{
	written_data_was_old(false);
}

TEST(data_stored_during_a_write_stays)
{
	written_data_was_old(true);
}

TEST(nonsense_is_refused)
{
	struct rawfs *fs = new_fs();
	struct fuse_notify_inval_entry_out entry = { .parent = 1, .namelen = 4 };
	struct fuse_notify_store_out head = { .nodeid = 2, .size = 5 };
	char byte = 0, long_name[5000];

	look(fs, "file");
	CHECK_EQ(notify(fs, 99, &byte, 1, NULL, 0), EINVAL);
	CHECK_EQ(notify(fs, FUSE_NOTIFY_INVAL_INODE, &byte, 1, NULL, 0), EINVAL);
	CHECK_EQ(notify_inval_inode(fs, 4711, 0, 0), ENOENT);
	CHECK_EQ(notify_inval_entry(fs, 4711, "file", 0), ENOENT);
	CHECK_EQ(notify_inval_entry(fs, 2, "file", 0), ENOTDIR);
	CHECK_EQ(notify_inval_entry(fs, 1, "never", 0), ENOENT);
	CHECK_EQ(notify(fs, FUSE_NOTIFY_INVAL_ENTRY, &entry, sizeof(entry), "file", 4), EINVAL);
	memset(long_name, 'x', sizeof(long_name));
	long_name[4999] = 0;
	CHECK_EQ(notify_inval_entry(fs, 1, long_name, 0), ENAMETOOLONG);
	CHECK_EQ(notify(fs, FUSE_NOTIFY_STORE, &head, sizeof(head), "four", 4), EINVAL);
	CHECK_EQ(notify_store(fs, 4711, 0, "x", 1), ENOENT);
	CHECK_EQ(notify_store(fs, 2, UINT64_MAX, "x", 1), EINVAL);
	CHECK_EQ(notify_store(fs, 1, 0, "x", 1), EINVAL);
	look(fs, "file");
	CHECK_EQ(fs->count[FUSE_LOOKUP], 1);
	rawfs_stop(fs);
}

static int retrieve(struct rawfs *fs, uint64_t unique, uint64_t node, uint64_t offset, uint32_t len)
{
	struct fuse_notify_retrieve_out head = {
		.notify_unique = unique, .nodeid = node, .offset = offset, .size = len
	};

	return notify(fs, FUSE_NOTIFY_RETRIEVE, &head, sizeof(head), NULL, 0);
}

/* The answer to what was asked for. */
static struct rawfs_req retrieved;
static atomic_bool has_retrieved;

static bool keep_retrieved(struct rawfs *fs, struct rawfs_req *req)
{
	if (req->in.opcode != FUSE_NOTIFY_REPLY)
		return false;
	memcpy(&retrieved, req, sizeof(req->in) + req->len);
	retrieved.len = req->len;
	atomic_store(&has_retrieved, true);
	return true;
}

/* Asks for a range, and checks how much of it comes. */
static void check_retrieved(struct rawfs *fs, uint64_t offset, uint32_t len, uint32_t expected)
{
	struct fuse_notify_retrieve_in *in = (void *)retrieved.body;

	atomic_store(&has_retrieved, false);
	CHECK_EQ(retrieve(fs, 0x1234567, 2, offset, len), 0);
	EVENTUALLY(atomic_load(&has_retrieved));
	CHECK_EQ(retrieved.in.unique, 0x1234567);
	CHECK_EQ(retrieved.in.nodeid, 2);
	CHECK_EQ(in->offset, offset);
	CHECK_EQ(in->size, expected);
	CHECK_EQ(retrieved.len, sizeof(*in) + expected);
	CHECK(!memcmp(in + 1, fs->node[2].data + offset, expected));
}

TEST(what_is_cached_can_be_retrieved)
{
	struct rawfs *fs = rawfs_new();
	char buf[32768];
	int fd;

	fs->entry_valid = fs->attr_valid = 1000;
	fs->open_flags = FOPEN_KEEP_CACHE;
	fs->hook = keep_retrieved;
	rawfs_start(fs, "");
	fs->node[2].size = sizeof(buf) - 100;
	for (size_t i = 0; i < sizeof(buf); i++)
		fs->node[2].data[i] = i * 7 + i / 256;
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
	/* Nothing is. */
	check_retrieved(fs, 0, 4096, 0);
	CHECK_EQ(pread(fd, buf, 8192, 4096), 8192);
	check_retrieved(fs, 4096, 100, 100);
	check_retrieved(fs, 4099, 20000, 8192 - 3);
	/* Up to the end of the file, and none behind it. */
	CHECK_EQ(pread(fd, buf, sizeof(buf), 0), sizeof(buf) - 100);
	check_retrieved(fs, 5, 1 << 20, sizeof(buf) - 105);
	check_retrieved(fs, sizeof(buf), 100, 0);
	CHECK_EQ(retrieve(fs, 2, 2, 1ULL << 63, 1), EINVAL);
	CHECK_EQ(retrieve(fs, 2, 1, 0, 1), EINVAL);
	CHECK_EQ(retrieve(fs, 2, 99, 0, 1), ENOENT);
	close(fd);
	rawfs_stop(fs);
}

#define RESENT (1ULL << 63)

TEST(requests_are_sent_again)
{
	struct rawfs *fs = rawfs_new();
	static struct rawfs_req first[2], again;
	pid_t pid[2];

	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 41,
					       .max_readahead = 65536,
					       .max_write = 65536,
					       .flags = FUSE_PARALLEL_DIROPS };
	rawfs_start_manual(fs, "");
	rawfs_handshake(fs);
	for (int i = 0; i < 2; i++) {
		pid[i] = stat_in_child(fs, i ? "dir" : "file");
		rawfs_expect(fs, &first[i], FUSE_LOOKUP);
	}
	CHECK_EQ(notify(fs, FUSE_NOTIFY_RESEND, NULL, 0, NULL, 0), 0);
	/* Until they have been read again they are not answered. */
	CHECK_EQ(rawfs_reply(fs->fd, first[0].in.unique, EIO, NULL, 0), -1);
	CHECK_EQ(errno, ENOENT);
	for (int i = 0; i < 2; i++) {
		struct rawfs_req *was = &first[i];

		CHECK(rawfs_read(fs->fd, &again));
		/* The C driver has them in any order. */
		if (!ktap_is_rs() && again.in.unique != (was->in.unique | RESENT))
			was = &first[1 - i];
		CHECK_EQ(again.in.unique, was->in.unique | RESENT);
		again.in.unique = was->in.unique;
		CHECK(!memcmp(&again.in, &was->in, sizeof(again.in)));
		CHECK_EQ(again.len, was->len);
		CHECK(!memcmp(again.body, was->body, again.len));
		again.in.unique |= RESENT;
		rawfs_default(fs, &again);
	}
	rawfs_serve(fs);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(exit_of(pid[i]), 0);
	rawfs_stop(fs);
}

TEST(data_is_sent_again)
{
	struct rawfs *fs = rawfs_new();
	static struct rawfs_req first, again;
	pid_t pid;

	fs->open_flags = FOPEN_DIRECT_IO;
	rawfs_start_manual(fs, "");
	rawfs_handshake(fs);
	pid = fork();
	if (pid == 0) {
		int fd = open(rawfs_path(fs, "file"), O_WRONLY);

		_exit(pwrite(fd, "again", 5, 0) != 5);
	}
	rawfs_expect(fs, &first, FUSE_WRITE);
	CHECK_EQ(notify(fs, FUSE_NOTIFY_RESEND, NULL, 0, NULL, 0), 0);
	rawfs_expect(fs, &again, FUSE_WRITE);
	CHECK_EQ(again.in.unique, first.in.unique | RESENT);
	CHECK(!memcmp(again.body + sizeof(struct fuse_write_in), "again", 5));
	rawfs_default(fs, &again);
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_stop(fs);
}

static int new_epoch(struct rawfs *fs)
{
	return notify(fs, FUSE_NOTIFY_INC_EPOCH, NULL, 0, NULL, 0);
}

TEST(in_a_new_epoch_names_are_looked_up_once)
{
	struct rawfs *fs = new_fs();

	look(fs, "file");
	look(fs, "file");
	CHECK_EQ(fs->count[FUSE_LOOKUP], 1);
	for (int i = 2; i < 5; i++) {
		CHECK_EQ(new_epoch(fs), 0);
		look(fs, "file");
		look(fs, "file");
		CHECK_EQ(fs->count[FUSE_LOOKUP], i);
	}
	rawfs_stop(fs);
}

static bool begin_epoch(struct rawfs *fs, struct rawfs_req *req)
{
	if (req->in.opcode == FUSE_LOOKUP && !fs->arg) {
		fs->arg = fs;
		CHECK_EQ(new_epoch(fs), 0);
	}
	return false;
}

TEST(a_name_asked_for_before_an_epoch_is_not_believed_in_it)
{
	struct rawfs *fs = new_fs();

	fs->hook = begin_epoch;
	look(fs, "file");
	look(fs, "file");
	look(fs, "file");
	CHECK_EQ(fs->count[FUSE_LOOKUP], 2);
	rawfs_stop(fs);
}

static void list(struct rawfs *fs)
{
	DIR *dir = opendir(fs->mnt);

	CHECK(dir);
	while (readdir(dir))
		;
	closedir(dir);
}

TEST(in_a_new_epoch_directories_are_listed_again)
{
	struct rawfs *fs = rawfs_new();
	unsigned long asked;

	fs->entry_valid = fs->attr_valid = 1000;
	fs->open_flags = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR;
	rawfs_start(fs, "");
	list(fs);
	asked = fs->count[FUSE_READDIR];
	list(fs);
	CHECK_EQ(fs->count[FUSE_READDIR], asked);
	CHECK_EQ(new_epoch(fs), 0);
	list(fs);
	CHECK(fs->count[FUSE_READDIR] > asked);
	rawfs_stop(fs);
}

TEST(a_new_epoch_leaves_working_directories_alone)
{
	struct rawfs *fs = new_fs();
	char cwd[256];

	RS_ONLY("it takes their names away");
	CHECK_EQ(chdir(rawfs_path(fs, "dir")), 0);
	CHECK_EQ(new_epoch(fs), 0);
	look(fs, "dir");
	CHECK(getcwd(cwd, sizeof(cwd)));
	CHECK(!strcmp(cwd, rawfs_path(fs, "dir")));
	CHECK_EQ(chdir("/"), 0);
	rawfs_stop(fs);
}

TEST(a_new_epoch_gives_unused_nodes_back_if_wanted)
{
	struct rawfs *fs;

	RS_ONLY("it has no such setting here");
	set_limit("inval_wq", 1000);
	fs = new_fs();
	set_limit("inval_wq", 0);
	look(fs, "file");
	CHECK_EQ(new_epoch(fs), 0);
	EVENTUALLY(!fs->node[2].nlookup);
	rawfs_stop(fs);
}

static int prune(struct rawfs *fs, uint32_t count, const uint64_t *ids, size_t len)
{
	struct fuse_notify_prune_out out = { .count = count };

	return notify(fs, FUSE_NOTIFY_PRUNE, &out, sizeof(out), ids, len);
}

TEST(unused_nodes_are_given_back_when_the_server_wants_them)
{
	struct rawfs *fs = new_fs();
	uint64_t ids[] = { 2, 3 };
	int fd = open(rawfs_path(fs, "dir"), O_RDONLY);

	CHECK(fd >= 0);
	look(fs, "file");
	look(fs, "link");
	CHECK_EQ(prune(fs, 2, ids, sizeof(ids)), 0);
	EVENTUALLY(!fs->node[2].nlookup);
	CHECK(fs->node[3].nlookup);
	CHECK(fs->node[4].nlookup);
	close(fd);
	CHECK_EQ(prune(fs, 1, ids + 1, sizeof(*ids)), 0);
	EVENTUALLY(!fs->node[3].nlookup);
	look(fs, "dir");
	rawfs_stop(fs);
}

TEST(any_node_may_be_wanted_back)
{
	struct rawfs *fs = new_fs();
	uint64_t ids[2000];

	look(fs, "file");
	for (int i = 0; i < 2000; i++)
		ids[i] = i * 0x123456789abcdefull;
	ids[1] = FUSE_ROOT_ID;
	ids[1999] = 2;
	CHECK_EQ(prune(fs, 2000, ids, sizeof(ids)), 0);
	EVENTUALLY(!fs->node[2].nlookup);
	CHECK_EQ(prune(fs, 0, NULL, 0), 0);
	rawfs_stop(fs);
}

TEST(as_many_nodes_are_wanted_back_as_are_named)
{
	struct rawfs *fs = new_fs();
	uint64_t ids[] = { 2, 2 };

	look(fs, "file");
	CHECK_EQ(prune(fs, 1, ids, 16), EINVAL);
	CHECK_EQ(prune(fs, 3, ids, 16), EINVAL);
	CHECK_EQ(prune(fs, 2, ids, 15), EINVAL);
	CHECK_EQ(prune(fs, 0x20000002, ids, 16), EINVAL);
	CHECK_EQ(prune(fs, 0xffffffff, ids, 16), EINVAL);
	CHECK_EQ(notify(fs, FUSE_NOTIFY_PRUNE, ids, 8, NULL, 0), EINVAL);
	CHECK_EQ(fs->forgotten, 0);
	rawfs_stop(fs);
}
