// SPDX-License-Identifier: GPL-2.0
/* Names that may not be believed any more, and that nobody looks at: when they are dropped. */
#include <fcntl.h>
#include "rawfs.h"

#define FILE_NODE 2
#define DIR_NODE 3

/* How long `file` may be believed, in seconds; other names not at all. */
static int file_valid;

static bool lookup(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_entry_out out = {};

	if (req->in.opcode != FUSE_LOOKUP)
		return false;
	if (!strcmp(req->body, "none")) {
		out.entry_valid = 1;
	} else if (!strcmp(req->body, "file")) {
		rawfs_entry(fs, FILE_NODE, &out);
		out.entry_valid = file_valid;
		fs->node[FILE_NODE].nlookup++;
		fs->looked_up++;
	} else {
		return false;
	}
	rawfs_reply(fs->fd, req->in.unique, 0, &out, sizeof(out));
	return true;
}

/* A mount of which stale names are looked for every so many seconds. */
static struct rawfs *looked_after(unsigned int seconds)
{
	struct rawfs *fs = rawfs_new();

	set_limit("inval_wq", seconds);
	fs->hook = lookup;
	rawfs_start(fs, "");
	set_limit("inval_wq", 0);
	return fs;
}

static void look_up(struct rawfs *fs, const char *name)
{
	struct stat st;

	CHECK_EQ(stat(rawfs_path(fs, name), &st), 0);
}

/* Until a name whose time was over has been dropped a few times. */
static void a_few_periods(struct rawfs *fs)
{
	for (int i = 0; i < 3; i++) {
		look_up(fs, "dir");
		EVENTUALLY(!fs->node[DIR_NODE].nlookup);
	}
}

TEST(a_stale_name_gives_its_node_back)
{
	struct rawfs *fs;

	RS_ONLY("it does so every five seconds at most");
	fs = looked_after(1);
	file_valid = 1;
	look_up(fs, "file");
	CHECK_EQ(fs->node[FILE_NODE].nlookup, 1);
	EVENTUALLY(!fs->node[FILE_NODE].nlookup);
	look_up(fs, "file");
	rawfs_stop(fs);
}

TEST(names_that_may_be_believed_stay)
{
	struct rawfs *fs;
	unsigned long asked;

	RS_ONLY("it does so every five seconds at most");
	fs = looked_after(1);
	file_valid = 1000;
	look_up(fs, "file");
	a_few_periods(fs);
	asked = fs->count[FUSE_LOOKUP];
	look_up(fs, "file");
	CHECK_EQ(fs->count[FUSE_LOOKUP], asked);
	rawfs_stop(fs);
}

TEST(names_that_are_believed_anew_stay)
{
	struct rawfs *fs;

	RS_ONLY("it does so every five seconds at most");
	fs = looked_after(1);
	file_valid = 0;
	look_up(fs, "file");
	file_valid = 1000;
	look_up(fs, "file");
	a_few_periods(fs);
	CHECK_EQ(fs->node[FILE_NODE].nlookup, 2);
	rawfs_stop(fs);
}

TEST(names_in_use_stay_until_they_are_not)
{
	struct rawfs *fs;
	int fd;

	RS_ONLY("it does so every five seconds at most");
	fs = looked_after(1);
	file_valid = 0;
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK(fd >= 0);
	a_few_periods(fs);
	CHECK(fs->node[FILE_NODE].nlookup);
	close(fd);
	EVENTUALLY(!fs->node[FILE_NODE].nlookup);
	rawfs_stop(fs);
}

TEST(a_directory_goes_after_the_names_in_it)
{
	struct rawfs *fs;
	struct stat st;

	RS_ONLY("it does so every five seconds at most");
	fs = looked_after(1);
	CHECK_EQ(mkdir(rawfs_path(fs, "dir/below"), 0755), 0);
	CHECK_ERR(stat(rawfs_path(fs, "dir/below/none"), &st), ENOENT);
	CHECK(fs->node[DIR_NODE].nlookup);
	EVENTUALLY(!fs->node[DIR_NODE].nlookup);
	EVENTUALLY(fs->forgotten == fs->looked_up);
	rawfs_stop(fs);
}

TEST(nothing_is_dropped_unless_wanted)
{
	struct rawfs *fs = rawfs_new(), *other;

	RS_ONLY("it does so every five seconds at most");
	rawfs_start(fs, "");
	look_up(fs, "file");
	/* On top of the first. */
	other = looked_after(1);
	a_few_periods(other);
	CHECK_EQ(fs->forgotten, 0);
	rawfs_stop(other);
	rawfs_stop(fs);
}

TEST(a_mount_may_end_while_names_are_dropped)
{
	RS_ONLY("it does so every five seconds at most");
	for (int i = 0; i < 3; i++) {
		struct rawfs *fs = looked_after(1);
		char name[32];

		for (int j = 0; j < 400; j++) {
			snprintf(name, sizeof(name), "dir/f%d", j);
			CHECK_EQ(mknod(rawfs_path(fs, name), S_IFREG | 0644, 0), 0);
		}
		EVENTUALLY(fs->forgotten);
		rawfs_stop(fs);
	}
}
