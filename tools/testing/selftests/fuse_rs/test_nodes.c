// SPDX-License-Identifier: GPL-2.0
/* Names, nodes and attributes: which answer is believed, for how long, and what is given back. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <time.h>
#include "record.h"

static struct stat stat_of(struct rawfs *fs, const char *name)
{
	struct stat st;

	if (stat(rawfs_path(fs, name), &st))
		FAIL("stat of %s", name);
	return st;
}

/* All lookups of the node come back once nobody needs it; a single sweep may pass it by. */
static void given_back(struct rawfs *fs, uint64_t node)
{
	EVENTUALLY((drop_caches("2"), fs->node[node].nlookup == 0));
}

/* --- Attributes that are older than others --- */

/* The request that is answered late, by what was true of "file" when it came. */
static struct {
	uint32_t opcode;
	atomic_ulong unique;
	struct fuse_entry_out entry;
} held;

static bool hold(struct rawfs *fs, struct rawfs_req *req)
{
	if (req->in.opcode != held.opcode || held.unique)
		return false;
	if (req->in.opcode == FUSE_LOOKUP && strcmp(req->body, "alias"))
		return false;
	rawfs_entry(fs, 2, &held.entry);
	held.unique = req->in.unique;
	return true;
}

static void answer_held(struct rawfs *fs)
{
	struct fuse_attr_out attr = { .attr_valid = fs->attr_valid, .attr = held.entry.attr };
	struct {
		struct fuse_direntplus d;
		char name[8];
	} plus = { .d = { .entry_out = held.entry,
			  .dirent = { .ino = 2, .off = 3, .namelen = 4, .type = DT_REG } },
		   .name = "file" };

	switch (held.opcode) {
	case FUSE_GETATTR:
		rawfs_reply(fs->fd, held.unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_LOOKUP:
		rawfs_reply_entry(fs, held.unique, &held.entry);
		break;
	case FUSE_READDIRPLUS:
		fs->node[2].nlookup++;
		fs->looked_up++;
		rawfs_reply(fs->fd, held.unique, 0, &plus,
			    FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + 4));
		break;
	}
}

/* `ask` makes the request in a child; meanwhile the mode of "file" changes. */
static void older_than_a_chmod(uint32_t opcode, void (*ask)(struct rawfs *fs))
{
	struct rawfs *fs = recording_fs();
	pid_t pid;

	fs->entry_valid = fs->attr_valid = 1000;
	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 31,
					       .max_write = 65536,
					       .flags = FUSE_DO_READDIRPLUS | FUSE_PARALLEL_DIROPS };
	held.opcode = opcode;
	special = hold;
	rawfs_start(fs, "");
	CHECK_EQ(stat_of(fs, "file").st_mode & 07777, 0644);
	pid = fork();
	if (pid == 0) {
		close(fs->fd);
		ask(fs);
		_exit(0);
	}
	EVENTUALLY(held.unique);
	CHECK_EQ(chmod(rawfs_path(fs, "file"), 0600), 0);
	answer_held(fs);
	CHECK_EQ(exit_of(pid), 0);
	/* What the SETATTR said lasts, so nobody asks. */
	held.opcode = 0;
	CHECK_EQ(stat_of(fs, "file").st_mode & 07777, 0600);
	rawfs_stop(fs);
}

static void ask_getattr(struct rawfs *fs)
{
	struct statx st;

	CHECK_EQ(statx(AT_FDCWD, rawfs_path(fs, "file"), AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st),
		 0);
}

static void ask_lookup(struct rawfs *fs)
{
	stat_of(fs, "alias");
}

static void ask_readdirplus(struct rawfs *fs)
{
	DIR *dir = opendir(fs->mnt);

	CHECK(dir && readdir(dir));
	closedir(dir);
}

TEST(a_getattr_answered_late_changes_no_newer_attributes)
{
	older_than_a_chmod(FUSE_GETATTR, ask_getattr);
}

TEST(a_lookup_answered_late_changes_no_newer_attributes)
{
	older_than_a_chmod(FUSE_LOOKUP, ask_lookup);
}

TEST(a_listing_answered_late_changes_no_newer_attributes)
{
	older_than_a_chmod(FUSE_READDIRPLUS, ask_readdirplus);
}

/* --- Which node a name means --- */

static uint64_t generation;

/* "file" has this generation. "alias" and "dir/other" are other names of it. */
static bool names_of_file(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_entry_out out;

	if (req->in.opcode != FUSE_LOOKUP)
		return false;
	if (strcmp(req->body, "file") && strcmp(req->body, "alias") && strcmp(req->body, "other"))
		return false;
	rawfs_entry(fs, 2, &out);
	out.generation = generation;
	rawfs_reply_entry(fs, req->in.unique, &out);
	return true;
}

TEST(another_generation_is_another_inode)
{
	struct rawfs *fs = recording_fs();
	struct stat st;
	char c;
	int fd;

	special = names_of_file;
	generation = 1;
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDWR);
	CHECK(fd >= 0);
	generation = 2;
	CHECK_EQ(stat_of(fs, "file").st_size, 12);
	/* What was open is of a file that is gone. */
	CHECK_ERR(fstat(fd, &st), EIO);
	CHECK_ERR(pread(fd, &c, 1, 0), EIO);
	CHECK_ERR(pwrite(fd, "x", 1, 0), EIO);
	close(fd);
	/* The new one works. */
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK_EQ(pread(fd, &c, 1, 0), 1);
	CHECK_EQ(c, 'h');
	close(fd);
	given_back(fs, 2);
	rawfs_stop(fs);
}

TEST(names_of_one_node_are_one_inode)
{
	struct rawfs *fs = recording_fs();
	char text[13] = "";
	int one, two;

	special = names_of_file;
	generation = 1;
	fs->entry_valid = fs->attr_valid = 1000;
	rawfs_start(fs, "");
	one = open(rawfs_path(fs, "file"), O_RDWR);
	two = open(rawfs_path(fs, "dir/other"), O_RDONLY);
	CHECK_EQ(pread(two, text, 12, 0), 12);
	CHECK_EQ(pwrite(one, "J", 1, 0), 1);
	CHECK_EQ(pread(two, text, 12, 0), 12);
	CHECK(!strcmp(text, "Jello world\n"));
	CHECK_EQ(stat_of(fs, "alias").st_ino, stat_of(fs, "dir/other").st_ino);
	close(one);
	close(two);
	CHECK_EQ(fs->node[2].nlookup, 3);
	given_back(fs, 2);
	rawfs_stop(fs);
}

static uint64_t meant;

/* "odd" in any directory means the directory `meant`. */
static bool odd_directory(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_entry_out out;

	if (req->in.opcode != FUSE_LOOKUP || strcmp(req->body, "odd"))
		return false;
	rawfs_entry(fs, meant, &out);
	rawfs_reply_entry(fs, req->in.unique, &out);
	return true;
}

TEST(a_directory_is_not_in_itself)
{
	struct rawfs *fs = recording_fs();
	struct stat st;

	special = odd_directory;
	meant = 3;
	rawfs_start(fs, "");
	CHECK_ERR(stat(rawfs_path(fs, "dir/odd"), &st), ELOOP);
	CHECK(S_ISDIR(stat_of(fs, "dir").st_mode));
	given_back(fs, 3);
	rawfs_stop(fs);
}

TEST(the_root_is_in_no_directory)
{
	struct rawfs *fs = recording_fs();
	struct stat st;

	special = odd_directory;
	meant = 1;
	rawfs_start(fs, "");
	CHECK_ERR(stat(rawfs_path(fs, "dir/odd"), &st), EIO);
	CHECK_ERR(stat(rawfs_path(fs, "odd"), &st), EIO);
	CHECK(S_ISDIR(stat_of(fs, ".").st_mode));
	rawfs_stop(fs);
}

TEST(a_directory_seen_elsewhere_has_moved)
{
	struct rawfs *fs = recording_fs();
	char *place;
	int fd;

	special = odd_directory;
	rawfs_start(fs, "");
	CHECK_EQ(mkdir(rawfs_path(fs, "deep"), 0755), 0);
	fd = open(rawfs_path(fs, "deep"), O_RDONLY | O_DIRECTORY);
	meant = stat_of(fs, "deep").st_ino;
	stat_of(fs, "dir/odd");
	CHECK_EQ(fchdir(fd), 0);
	place = getcwd(NULL, 0);
	CHECK(place && !strcmp(place, rawfs_path(fs, "dir/odd")));
	CHECK_EQ(chdir("/"), 0);
	close(fd);
	rawfs_stop(fs);
}

/* --- How long an answer is believed --- */

static uint32_t entry_nsec, attr_nsec;

static bool short_timeouts(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_entry_out out;

	if (req->in.opcode != FUSE_LOOKUP || strcmp(req->body, "file"))
		return false;
	rawfs_entry(fs, 2, &out);
	out.entry_valid_nsec = entry_nsec;
	out.attr_valid_nsec = attr_nsec;
	rawfs_reply_entry(fs, req->in.unique, &out);
	return true;
}

TEST(names_are_believed_for_less_than_a_second)
{
	struct rawfs *fs = recording_fs();
	unsigned long before;

	special = short_timeouts;
	entry_nsec = 400000000;
	fs->attr_valid = 1000;
	rawfs_start(fs, "");
	stat_of(fs, "file");
	before = fs->count[FUSE_LOOKUP];
	stat_of(fs, "file");
	CHECK_EQ(fs->count[FUSE_LOOKUP], before);
	usleep(500000);
	stat_of(fs, "file");
	CHECK_EQ(fs->count[FUSE_LOOKUP], before + 1);
	rawfs_stop(fs);
}

TEST(attributes_are_believed_for_less_than_a_second)
{
	struct rawfs *fs = recording_fs();

	special = short_timeouts;
	attr_nsec = 400000000;
	fs->entry_valid = 1000;
	rawfs_start(fs, "");
	stat_of(fs, "file");
	stat_of(fs, "file");
	CHECK_EQ(fs->count[FUSE_GETATTR], 0);
	usleep(500000);
	stat_of(fs, "file");
	CHECK_EQ(fs->count[FUSE_GETATTR], 1);
	rawfs_stop(fs);
}

TEST(the_longest_timeout_does_not_end)
{
	struct rawfs *fs = recording_fs();

	fs->entry_valid = fs->attr_valid = UINT64_MAX;
	rawfs_start(fs, "");
	stat_of(fs, "file");
	stat_of(fs, "file");
	CHECK_EQ(fs->count[FUSE_LOOKUP], 1);
	CHECK_EQ(fs->count[FUSE_GETATTR], 0);
	rawfs_stop(fs);
}

/* --- Many at once --- */

TEST(names_of_a_directory_are_looked_up_at_once)
{
	struct rawfs *fs = rawfs_wanting(FUSE_PARALLEL_DIROPS);
	static struct rawfs_req one, two;
	pid_t pids[2];

	rawfs_start_manual(fs, "");
	rawfs_handshake(fs);
	pids[0] = stat_in_child(fs, "file");
	pids[1] = stat_in_child(fs, "dir");
	/* Both come before either is answered. */
	rawfs_expect(fs, &one, FUSE_LOOKUP);
	rawfs_expect(fs, &two, FUSE_LOOKUP);
	rawfs_default(fs, &two);
	rawfs_default(fs, &one);
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pids[0]), 0);
	CHECK_EQ(exit_of(pids[1]), 0);
	rawfs_stop(fs);
}

TEST(one_name_is_looked_up_once)
{
	struct rawfs *fs = rawfs_wanting(FUSE_PARALLEL_DIROPS);
	static struct rawfs_req one;
	pid_t pids[3];

	rawfs_start_manual(fs, "");
	rawfs_handshake(fs);
	for (int i = 0; i < 3; i++)
		pids[i] = stat_in_child(fs, "file");
	rawfs_expect(fs, &one, FUSE_LOOKUP);
	usleep(300000);
	rawfs_default(fs, &one);
	rawfs_serve(fs);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(exit_of(pids[i]), 0);
	CHECK_EQ(fs->count[FUSE_LOOKUP], 0);
	rawfs_stop(fs);
}

/* --- Opening and making --- */

TEST(a_new_file_is_made_and_opened_in_one_request)
{
	struct rawfs *fs = recording_fs();
	struct fuse_create_in *in;
	int fd;

	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "new"), O_CREAT | O_EXCL | O_RDWR, 0640);
	CHECK(fd >= 0);
	in = last(FUSE_CREATE);
	CHECK_EQ(in->mode, S_IFREG | 0640);
	CHECK_EQ(in->flags & (O_CREAT | O_EXCL | O_ACCMODE), O_CREAT | O_EXCL | O_RDWR);
	CHECK(!asked(FUSE_OPEN) && !asked(FUSE_MKNOD));
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_EQ(((struct fuse_write_in *)last(FUSE_WRITE))->fh, 5);
	close(fd);
	CHECK_ERR(open(rawfs_path(fs, "new"), O_CREAT | O_EXCL | O_RDWR, 0640), EEXIST);
	rawfs_stop(fs);
}

TEST(what_is_there_is_opened_not_made)
{
	struct rawfs *fs = recording_fs();
	int fd;

	fs->entry_valid = 1000;
	rawfs_start(fs, "");
	stat_of(fs, "file");
	fd = open(rawfs_path(fs, "file"), O_CREAT | O_RDWR, 0640);
	CHECK(fd >= 0);
	CHECK(asked(FUSE_OPEN) && !asked(FUSE_CREATE));
	CHECK(!(((struct fuse_open_in *)last(FUSE_OPEN))->flags & (O_CREAT | O_EXCL | O_NOCTTY)));
	close(fd);
	rawfs_stop(fs);
}

static void truncating_open(uint32_t flags, bool by_open)
{
	struct rawfs *fs = recording_fs();
	int fd;

	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 31,
					       .max_write = 65536,
					       .flags = FUSE_BIG_WRITES | flags };
	fs->entry_valid = fs->attr_valid = 1000;
	rawfs_start(fs, "");
	CHECK_EQ(stat_of(fs, "file").st_size, 12);
	fd = open(rawfs_path(fs, "file"), O_WRONLY | O_TRUNC);
	CHECK(fd >= 0);
	CHECK_EQ(!!(((struct fuse_open_in *)last(FUSE_OPEN))->flags & O_TRUNC), by_open);
	CHECK_EQ(!!asked(FUSE_SETATTR), !by_open);
	CHECK_EQ(stat_of(fs, "file").st_size, by_open ? fs->node[2].size : 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(o_trunc_is_a_setattr)
{
	truncating_open(0, false);
}

TEST(atomic_o_trunc_is_part_of_the_open)
{
	truncating_open(FUSE_ATOMIC_O_TRUNC, true);
}

TEST(special_files_are_made_as_they_are)
{
	struct rawfs *fs = recording_fs();
	struct fuse_mknod_in *in;
	struct stat st;

	rawfs_start(fs, "");
	umask(0);
	CHECK_EQ(mknod(rawfs_path(fs, "fifo"), S_IFIFO | 0620, 0), 0);
	in = last(FUSE_MKNOD);
	CHECK_EQ(in->mode, S_IFIFO | 0620);
	CHECK(S_ISFIFO(stat_of(fs, "fifo").st_mode));
	CHECK_EQ(mknod(rawfs_path(fs, "disk"), S_IFBLK | 0600, makedev(7, 300)), 0);
	in = last(FUSE_MKNOD);
	CHECK_EQ(in->mode, S_IFBLK | 0600);
	/* The kernel's 32-bit form of a device number. */
	CHECK_EQ(in->rdev, (300 & 0xff) | 7 << 8 | (300 & ~0xff) << 12);
	CHECK_EQ(lstat(rawfs_path(fs, "disk"), &st), 0);
	CHECK(S_ISBLK(st.st_mode));
	rawfs_stop(fs);
}

/* --- What is refused is given back --- */

/* A directory is answered by an entry that is a regular file. */
static bool wrong_type(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_entry_out out;

	if (req->in.opcode != FUSE_MKDIR)
		return false;
	rawfs_entry(fs, 2, &out);
	rawfs_reply_entry(fs, req->in.unique, &out);
	return true;
}

TEST(an_entry_of_the_wrong_type_is_refused_and_given_back)
{
	RS_ONLY("C keeps the lookup");
	struct rawfs *fs = recording_fs();

	special = wrong_type;
	rawfs_start(fs, "");
	CHECK_ERR(mkdir(rawfs_path(fs, "new"), 0755), EIO);
	EVENTUALLY(fs->forgotten == fs->looked_up);
	CHECK_EQ(fs->node[2].nlookup, 0);
	rawfs_stop(fs);
}
