// SPDX-License-Identifier: GPL-2.0
/* READDIRPLUS: what comes with an entry is used, counted and given back. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include "rawfs.h"

#define FILES 300

static struct rawfs_req req;

static void fill(struct rawfs *fs)
{
	char name[32];

	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "dir/f%d", i);
		int fd = open(rawfs_path(fs, name), O_CREAT | O_WRONLY, 0644);

		CHECK(fd >= 0);
		close(fd);
	}
	drop_caches("2");
}

/* As ls -l does; returns how many entries there were. */
static int list(struct rawfs *fs, bool look)
{
	DIR *d = opendir(rawfs_path(fs, "dir"));
	struct dirent *e;
	struct stat st;
	int n = 0;

	CHECK(d);
	while ((e = readdir(d))) {
		n++;
		if (look)
			CHECK_EQ(fstatat(dirfd(d), e->d_name, &st, 0), 0);
	}
	closedir(d);
	return n;
}

TEST(entries_need_no_lookup)
{
	struct rawfs *fs = rawfs_wanting(FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS);
	unsigned long lookups;

	rawfs_start(fs, "");
	fill(fs);
	list(fs, false);
	lookups = fs->count[FUSE_LOOKUP];
	CHECK_EQ(list(fs, true), FILES + 1);
	CHECK_EQ(fs->count[FUSE_LOOKUP], lookups);
	CHECK_EQ(fs->count[FUSE_READDIR], 0);
	CHECK(fs->count[FUSE_READDIRPLUS] >= 2);
	rawfs_stop(fs);
}

TEST(not_without_the_flag)
{
	struct rawfs *fs = rawfs_wanting(FUSE_PARALLEL_DIROPS);

	rawfs_start(fs, "");
	fill(fs);
	CHECK_EQ(list(fs, true), FILES + 1);
	CHECK_EQ(fs->count[FUSE_READDIRPLUS], 0);
	rawfs_stop(fs);
}

TEST(automatic_only_while_somebody_looks)
{
	struct rawfs *fs = rawfs_wanting(FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO);
	unsigned long plus;

	rawfs_start(fs, "");
	fill(fs);
	/* The start of a directory is always asked for with attributes; the rest if they are used. */
	CHECK_EQ(list(fs, false), FILES + 1);
	plus = fs->count[FUSE_READDIRPLUS];
	CHECK(plus <= 2);
	CHECK(fs->count[FUSE_READDIR] >= 1);
	rawfs_stop(fs);
}

TEST(lookups_are_given_back)
{
	struct rawfs *fs = rawfs_wanting(FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS);

	rawfs_start(fs, "");
	fill(fs);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(list(fs, true), FILES + 1);
	drop_caches("2");
	drop_caches("2");
	EVENTUALLY(fs->forgotten == fs->looked_up);
	for (uint64_t i = 2; i < RAWFS_NODES; i++)
		CHECK_EQ(fs->node[i].nlookup, 0);
	rawfs_stop(fs);
}

TEST(lookups_of_a_reply_nobody_waits_for_are_given_back)
{
	RS_ONLY("a killed caller is gone at once");
	struct rawfs *fs = rawfs_wanting(FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS);
	pid_t pid;

	rawfs_start_manual(fs, "");
	rawfs_handshake(fs);
	pid = fork();
	if (pid == 0) {
		DIR *d = opendir(fs->mnt);

		readdir(d);
		_exit(0);
	}
	rawfs_expect(fs, &req, FUSE_READDIRPLUS);
	kill_child(pid);
	rawfs_default(fs, &req);
	CHECK(fs->looked_up >= 3);
	rawfs_serve(fs);
	EVENTUALLY(fs->forgotten == fs->looked_up);
	rawfs_stop(fs);
}

/* One entry of a reply. */
static size_t put(char *buf, const char *name, uint64_t node, struct rawfs *fs)
{
	struct fuse_direntplus *d = (void *)buf;
	size_t len = strlen(name), size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + len);

	memset(buf, 0, size);
	rawfs_entry(fs, node, &d->entry_out);
	d->dirent.ino = node;
	d->dirent.off = node;
	d->dirent.namelen = len;
	memcpy(d->dirent.name, name, len);
	fs->node[node].nlookup++;
	fs->looked_up++;
	return size;
}

static char reply[4096];
static size_t reply_len;

static bool send_reply(struct rawfs *fs, struct rawfs_req *r)
{
	if (r->in.opcode != FUSE_READDIRPLUS)
		return false;
	if (((struct fuse_read_in *)r->body)->offset)
		rawfs_reply(fs->fd, r->in.unique, 0, NULL, 0);
	else
		rawfs_reply(fs->fd, r->in.unique, 0, reply, reply_len);
	return true;
}

TEST(bad_attributes_harm_only_their_entry)
{
	struct rawfs *fs = rawfs_wanting(FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS);
	unsigned long lookups;
	struct stat st;
	size_t first;
	DIR *d;

	fs->hook = send_reply;
	rawfs_start(fs, "");
	CHECK_EQ(stat(fs->mnt, &st), 0);
	first = put(reply, "dir", 3, fs);
	((struct fuse_direntplus *)reply)->entry_out.attr.mode = 0;
	reply_len = first + put(reply + first, "file", 2, fs);
	d = opendir(fs->mnt);
	CHECK(d);
	while (readdir(d))
		;
	closedir(d);
	lookups = fs->count[FUSE_LOOKUP];
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(fs->count[FUSE_LOOKUP], lookups);
	EVENTUALLY(fs->node[3].nlookup == 0);
	CHECK_EQ(stat(rawfs_path(fs, "dir"), &st), 0);
	CHECK_EQ(fs->count[FUSE_LOOKUP], lookups + 1);
	rawfs_stop(fs);
}

TEST(a_name_that_means_something_else_now_is_looked_up_again)
{
	struct rawfs *fs = rawfs_wanting(FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS);
	struct stat st;
	DIR *d;

	fs->hook = send_reply;
	rawfs_start(fs, "");
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(st.st_ino, 2);
	/* Another file has the name. */
	strcpy(fs->node[2].name, "old");
	strcpy(fs->node[4].name, "file");
	fs->node[4].mode = S_IFREG | 0600;
	reply_len = put(reply, "file", 4, fs);
	d = opendir(fs->mnt);
	CHECK(d);
	while (readdir(d))
		;
	closedir(d);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(st.st_ino, 4);
	fs->hook = NULL;
	drop_caches("2");
	EVENTUALLY(fs->forgotten == fs->looked_up);
	rawfs_stop(fs);
}

static bool no_plus(struct rawfs *fs, struct rawfs_req *r)
{
	if (r->in.opcode != FUSE_READDIRPLUS)
		return false;
	rawfs_reply(fs->fd, r->in.unique, ENOSYS, NULL, 0);
	return true;
}

TEST(servers_without_it_are_asked_once)
{
	RS_ONLY("the C driver gives ENOSYS to the caller");
	struct rawfs *fs = rawfs_wanting(FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS);

	fs->hook = no_plus;
	rawfs_start(fs, "");
	fill(fs);
	CHECK_EQ(list(fs, true), FILES + 1);
	CHECK_EQ(list(fs, true), FILES + 1);
	CHECK_EQ(fs->count[FUSE_READDIRPLUS], 1);
	rawfs_stop(fs);
}
