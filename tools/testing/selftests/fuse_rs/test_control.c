// SPDX-License-Identifier: GPL-2.0
/*
 * The control file system: /sys/fs/fuse/connections. FUSECTL_TYPE (default fusectl) chooses the
 * driver, as FUSE_FSTYPE does for the rest.
 */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include "rawfs.h"

#define FUSECTL_MAGIC 0x65735543

static struct rawfs_req req;
/* Where it is mounted; gone with the rest after each case. */
static char ctl[64];

static const char *ctl_type(void)
{
	const char *type = getenv("FUSECTL_TYPE");

	return type ? type : "fusectl";
}

static void mount_ctl(void)
{
	if (!ctl[0]) {
		snprintf(ctl, sizeof(ctl), "/tmp/rawfs-%d-ctl%d", getppid(), getpid());
		CHECK_EQ(mkdir(ctl, 0755), 0);
	}
	if (mount("none", ctl, ctl_type(), 0, NULL))
		FAIL("mount -t %s", ctl_type());
}

static struct rawfs *mounted(const char *more)
{
	struct rawfs *fs = rawfs_new();

	rawfs_start_manual(fs, more);
	return fs;
}

static void shake_hands(struct rawfs *fs)
{
	CHECK(rawfs_read(fs->fd, &req));
	CHECK_EQ(req.in.opcode, FUSE_INIT);
	rawfs_init(fs, &req);
}

static struct rawfs *ready_fs(void)
{
	struct rawfs *fs = mounted("");

	shake_hands(fs);
	return fs;
}

/* The device number of the mount, without asking the server. */
static unsigned int number(struct rawfs *fs)
{
	struct statx st;

	CHECK_EQ(statx(AT_FDCWD, fs->mnt, AT_STATX_DONT_SYNC, 0, &st), 0);
	CHECK_EQ(st.stx_dev_major, 0);
	return st.stx_dev_minor;
}

/* A file of the connection's directory; with "", the directory. */
static const char *entry(unsigned int id, const char *name)
{
	static char ring[4][128];
	static int next;
	char *path = ring[next++ % 4];

	snprintf(path, 128, "%s/%u%s%s", ctl, id, *name ? "/" : "", name);
	return path;
}

static const char *get(unsigned int id, const char *name)
{
	static char buf[64];
	int fd = open(entry(id, name), O_RDONLY);
	ssize_t n;

	if (fd < 0)
		FAIL("open %s", name);
	n = read(fd, buf, sizeof(buf) - 1);
	CHECK(n >= 0);
	buf[n] = 0;
	close(fd);
	return buf;
}

static ssize_t put(unsigned int id, const char *name, const char *value)
{
	int fd = open(entry(id, name), O_WRONLY), error;
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, value, strlen(value));
	error = errno;
	close(fd);
	errno = error;
	return n;
}

#define CHECK_IS(id, name, value)                                                                  \
	do {                                                                                       \
		const char *is = get(id, name);                                                    \
		if (strcmp(is, value))                                                             \
			FAIL("%s is %s", name, is);                                                \
	} while (0)

static void stop(struct rawfs *fs)
{
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(root_directory)
{
	struct statfs sf;
	struct stat st;

	mount_ctl();
	CHECK_EQ(statfs(ctl, &sf), 0);
	CHECK_EQ(sf.f_type, FUSECTL_MAGIC);
	CHECK_EQ(stat(ctl, &st), 0);
	CHECK_EQ(st.st_mode, S_IFDIR | 0755);
	CHECK_EQ(st.st_uid, 0);
}

TEST(nothing_can_be_made_or_removed)
{
	struct rawfs *fs = ready_fs();
	unsigned int id = number(fs);
	char path[128];

	mount_ctl();
	snprintf(path, sizeof(path), "%s/x", ctl);
	CHECK_ERR(mkdir(path, 0755), EPERM);
	CHECK_ERR(open(path, O_CREAT | O_RDWR, 0644), EACCES);
	CHECK_ERR(mkdir(entry(id, "x"), 0755), EPERM);
	CHECK_ERR(open(entry(id, "x"), O_CREAT | O_RDWR, 0644), EACCES);
	CHECK_ERR(unlink(entry(id, "abort")), EPERM);
	CHECK_ERR(rmdir(entry(id, "")), EPERM);
	CHECK_ERR(rename(entry(id, "abort"), entry(id, "x")), EPERM);
	CHECK_EQ(access(entry(id, "abort"), F_OK), 0);
	stop(fs);
}

TEST(one_directory_for_each_connection)
{
	struct rawfs *a = ready_fs(), *b = calloc(1, sizeof(*b));
	struct stat root, more;
	unsigned int ida = number(a), idb;

	mount_ctl();
	CHECK_EQ(stat(ctl, &root), 0);
	/* A mount that comes while the control file system is there. */
	pthread_mutex_init(&b->lock, NULL);
	snprintf(b->mnt, sizeof(b->mnt), "%.60s-b", a->mnt);
	CHECK_EQ(mkdir(b->mnt, 0755), 0);
	b->node[1] = (struct rawfs_node){ .used = true, .mode = S_IFDIR | 0755, .nlink = 2 };
	b->fd = rawfs_open();
	CHECK_EQ(rawfs_mount(b->fd, b->mnt, ""), 0);
	idb = number(b);
	CHECK(ida != idb);
	CHECK_EQ(access(entry(ida, "waiting"), F_OK), 0);
	CHECK_EQ(access(entry(idb, "waiting"), F_OK), 0);
	CHECK_EQ(stat(ctl, &more), 0);
	CHECK_EQ(more.st_nlink, root.st_nlink + 1);
	/* Each is about its own. */
	pid_t pid = stat_in_child(a, "");

	CHECK(rawfs_read(a->fd, &req));
	CHECK_EQ(req.in.opcode, FUSE_GETATTR);
	CHECK_IS(ida, "waiting", "1\n");
	CHECK(put(idb, "abort", "1") == 1);
	CHECK_IS(ida, "waiting", "1\n");
	rawfs_default(a, &req);
	CHECK_EQ(exit_of(pid), 0);
	CHECK_EQ(umount(b->mnt), 0);
	CHECK_EQ(access(entry(idb, ""), F_OK), -1);
	CHECK_EQ(access(entry(ida, "waiting"), F_OK), 0);
	CHECK_EQ(stat(ctl, &more), 0);
	CHECK_EQ(more.st_nlink, root.st_nlink);
	stop(a);
}

static void check_mode(unsigned int id, const char *name, mode_t mode, uid_t uid, gid_t gid)
{
	struct stat st;

	if (stat(entry(id, name), &st))
		FAIL("stat %s", name);
	CHECK_EQ(st.st_mode, mode);
	CHECK_EQ(st.st_uid, uid);
	CHECK_EQ(st.st_gid, gid);
	CHECK_EQ(st.st_nlink, S_ISDIR(mode) ? 2 : 1);
	CHECK_EQ(st.st_size, 0);
	CHECK(st.st_mtime > 0);
}

TEST(modes_and_owners)
{
	struct rawfs *fs = mounted(",user_id=1000,group_id=1001");
	unsigned int id = number(fs);
	struct dirent *d;
	int entries = 0;
	DIR *dir;

	mount_ctl();
	check_mode(id, "", S_IFDIR | 0500, 1000, 1001);
	check_mode(id, "waiting", S_IFREG | 0400, 1000, 1001);
	check_mode(id, "abort", S_IFREG | 0200, 1000, 1001);
	check_mode(id, "max_background", S_IFREG | 0600, 1000, 1001);
	check_mode(id, "congestion_threshold", S_IFREG | 0600, 1000, 1001);
	dir = opendir(entry(id, ""));
	CHECK(dir);
	while ((d = readdir(dir)))
		entries += d->d_name[0] != '.';
	closedir(dir);
	/* Ours has `temporary_pages`, too. */
	CHECK_EQ(entries, ktap_is_rs() ? 5 : 4);
	if (ktap_is_rs())
		check_mode(id, "temporary_pages", S_IFREG | 0400, 1000, 1001);
	CHECK_EQ(umount(fs->mnt), 0);
}

/* What a child that is this user gets. */
static int as_user(uid_t uid, int (*what)(unsigned int id), unsigned int id)
{
	pid_t pid = fork();

	if (pid == 0) {
		CHECK_EQ(setgroups(0, NULL), 0);
		CHECK_EQ(setgid(1001), 0);
		CHECK_EQ(setuid(uid), 0);
		_exit(what(id));
	}
	return exit_of(pid);
}

static int use_all(unsigned int id)
{
	int fd;

	fd = open(entry(id, "waiting"), O_RDONLY);
	if (fd < 0)
		return errno;
	CHECK_ERR(open(entry(id, "waiting"), O_WRONLY), EACCES);
	CHECK_ERR(open(entry(id, "abort"), O_RDONLY), EACCES);
	CHECK(open(entry(id, "max_background"), O_RDWR) >= 0);
	CHECK(open(entry(id, "congestion_threshold"), O_RDWR) >= 0);
	CHECK_EQ(put(id, "abort", "1\n"), 2);
	return 0;
}

TEST(only_the_owner_may)
{
	struct rawfs *fs = mounted(",user_id=1000,group_id=1001");
	unsigned int id = number(fs);

	mount_ctl();
	CHECK_EQ(as_user(1002, use_all, id), EACCES);
	CHECK(rawfs_read(fs->fd, &req));
	CHECK_EQ(as_user(1000, use_all, id), 0);
	CHECK(!rawfs_read(fs->fd, &req));
	CHECK_EQ(umount(fs->mnt), 0);
}

static int limits(unsigned int id)
{
	/* A machine with less than 200 GB has a limit of its own below this for everybody. */
	CHECK_ERR(put(id, "max_background", "65535"), EINVAL);
	CHECK_ERR(put(id, "congestion_threshold", "65535"), EINVAL);
	CHECK_EQ(put(id, "max_background", "100"), 3);
	CHECK_EQ(put(id, "congestion_threshold", "99"), 2);
	CHECK_IS(id, "max_background", "100\n");
	CHECK_IS(id, "congestion_threshold", "99\n");
	return 0;
}

TEST(limits_for_users)
{
	struct rawfs *fs = mounted(",user_id=1000,group_id=1001");
	unsigned int id = number(fs);

	shake_hands(fs);
	mount_ctl();
	CHECK_EQ(as_user(1000, limits, id), 0);
	CHECK_EQ(put(id, "max_background", "65535"), 5);
	CHECK_EQ(put(id, "congestion_threshold", "65535"), 5);
	CHECK_EQ(umount(fs->mnt), 0);
}

/* A server without privileges does not get what it likes. */
TEST(limits_for_servers_of_users)
{
	unsigned int id, max, congestion;
	int up[2], down[2];
	pid_t pid;
	char c;

	CHECK_EQ(pipe(up), 0);
	CHECK_EQ(pipe(down), 0);
	pid = fork();
	if (pid == 0) {
		struct rawfs *fs;

		enter_namespace("0 0 1");
		fs = mounted("");
		fs->init_out = (struct fuse_init_out){ .major = 7,
						       .minor = 31,
						       .max_write = 131072,
						       .max_background = 65535,
						       .congestion_threshold = 65535 };
		shake_hands(fs);
		id = number(fs);
		CHECK_EQ(write(up[1], &id, sizeof(id)), sizeof(id));
		CHECK_EQ(read(down[0], &c, 1), 1);
		CHECK_EQ(umount(fs->mnt), 0);
		_exit(0);
	}
	CHECK_EQ(read(up[0], &id, sizeof(id)), sizeof(id));
	mount_ctl();
	EVENTUALLY(!strcmp(get(id, "waiting"), "0\n"));
	CHECK_EQ(sscanf(get(id, "max_background"), "%u", &max), 1);
	CHECK_EQ(sscanf(get(id, "congestion_threshold"), "%u", &congestion), 1);
	/* See limits(). */
	CHECK(max > 12 && max < 65535);
	CHECK(congestion > 9 && congestion < 65535);
	CHECK_EQ(write(down[1], "", 1), 1);
	CHECK_EQ(exit_of(pid), 0);
}

TEST(defaults)
{
	struct rawfs *fs = mounted("");
	unsigned int id = number(fs);

	mount_ctl();
	CHECK_IS(id, "max_background", "12\n");
	CHECK_IS(id, "congestion_threshold", "9\n");
	shake_hands(fs);
	EVENTUALLY(!strcmp(get(id, "waiting"), "0\n"));
	CHECK_IS(id, "max_background", "12\n");
	CHECK_IS(id, "congestion_threshold", "9\n");
	stop(fs);
}

static unsigned int with_init(struct rawfs **out, uint32_t minor, uint16_t max, uint16_t congestion)
{
	struct rawfs *fs = mounted("");

	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = minor,
					       .max_write = 131072,
					       .max_background = max,
					       .congestion_threshold = congestion };
	fs->init_len = minor < 23 ? 24 : 0;
	shake_hands(fs);
	if (!ctl[0])
		mount_ctl();
	EVENTUALLY(!strcmp(get(number(fs), "waiting"), "0\n"));
	*out = fs;
	return number(fs);
}

TEST(what_the_server_asked_for)
{
	struct rawfs *fs;
	unsigned int id = with_init(&fs, 31, 40, 0);

	CHECK_IS(id, "max_background", "40\n");
	CHECK_IS(id, "congestion_threshold", "9\n");
	stop(fs);
	id = with_init(&fs, 31, 0, 5);
	CHECK_IS(id, "max_background", "12\n");
	CHECK_IS(id, "congestion_threshold", "5\n");
	stop(fs);
	/* The one has nothing to do with the other. */
	id = with_init(&fs, 31, 7, 60000);
	CHECK_IS(id, "max_background", "7\n");
	CHECK_IS(id, "congestion_threshold", "60000\n");
	stop(fs);
	/* Before minor 13 these were not there. */
	id = with_init(&fs, 12, 7, 7);
	CHECK_IS(id, "max_background", "12\n");
	CHECK_IS(id, "congestion_threshold", "9\n");
	stop(fs);
}

static void numbers(unsigned int id, const char *name)
{
	char buf[8];
	int fd;

	CHECK_EQ(put(id, name, "5"), 1);
	CHECK_IS(id, name, "5\n");
	CHECK_EQ(put(id, name, "6\n"), 2);
	CHECK_IS(id, name, "6\n");
	CHECK_EQ(put(id, name, "0x10"), 4);
	CHECK_IS(id, name, "16\n");
	CHECK_EQ(put(id, name, "010"), 3);
	CHECK_IS(id, name, "8\n");
	CHECK_EQ(put(id, name, "65535"), 5);
	CHECK_IS(id, name, "65535\n");
	CHECK_ERR(put(id, name, "65536"), EINVAL);
	CHECK_ERR(put(id, name, "-1"), EINVAL);
	CHECK_ERR(put(id, name, "7x"), EINVAL);
	CHECK_ERR(put(id, name, "seven"), EINVAL);
	CHECK_ERR(put(id, name, "\n"), EINVAL);
	CHECK_ERR(put(id, name, "99999999999999999999999"), ERANGE);
	CHECK_IS(id, name, "65535\n");
	CHECK_EQ(put(id, name, "0"), 1);
	CHECK_IS(id, name, "0\n");
	fd = open(entry(id, name), O_RDWR);
	CHECK_EQ(write(fd, "11", 2), 2);
	CHECK_EQ(write(fd, "12", 2), 2);
	CHECK_ERR(write(fd, nowhere, 2), EFAULT);
	CHECK_ERR(pwrite(fd, "13", 2, 1), ESPIPE);
	CHECK_ERR(lseek(fd, 0, SEEK_SET), ESPIPE);
	CHECK_EQ(read(fd, buf, 1), 1);
	CHECK_EQ(buf[0], '1');
	CHECK_EQ(read(fd, buf, sizeof(buf)), 2);
	CHECK(!memcmp(buf, "2\n", 2));
	CHECK_EQ(read(fd, buf, sizeof(buf)), 0);
	close(fd);
}

TEST(limits_are_read_and_written)
{
	struct rawfs *fs = ready_fs();
	unsigned int id = number(fs);

	mount_ctl();
	numbers(id, "max_background");
	CHECK_IS(id, "congestion_threshold", "9\n");
	numbers(id, "congestion_threshold");
	CHECK_IS(id, "max_background", "12\n");
	stop(fs);
}

TEST(waiting_counts)
{
	struct rawfs *fs = mounted("");
	unsigned int id = number(fs);
	pid_t pids[3];
	char buf[8];
	int fd;

	mount_ctl();
	/* INIT. */
	CHECK_IS(id, "waiting", "1\n");
	pids[0] = stat_in_child(fs, "");
	EVENTUALLY(!strcmp(get(id, "waiting"), "2\n"));
	shake_hands(fs);
	EVENTUALLY(!strcmp(get(id, "waiting"), "1\n"));
	pids[1] = stat_in_child(fs, "");
	pids[2] = stat_in_child(fs, "");
	EVENTUALLY(!strcmp(get(id, "waiting"), "3\n"));
	/* With the server or not, it waits. */
	CHECK(rawfs_read(fs->fd, &req));
	CHECK_IS(id, "waiting", "3\n");
	/* What one reader gets is of one moment. */
	fd = open(entry(id, "waiting"), O_RDONLY);
	CHECK_EQ(read(fd, buf, 1), 1);
	rawfs_default(fs, &req);
	EVENTUALLY(!strcmp(get(id, "waiting"), "2\n"));
	CHECK_EQ(read(fd, buf + 1, 7), 1);
	CHECK(!memcmp(buf, "3\n", 2));
	CHECK_EQ(read(fd, buf, 8), 0);
	close(fd);
	rawfs_serve(fs);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(exit_of(pids[i]), 0);
	EVENTUALLY(!strcmp(get(id, "waiting"), "0\n"));
	rawfs_stop(fs);
}

static void aborted(uint32_t flags, int error)
{
	struct rawfs *fs = mounted("");
	unsigned int id = number(fs);
	pid_t pids[2];
	struct stat st;

	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 31,
					       .max_write = 131072,
					       .flags = flags };
	shake_hands(fs);
	mount_ctl();
	pids[0] = stat_in_child(fs, "");
	CHECK(rawfs_read(fs->fd, &req));
	pids[1] = stat_in_child(fs, "");
	EVENTUALLY(!strcmp(get(id, "waiting"), "2\n"));
	CHECK_EQ(put(id, "abort", "whatever"), 8);
	CHECK_EQ(exit_of(pids[0]), ECONNABORTED);
	CHECK_EQ(exit_of(pids[1]), ECONNABORTED);
	CHECK_ERR(stat(fs->mnt, &st), ENOTCONN);
	CHECK_ERR(read(fs->fd, &req, sizeof(req)), error);
	/* It is there until the mount is not. */
	CHECK_IS(id, "waiting", "0\n");
	CHECK_EQ(put(id, "abort", "1"), 1);
	CHECK_EQ(umount(fs->mnt), 0);
	CHECK_EQ(access(entry(id, ""), F_OK), -1);
}

TEST(abort_ends_everything)
{
	aborted(0, ENODEV);
}

TEST(abort_with_a_server_that_tells_it_from_umount)
{
	aborted(FUSE_ABORT_ERROR, ECONNABORTED);
}

TEST(abort_before_the_handshake)
{
	struct rawfs *fs = mounted("");
	unsigned int id = number(fs);
	pid_t pid = stat_in_child(fs, "");

	mount_ctl();
	EVENTUALLY(!strcmp(get(id, "waiting"), "2\n"));
	CHECK_EQ(put(id, "abort", "1"), 1);
	CHECK_EQ(exit_of(pid), ENOTCONN);
	CHECK(!rawfs_read(fs->fd, &req));
	CHECK_EQ(umount(fs->mnt), 0);
}

TEST(abort_wakes_the_server)
{
	struct rawfs *fs = ready_fs();
	unsigned int id = number(fs);
	pid_t pid;

	mount_ctl();
	pid = fork();
	if (pid == 0) {
		usleep(200000);
		_exit(put(id, "abort", "1") != 1);
	}
	CHECK_ERR(read(fs->fd, &req, sizeof(req)), ENODEV);
	CHECK_EQ(exit_of(pid), 0);
	CHECK_EQ(umount(fs->mnt), 0);
}

TEST(entries_vanish_at_umount)
{
	struct rawfs *fs = ready_fs();
	unsigned int id = number(fs);
	int waiting, abort, max, dir;
	struct rawfs *other;
	char buf[16];

	mount_ctl();
	dir = open(entry(id, ""), O_RDONLY);
	waiting = open(entry(id, "waiting"), O_RDONLY);
	abort = open(entry(id, "abort"), O_WRONLY);
	max = open(entry(id, "max_background"), O_RDWR);
	CHECK(dir >= 0 && waiting >= 0 && abort >= 0 && max >= 0);
	stop(fs);
	CHECK_EQ(access(entry(id, ""), F_OK), -1);
	/* Those who have them open find nothing, and do nothing. */
	CHECK_EQ(read(waiting, buf, sizeof(buf)), 0);
	CHECK_EQ(read(max, buf, sizeof(buf)), 0);
	CHECK_EQ(write(max, "5", 1), 1);
	CHECK_EQ(write(abort, "1", 1), 1);
	CHECK_ERR(openat(dir, "waiting", O_RDONLY), ENOENT);
	/* Not even to the next mount, of the same number. */
	other = ready_fs();
	CHECK_EQ(number(other), id);
	CHECK_EQ(write(abort, "1", 1), 1);
	CHECK_EQ(read(waiting, buf, sizeof(buf)), 0);
	CHECK_EQ(write(max, "5", 1), 1);
	CHECK_IS(id, "max_background", "12\n");
	stop(other);
}

TEST(entries_stay_while_a_file_is_open)
{
	struct rawfs *fs = ready_fs();
	unsigned int id = number(fs);
	int fd;

	rawfs_serve(fs);
	mount_ctl();
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK_EQ(umount2(fs->mnt, MNT_DETACH), 0);
	CHECK_EQ(access(entry(id, "waiting"), F_OK), 0);
	close(fd);
	CHECK(!pthread_join(fs->thread, NULL));
	EVENTUALLY(access(entry(id, ""), F_OK) == -1);
}

TEST(mounted_again)
{
	struct rawfs *fs = ready_fs();
	unsigned int id = number(fs);
	char second[80];

	mount_ctl();
	CHECK_EQ(put(id, "max_background", "33"), 2);
	/* There is one control file system, wherever it is mounted. */
	snprintf(second, sizeof(second), "%s-2", ctl);
	CHECK_EQ(mkdir(second, 0755), 0);
	CHECK_EQ(mount("none", second, ctl_type(), 0, NULL), 0);
	struct stat a, b;

	CHECK_EQ(stat(ctl, &a), 0);
	CHECK_EQ(stat(second, &b), 0);
	CHECK_EQ(a.st_dev, b.st_dev);
	CHECK_EQ(umount(second), 0);
	CHECK_IS(id, "max_background", "33\n");
	/* The connection does not depend on it. */
	CHECK_EQ(umount(ctl), 0);
	pid_t pid = stat_in_child(fs, "");

	CHECK(rawfs_read(fs->fd, &req));
	rawfs_default(fs, &req);
	CHECK_EQ(exit_of(pid), 0);
	mount_ctl();
	CHECK_IS(id, "max_background", "33\n");
	CHECK_EQ(umount(ctl), 0);
	stop(fs);
	mount_ctl();
	CHECK_EQ(access(entry(id, ""), F_OK), -1);
}

TEST(unmounted_with_an_open_file)
{
	struct rawfs *fs = ready_fs();
	unsigned int id = number(fs);
	char buf[16];
	int fd;

	mount_ctl();
	fd = open(entry(id, "max_background"), O_RDWR);
	CHECK_EQ(umount2(ctl, MNT_DETACH), 0);
	CHECK_EQ(write(fd, "21", 2), 2);
	CHECK_EQ(read(fd, buf, sizeof(buf)), 3);
	CHECK(!memcmp(buf, "21\n", 3));
	stop(fs);
	close(fd);
}

TEST(not_in_a_user_namespace)
{
	char dir[64];

	rawfs_mountpoint(dir);
	CHECK_EQ(unshare(CLONE_NEWUSER | CLONE_NEWNS), 0);
	CHECK_ERR(mount("none", dir, ctl_type(), 0, NULL), EPERM);
}

/* READs that the server has taken. */
static int reads;

static void pump(struct rawfs *fs)
{
	struct pollfd p = { .fd = fs->fd, .events = POLLIN };

	while (poll(&p, 1, 300) == 1 && p.revents == POLLIN && rawfs_read(fs->fd, &req)) {
		if (req.in.opcode == FUSE_READ)
			reads++;
		else
			rawfs_default(fs, &req);
	}
}

TEST(a_higher_limit_lets_more_in)
{
	struct rawfs *fs = mounted("");
	unsigned int id = number(fs);
	pid_t pids[6];

	fs->entry_valid = fs->attr_valid = 1000;
	fs->open_flags = FOPEN_NOFLUSH | FOPEN_KEEP_CACHE;
	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 31,
					       .max_write = 131072,
					       .max_background = 2,
					       .flags = FUSE_ASYNC_READ };
	shake_hands(fs);
	mount_ctl();
	fs->node[2].size = 65536;
	for (int i = 0; i < 6; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			char buf[4096];
			int fd;

			close(fs->fd);
			fd = open(rawfs_path(fs, "file"), O_RDONLY);
			posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
			_exit(pread(fd, buf, 4096, i * 4096) == 4096 ? 0 : errno);
		}
	}
	pump(fs);
	CHECK_EQ(reads, 2);
	CHECK_EQ(put(id, "max_background", "5"), 1);
	pump(fs);
	CHECK_EQ(reads, 5);
	CHECK_EQ(put(id, "max_background", "1"), 1);
	CHECK_EQ(put(id, "abort", "1"), 1);
	for (int i = 0; i < 6; i++)
		CHECK(exit_of(pids[i]) != 0);
	CHECK_EQ(umount(fs->mnt), 0);
}
