// SPDX-License-Identifier: GPL-2.0
/* Listings of directories that the server lets be cached (FOPEN_CACHE_DIR). */
#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include "notify.h"

#define FILES 300
#define DIR_NODE 3
#define CACHED (FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE)

/* Makes files in the directory behind the client's back. */
static void fill(struct rawfs *fs)
{
	for (int i = 0; i < FILES; i++) {
		struct rawfs_node *n = &fs->node[100 + i];

		*n = (struct rawfs_node){ .used = true,
					  .parent = DIR_NODE,
					  .mode = S_IFREG | 0644,
					  .nlink = 1 };
		snprintf(n->name, sizeof(n->name), "f%d", i);
	}
}

static struct rawfs *start(uint64_t flags, uint32_t open_flags)
{
	struct rawfs *fs = rawfs_wanting(flags);

	fs->open_flags = open_flags;
	rawfs_start(fs, "");
	fill(fs);
	return fs;
}

/* Requests for entries so far. */
static unsigned long asked(struct rawfs *fs)
{
	return fs->count[FUSE_READDIR] + fs->count[FUSE_READDIRPLUS];
}

/* One getdents64(2) with a buffer of `size`; each name is looked at by `see`. */
static int get(int fd, size_t size, void (*see)(const char *name))
{
	static _Thread_local _Alignas(8) char buf[65536];
	long len = syscall(SYS_getdents64, fd, buf, size);
	int n = 0;

	CHECK(len >= 0);
	for (long at = 0; at < len; n++) {
		struct dirent64 *e = (void *)(buf + at);

		if (see)
			see(e->d_name);
		at += e->d_reclen;
	}
	return n;
}

/* The rest of an open directory; returns how many entries there were. */
static int rest(int fd, size_t size)
{
	int n = 0, some;

	while ((some = get(fd, size, NULL)) > 0)
		n += some;
	return n;
}

static int open_dir(struct rawfs *fs)
{
	int fd = open(rawfs_path(fs, "dir"), O_RDONLY | O_DIRECTORY);

	CHECK(fd >= 0);
	return fd;
}

static int list(struct rawfs *fs)
{
	int fd = open_dir(fs), n = rest(fd, 32768);

	close(fd);
	return n;
}

/* Lists it, and says whether the server was asked. */
static bool is_asked(struct rawfs *fs, int entries)
{
	unsigned long before = asked(fs);

	CHECK_EQ(list(fs), entries);
	return asked(fs) != before;
}

static char seen[FILES];
static int others;

static void see(const char *name)
{
	if (name[0] == 'f')
		seen[atoi(name + 1)]++;
	else
		others++;
}

TEST(a_listing_is_asked_for_once)
{
	struct rawfs *fs = start(0, CACHED);

	CHECK(is_asked(fs, FILES + 1));
	CHECK(!is_asked(fs, FILES + 1));
	CHECK(!is_asked(fs, FILES + 1));
	rawfs_stop(fs);
}

TEST(each_listing_is_asked_for_if_it_may_not_be_cached)
{
	struct rawfs *fs = start(0, FOPEN_KEEP_CACHE);

	CHECK(is_asked(fs, FILES + 1));
	CHECK(is_asked(fs, FILES + 1));
	rawfs_stop(fs);
}

TEST(a_cached_listing_has_each_name_once)
{
	struct rawfs *fs = start(0, CACHED);
	static const size_t sizes[] = { 100, 1000, 4096, 65536 };

	CHECK(is_asked(fs, FILES + 1));
	for (int i = 0; i < 4; i++) {
		int fd = open_dir(fs), n = 0, some;
		unsigned long before = asked(fs);

		memset(seen, 0, sizeof(seen));
		others = 0;
		while ((some = get(fd, sizes[i], see)) > 0)
			n += some;
		CHECK_EQ(n, FILES + 1);
		CHECK_EQ(others, 1);
		for (int k = 0; k < FILES; k++)
			CHECK_EQ(seen[k], 1);
		/* The end has been reached, and stays where it is. */
		CHECK_EQ(get(fd, 1000, NULL), 0);
		CHECK_EQ(asked(fs), before);
		close(fd);
	}
	rawfs_stop(fs);
}

TEST(an_entry_is_listed_as_the_server_told_it)
{
	struct rawfs *fs = start(0, CACHED);
	struct dirent64 *e;
	char buf[65536];
	int fd;

	fs->node[100].mode = S_IFLNK | 0777;
	CHECK(is_asked(fs, FILES + 1));
	fd = open_dir(fs);
	CHECK(syscall(SYS_getdents64, fd, buf, sizeof(buf)) > 0);
	e = (void *)(buf + ((struct dirent64 *)buf)->d_reclen);
	CHECK_EQ(strcmp(e->d_name, "f0"), 0);
	CHECK_EQ(e->d_ino, 100);
	CHECK_EQ(e->d_type, DT_LNK);
	CHECK_EQ(e->d_off, 101);
	close(fd);
	rawfs_stop(fs);
}

TEST(an_empty_listing_is_cached)
{
	struct rawfs *fs = rawfs_wanting(0);
	unsigned long before;
	int fd;

	fs->open_flags = CACHED;
	rawfs_start(fs, "");
	CHECK(is_asked(fs, 1));
	CHECK(!is_asked(fs, 1));
	fd = open_dir(fs);
	before = asked(fs);
	CHECK_EQ(rest(fd, 1000), 1);
	CHECK_EQ(asked(fs), before);
	close(fd);
	rawfs_stop(fs);
}

TEST(an_open_without_keep_cache_drops_the_listing)
{
	struct rawfs *fs = start(0, FOPEN_CACHE_DIR);
	unsigned long before;
	int fd;

	CHECK(is_asked(fs, FILES + 1));
	CHECK(is_asked(fs, FILES + 1));
	fd = open_dir(fs);
	CHECK_EQ(rest(fd, 32768), FILES + 1);
	before = asked(fs);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_EQ(rest(fd, 32768), FILES + 1);
	CHECK_EQ(asked(fs), before);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_directory_that_is_not_opened_at_the_server_is_cached)
{
	struct rawfs *fs = rawfs_wanting(FUSE_NO_OPENDIR_SUPPORT);

	fs->no_opendir = true;
	rawfs_start(fs, "");
	fill(fs);
	CHECK(is_asked(fs, FILES + 1));
	CHECK(!is_asked(fs, FILES + 1));
	CHECK_EQ(fs->count[FUSE_OPENDIR], 1);
	CHECK_EQ(fs->count[FUSE_RELEASEDIR], 0);
	rawfs_stop(fs);
}

TEST(readdirplus_fills_the_listing_too)
{
	struct rawfs *fs = start(FUSE_DO_READDIRPLUS, CACHED);

	CHECK(is_asked(fs, FILES + 1));
	CHECK_EQ(fs->count[FUSE_READDIR], 0);
	CHECK(!is_asked(fs, FILES + 1));
	rawfs_stop(fs);
}

TEST(another_mtime_drops_the_listing)
{
	struct rawfs *fs = start(FUSE_AUTO_INVAL_DATA, CACHED);

	fs->attr_valid = 0;
	CHECK(is_asked(fs, FILES + 1));
	CHECK(!is_asked(fs, FILES + 1));
	fs->node[100].used = false;
	fs->node[DIR_NODE].mtime = 77;
	CHECK(is_asked(fs, FILES));
	CHECK(!is_asked(fs, FILES));
	rawfs_stop(fs);
}

TEST(the_mtime_is_asked_for_only_when_its_time_is_over)
{
	struct rawfs *fs = start(FUSE_AUTO_INVAL_DATA, CACHED);
	unsigned long before;

	CHECK(is_asked(fs, FILES + 1));
	before = fs->count[FUSE_GETATTR];
	fs->node[DIR_NODE].mtime = 77;
	CHECK(!is_asked(fs, FILES + 1));
	CHECK_EQ(fs->count[FUSE_GETATTR], before);
	rawfs_stop(fs);
}

TEST(the_mtime_is_asked_for_only_with_auto_inval_data)
{
	struct rawfs *fs = start(0, CACHED);
	unsigned long before;

	fs->attr_valid = 0;
	CHECK(is_asked(fs, FILES + 1));
	before = fs->count[FUSE_GETATTR];
	fs->node[DIR_NODE].mtime = 77;
	CHECK(!is_asked(fs, FILES + 1));
	CHECK_EQ(fs->count[FUSE_GETATTR], before);
	rawfs_stop(fs);
}

/* Changes the directory; returns how many entries more there are. */
static int change(struct rawfs *fs, int how)
{
	const char *new = rawfs_path(fs, "dir/new"), *old = rawfs_path(fs, "dir/f1");

	switch (how) {
	case 0:
		close(creat(new, 0644));
		return 1;
	case 1:
		CHECK_EQ(unlink(new), 0);
		return -1;
	case 2:
		CHECK_EQ(mkdir(new, 0755), 0);
		return 1;
	case 3:
		CHECK_EQ(rmdir(new), 0);
		return -1;
	case 4:
		CHECK_EQ(symlink("target", new), 0);
		return 1;
	case 5:
		CHECK_EQ(rename(new, rawfs_path(fs, "new")), 0);
		return -1;
	case 6:
		CHECK_EQ(rename(rawfs_path(fs, "new"), new), 0);
		return 1;
	case 7:
		CHECK_EQ(rename(new, old), 0);
		return -1;
	default:
		CHECK_EQ(mknod(new, S_IFIFO | 0644, 0), 0);
		return 1;
	}
}

TEST(changes_of_our_own_drop_the_listing)
{
	struct rawfs *fs = start(0, CACHED);
	int n = FILES + 1;

	for (int how = 0; how <= 8; how++) {
		is_asked(fs, n);
		CHECK(!is_asked(fs, n));
		n += change(fs, how);
		CHECK(is_asked(fs, n));
	}
	rawfs_stop(fs);
}

TEST(a_listing_during_which_the_directory_changes_is_not_kept)
{
	struct rawfs *fs = start(0, CACHED);
	int fd = open_dir(fs), n;

	n = get(fd, 1000, NULL);
	CHECK(n > 0 && n < FILES);
	CHECK_EQ(unlink(rawfs_path(fs, "dir/f0")), 0);
	rest(fd, 1000);
	CHECK(is_asked(fs, FILES));
	CHECK(!is_asked(fs, FILES));
	close(fd);
	rawfs_stop(fs);
}

TEST(who_reads_an_old_listing_adds_nothing_to_a_new_one)
{
	struct rawfs *fs = start(0, CACHED);
	int fd = open_dir(fs);

	CHECK(get(fd, 1000, NULL) > 0);
	CHECK_EQ(unlink(rawfs_path(fs, "dir/f299")), 0);
	/* The new listing starts while the old one goes on. */
	int other = open_dir(fs);

	CHECK(get(other, 500, NULL) > 0);
	CHECK(rest(fd, 1000) > 0);
	rest(other, 1000);
	close(fd);
	close(other);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(list(fs), FILES);
	CHECK(!is_asked(fs, FILES));
	rawfs_stop(fs);
}

TEST(stale_data_of_a_directory_is_its_listing)
{
	struct rawfs *fs = start(0, CACHED);

	CHECK(is_asked(fs, FILES + 1));
	fs->node[100].used = false;
	CHECK_EQ(notify_inval_inode(fs, DIR_NODE, 0, 0), 0);
	CHECK(is_asked(fs, FILES));
	CHECK(!is_asked(fs, FILES));
	rawfs_stop(fs);
}

TEST(stale_attributes_alone_leave_the_listing)
{
	struct rawfs *fs = start(FUSE_AUTO_INVAL_DATA, CACHED);
	unsigned long before;

	CHECK(is_asked(fs, FILES + 1));
	before = fs->count[FUSE_GETATTR];
	CHECK_EQ(notify_inval_inode(fs, DIR_NODE, -1, 0), 0);
	CHECK(!is_asked(fs, FILES + 1));
	CHECK_EQ(fs->count[FUSE_GETATTR], before + 1);
	rawfs_stop(fs);
}

TEST(a_stale_name_drops_the_listing)
{
	struct rawfs *fs = start(0, CACHED);
	struct stat st;

	CHECK_EQ(stat(rawfs_path(fs, "dir/f0"), &st), 0);
	CHECK(is_asked(fs, FILES + 1));
	fs->node[100].used = false;
	CHECK_EQ(notify_inval_entry(fs, DIR_NODE, "f0", 0), 0);
	CHECK(is_asked(fs, FILES));
	rawfs_stop(fs);
}

TEST(a_new_name_drops_the_listing)
{
	RS_ONLY("the C driver heeds only names that were looked up");
	struct rawfs *fs = start(0, CACHED);

	CHECK(is_asked(fs, FILES + 1));
	strcpy(fs->node[100].name, "other");
	CHECK_EQ(notify_inval_entry(fs, DIR_NODE, "other", 0), ENOENT);
	CHECK(is_asked(fs, FILES + 1));
	rawfs_stop(fs);
}

TEST(a_listing_dropped_from_memory_is_asked_for_again)
{
	struct rawfs *fs = start(0, CACHED);
	int fd;

	CHECK(is_asked(fs, FILES + 1));
	drop_caches("1");
	CHECK(is_asked(fs, FILES + 1));
	CHECK(!is_asked(fs, FILES + 1));
	/* Also in the middle. */
	fd = open_dir(fs);
	int n = get(fd, 1000, NULL);

	drop_caches("1");
	CHECK_EQ(n + rest(fd, 1000), FILES + 1);
	close(fd);
	list(fs);
	CHECK(!is_asked(fs, FILES + 1));
	rawfs_stop(fs);
}

TEST(a_part_of_a_listing_dropped_from_memory_is_filled_again)
{
	RS_ONLY("the C driver never caches that directory again");
	struct rawfs *fs = start(0, CACHED);
	int fd = open_dir(fs), n = get(fd, 1000, NULL);

	drop_caches("1");
	CHECK_EQ(n + rest(fd, 1000), FILES + 1);
	close(fd);
	CHECK_EQ(list(fs), FILES + 1);
	CHECK(!is_asked(fs, FILES + 1));
	rawfs_stop(fs);
}

TEST(who_stops_in_the_middle_does_not_keep_others_from_caching)
{
	struct rawfs *fs = start(0, CACHED);
	int fd = open_dir(fs);

	CHECK(get(fd, 1000, NULL) > 0);
	close(fd);
	CHECK(is_asked(fs, FILES + 1));
	CHECK(!is_asked(fs, FILES + 1));
	rawfs_stop(fs);
}

TEST(who_starts_again_fills_the_listing)
{
	struct rawfs *fs = start(0, CACHED);
	int fd = open_dir(fs);

	CHECK(get(fd, 1000, NULL) > 0);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_EQ(rest(fd, 1000), FILES + 1);
	close(fd);
	CHECK(!is_asked(fs, FILES + 1));
	rawfs_stop(fs);
}

TEST(readers_at_the_same_time_see_everything)
{
	struct rawfs *fs = start(0, CACHED);
	int fd[3], n[3] = { 0 }, busy = 1;

	for (int i = 0; i < 3; i++)
		fd[i] = open_dir(fs);
	while (busy) {
		busy = 0;
		for (int i = 0; i < 3; i++) {
			int some = get(fd[i], 500 + 300 * i, NULL);

			n[i] += some;
			busy += some;
		}
	}
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(n[i], FILES + 1);
		close(fd[i]);
	}
	CHECK(!is_asked(fs, FILES + 1));
	rawfs_stop(fs);
}

static struct rawfs *many;
static atomic_int wrong;

static void *list_often(void *arg)
{
	for (int i = 0; i < 100; i++) {
		int fd = open(rawfs_path(many, "dir"), O_RDONLY | O_DIRECTORY);
		int n = 0, some;

		while ((some = get(fd, 2000, NULL)) > 0)
			n += some;
		if (n != FILES + 1)
			wrong++;
		close(fd);
	}
	return NULL;
}

TEST(threads_that_list_while_it_is_dropped_see_everything)
{
	pthread_t thread[3];

	many = start(0, CACHED);
	CHECK_EQ(list(many), FILES + 1);
	for (int i = 0; i < 3; i++)
		CHECK(!pthread_create(&thread[i], NULL, list_often, NULL));
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(notify_inval_inode(many, DIR_NODE, 0, 0), 0);
		usleep(2000);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	CHECK_EQ(wrong, 0);
	rawfs_stop(many);
}

TEST(a_position_told_before_can_be_sought)
{
	struct rawfs *fs = start(0, CACHED);
	long at[FILES + 2];
	char name[FILES + 2][32];
	unsigned long before;
	struct dirent *e;
	int n = 0;
	DIR *d;

	CHECK_EQ(list(fs), FILES + 1);
	before = asked(fs);
	d = opendir(rawfs_path(fs, "dir"));
	CHECK(d);
	for (at[0] = telldir(d); (e = readdir(d)); at[++n] = telldir(d))
		strcpy(name[n], e->d_name);
	CHECK_EQ(n, FILES + 1);
	for (int i = n - 1; i >= 0; i -= 7) {
		seekdir(d, at[i]);
		CHECK((e = readdir(d)));
		CHECK_EQ(strcmp(e->d_name, name[i]), 0);
	}
	seekdir(d, at[n]);
	CHECK(!readdir(d));
	CHECK_EQ(asked(fs), before);
	closedir(d);
	rawfs_stop(fs);
}

TEST(a_position_the_listing_does_not_have_is_asked_for)
{
	struct rawfs *fs = start(0, CACHED);
	unsigned long before;
	int fd;

	CHECK_EQ(list(fs), FILES + 1);
	before = asked(fs);
	fd = open_dir(fs);
	/* The server knows it, but no entry ends there. */
	CHECK_EQ(lseek(fd, 50, SEEK_SET), 50);
	CHECK_EQ(rest(fd, 32768), FILES);
	CHECK(asked(fs) > before);
	close(fd);
	rawfs_stop(fs);
}
