// SPDX-License-Identifier: GPL-2.0
/* Mount options, through both interfaces, and what is shown of them. */
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include "rawfs.h"

static int mount_with(const char *opts)
{
	char mnt[64];
	int ret;

	rawfs_mountpoint(mnt);
	ret = mount("rawfs", mnt, rawfs_type(), 0, opts);
	if (ret)
		rmdir(mnt);
	return ret;
}

static char *options(const char *fmt, int fd)
{
	static char opts[256];

	snprintf(opts, sizeof(opts), fmt, fd);
	return opts;
}

TEST(fd_is_needed)
{
	CHECK_ERR(mount_with("rootmode=40000,user_id=0,group_id=0"), EINVAL);
}

TEST(rootmode_is_needed)
{
	CHECK_ERR(mount_with(options("fd=%d,user_id=0,group_id=0", rawfs_open())), EINVAL);
}

TEST(user_id_is_needed)
{
	CHECK_ERR(mount_with(options("fd=%d,rootmode=40000,group_id=0", rawfs_open())), EINVAL);
}

TEST(group_id_is_needed)
{
	CHECK_ERR(mount_with(options("fd=%d,rootmode=40000,user_id=0", rawfs_open())), EINVAL);
}

TEST(fd_must_be_the_device)
{
	int fd = open("/dev/null", O_RDWR);

	CHECK_ERR(mount_with(options("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)), EINVAL);
}

TEST(fd_must_be_open)
{
	CHECK_ERR(mount_with("fd=999,rootmode=40000,user_id=0,group_id=0"), EBADF);
}

TEST(rootmode_must_have_a_type)
{
	CHECK_ERR(mount_with(options("fd=%d,rootmode=755,user_id=0,group_id=0", rawfs_open())),
		  EINVAL);
}

TEST(unknown_option)
{
	CHECK_ERR(mount_with(options("fd=%d,rootmode=40000,user_id=0,group_id=0,nonsense",
				     rawfs_open())),
		  EINVAL);
}

TEST(blksize_is_for_block_devices)
{
	CHECK_ERR(mount_with(options("fd=%d,rootmode=40000,user_id=0,group_id=0,blksize=1024",
				     rawfs_open())),
		  EINVAL);
}

static bool shown(const char *mnt, const char *what)
{
	char line[1024];
	bool found = false;
	FILE *f = fopen("/proc/self/mounts", "r");

	while (fgets(line, sizeof(line), f))
		if (strstr(line, mnt) && strstr(line, what))
			found = true;
	fclose(f);
	return found;
}

TEST(options_are_shown)
{
	struct rawfs *fs = rawfs_new();

	rawfs_start(fs, ",default_permissions,allow_other,max_read=8192");
	CHECK(shown(fs->mnt, "user_id=0,group_id=0,default_permissions,allow_other,max_read=8192"));
	CHECK(shown(fs->mnt, "rawfs "));
	rawfs_stop(fs);
}

TEST(defaults_are_not_shown)
{
	struct rawfs *fs = rawfs_new();

	rawfs_start(fs, "");
	CHECK(!shown(fs->mnt, "allow_other") && !shown(fs->mnt, "max_read"));
	CHECK(!shown(fs->mnt, "default_permissions"));
	rawfs_stop(fs);
}

TEST(subtype_stands_behind_the_type)
{
	struct rawfs *fs = rawfs_new();
	char type[64];

	rawfs_start(fs, ",subtype=thing");
	snprintf(type, sizeof(type), " %s.thing ", rawfs_type());
	CHECK(shown(fs->mnt, type));
	rawfs_stop(fs);
}

TEST(remount_ignores_options)
{
	struct rawfs *fs = rawfs_new();

	rawfs_start(fs, "");
	CHECK_EQ(mount("rawfs", fs->mnt, rawfs_type(), MS_REMOUNT | MS_RDONLY, "allow_other"), 0);
	CHECK(!shown(fs->mnt, "allow_other"));
	CHECK_ERR(mkdir(rawfs_path(fs, "x"), 0755), EROFS);
	rawfs_stop(fs);
}

TEST(new_interface)
{
	struct rawfs *fs = rawfs_new();
	char number[16];
	int fsfd = syscall(SYS_fsopen, rawfs_type(), 0), mfd;

	CHECK(fsfd >= 0);
	pthread_mutex_init(&fs->lock, NULL);
	fs->node[1] = (struct rawfs_node){ .used = true, .mode = S_IFDIR | 0755, .nlink = 2 };
	rawfs_mountpoint(fs->mnt);
	fs->fd = rawfs_open();
	snprintf(number, sizeof(number), "%d", fs->fd);
	CHECK_EQ(syscall(SYS_fsconfig, fsfd, 1, "fd", number, 0), 0);
	CHECK_EQ(syscall(SYS_fsconfig, fsfd, 1, "rootmode", "40000", 0), 0);
	CHECK_EQ(syscall(SYS_fsconfig, fsfd, 1, "user_id", "0", 0), 0);
	CHECK_EQ(syscall(SYS_fsconfig, fsfd, 1, "group_id", "0", 0), 0);
	CHECK_EQ(syscall(SYS_fsconfig, fsfd, 0, "allow_other", NULL, 0), 0);
	CHECK_ERR(syscall(SYS_fsconfig, fsfd, 0, "nonsense", NULL, 0), EINVAL);
	CHECK_EQ(syscall(SYS_fsconfig, fsfd, 6, NULL, NULL, 0), 0);
	mfd = syscall(SYS_fsmount, fsfd, 0, 0);
	CHECK(mfd >= 0);
	CHECK_EQ(syscall(SYS_move_mount, mfd, "", -100, fs->mnt, 4), 0);
	rawfs_serve(fs);
	CHECK_EQ(mkdir(rawfs_path(fs, "new"), 0755), 0);
	close(mfd);
	close(fsfd);
	rawfs_stop(fs);
}

TEST(descriptor_as_file)
{
	/* FSCONFIG_SET_FD hands over the file itself. */
	int fsfd = syscall(SYS_fsopen, rawfs_type(), 0), fd = rawfs_open(), null;

	CHECK(fsfd >= 0);
	null = open("/dev/null", O_RDONLY);
	CHECK_ERR(syscall(SYS_fsconfig, fsfd, 5, "fd", NULL, null), EINVAL);
	CHECK_EQ(syscall(SYS_fsconfig, fsfd, 5, "fd", NULL, fd), 0);
}

enum { SET_FLAG, SET_STRING, SET_FD = 5, CREATE };

static int fsopen_as(const char *type)
{
	int fsfd = syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);

	CHECK(fsfd >= 0);
	return fsfd;
}

static int set(int fsfd, const char *key, const char *value)
{
	return syscall(SYS_fsconfig, fsfd, value ? SET_STRING : SET_FLAG, key, value, 0);
}

static int create(int fsfd)
{
	return syscall(SYS_fsconfig, fsfd, CREATE, NULL, NULL, 0);
}

/* An error in the context's log says this. */
static void complains(int fsfd, const char *what)
{
	char log[256];
	ssize_t len;

	while ((len = read(fsfd, log, sizeof(log) - 1)) > 0) {
		log[len] = 0;
		if (!strncmp(log, "e ", 2) && strstr(log, what))
			return;
	}
	FAIL("nothing is said of '%s'", what);
}

TEST(message_says_what_is_wrong)
{
	static const struct {
		const char *key, *value, *what;
	} wrong[] = {
		{ "nonsense", NULL, "nonsense" },
		{ "nonsense", "1", "nonsense" },
		{ "fd", "one", "fd" },
		{ "fd", NULL, "fd" },
		{ "rootmode", "755", "rootmode" },
		{ "rootmode", "999", "rootmode" },
		{ "user_id", "-1", "user_id" },
		{ "user_id", "me", "user_id" },
		{ "group_id", "4294967295", "gid" },
		{ "allow_other", "1", "allow_other" },
		{ "max_read", "4294967296", "max_read" },
		{ "blksize", "1024", "blksize" },
	};

	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		int fsfd = fsopen_as(rawfs_type());

		CHECK_ERR(set(fsfd, wrong[i].key, wrong[i].value), EINVAL);
		complains(fsfd, wrong[i].what);
		close(fsfd);
	}
}

TEST(options_that_are_given_once)
{
	static const char *const keys[] = { "source", "subtype" };

	for (int i = 0; i < 2; i++) {
		int fsfd = fsopen_as(rawfs_type());

		CHECK_EQ(set(fsfd, keys[i], "a"), 0);
		CHECK_ERR(set(fsfd, keys[i], "b"), EINVAL);
		complains(fsfd, keys[i]);
		close(fsfd);
	}
}

TEST(message_says_what_is_missing)
{
	RS_ONLY("the C driver says nothing");
	static const char *const keys[] = { "fd", "rootmode", "user_id", "group_id" };
	char number[16];

	for (int missing = 0; missing < 4; missing++) {
		int fsfd = fsopen_as(rawfs_type());

		snprintf(number, sizeof(number), "%d", rawfs_open());
		for (int i = 0; i < 4; i++)
			if (i != missing)
				CHECK_EQ(set(fsfd, keys[i],
					     i == 0 ? number :
					     i == 1 ? "40000" :
						      "0"),
					 0);
		CHECK_ERR(create(fsfd), EINVAL);
		complains(fsfd, keys[missing]);
		close(fsfd);
	}
}

TEST(message_says_that_nothing_is_open)
{
	RS_ONLY("the C driver says nothing");
	int fsfd = fsopen_as(rawfs_type());

	CHECK_ERR(set(fsfd, "fd", "999"), EBADF);
	complains(fsfd, "not open");
}

TEST(rootmode_is_a_mode)
{
	RS_ONLY("the C driver takes the lower bits");
	int fsfd = fsopen_as(rawfs_type());

	CHECK_ERR(set(fsfd, "rootmode", "1040000"), EINVAL);
	complains(fsfd, "rootmode");
}

/* A context with all that is needed. */
static int complete(const char *type, int fd)
{
	int fsfd = fsopen_as(type);
	char number[16];

	snprintf(number, sizeof(number), "%d", fd);
	CHECK_EQ(set(fsfd, "fd", number), 0);
	CHECK_EQ(set(fsfd, "rootmode", "40000"), 0);
	CHECK_EQ(set(fsfd, "user_id", "0"), 0);
	CHECK_EQ(set(fsfd, "group_id", "0"), 0);
	return fsfd;
}

TEST(mandatory_locks_are_refused)
{
	int fsfd = complete(rawfs_type(), rawfs_open());

	CHECK_EQ(set(fsfd, "mand", NULL), 0);
	CHECK_ERR(create(fsfd), EINVAL);
	if (ktap_is_rs())
		complains(fsfd, "locks");
}

static const char *block_type(void)
{
	static char type[64];

	snprintf(type, sizeof(type), "fuseblk%s", rawfs_type() + strlen("fuse"));
	return type;
}

TEST(blocks_have_a_size_the_device_can_have)
{
	RS_ONLY("the C driver says nothing");
	static const char *const sizes[] = { "1000", "0", "256", "1073741824" };

	for (int i = 0; i < 4; i++) {
		int fsfd = complete(block_type(), rawfs_open());

		CHECK_EQ(set(fsfd, "source", rawfs_disk()), 0);
		if (set(fsfd, "blksize", sizes[i])) {
			CHECK_EQ(errno, EINVAL);
			complains(fsfd, "blksize");
		} else {
			CHECK_ERR(create(fsfd), EINVAL);
			complains(fsfd, "blocks");
		}
		close(fsfd);
	}
}

TEST(message_says_that_the_device_is_of_no_use)
{
	RS_ONLY("the C driver says nothing");
	struct rawfs *fs = rawfs_new();
	int fsfd;

	rawfs_start(fs, "");
	fsfd = complete(block_type(), fs->fd);
	CHECK_EQ(set(fsfd, "source", rawfs_disk()), 0);
	CHECK_ERR(create(fsfd), EINVAL);
	complains(fsfd, "in use");
	close(fsfd);
	CHECK_EQ(umount(fs->mnt), 0);
	pthread_join(fs->thread, NULL);
	fsfd = complete(rawfs_type(), fs->fd);
	CHECK_ERR(create(fsfd), ENOTCONN);
	complains(fsfd, "gone");
}

TEST(blksize_is_shown_unless_it_is_the_default)
{
	struct rawfs *fs = rawfs_new();

	rawfs_start(fs, "");
	rawfs_stop(fs);
	rawfs_restart_on_disk(fs, ",blksize=1024");
	CHECK(shown(fs->mnt, "user_id=0,group_id=0,blksize=1024"));
	rawfs_stop(fs);
	rawfs_restart_on_disk(fs, ",blksize=512");
	CHECK(shown(fs->mnt, "user_id=0,group_id=0 "));
	rawfs_stop(fs);
}

TEST(max_read_is_at_least_a_page)
{
	struct rawfs *fs = rawfs_new();

	rawfs_start(fs, ",max_read=1");
	CHECK(shown(fs->mnt, "max_read=4096"));
	rawfs_stop(fs);
}

TEST(names_are_escaped_where_they_are_shown)
{
	int fsfd = complete(rawfs_type(), rawfs_open()), mfd;
	char mnt[64], line[128];

	rawfs_mountpoint(mnt);
	CHECK_EQ(set(fsfd, "source", "a b\nc"), 0);
	CHECK_EQ(set(fsfd, "subtype", "x y"), 0);
	CHECK_EQ(create(fsfd), 0);
	mfd = syscall(SYS_fsmount, fsfd, 0, 0);
	CHECK(mfd >= 0);
	CHECK_EQ(syscall(SYS_move_mount, mfd, "", -100, mnt, 4), 0);
	close(mfd);
	snprintf(line, sizeof(line), "a\\040b\\012c %s %s.x\\040y ", mnt, rawfs_type());
	CHECK(shown(mnt, line));
	CHECK_EQ(umount(mnt), 0);
	rmdir(mnt);
}

TEST(block_devices_are_for_the_administrator)
{
	const char *disk = rawfs_disk();
	char mnt[64];

	enter_namespace("0 0 1");
	rawfs_mountpoint(mnt);
	CHECK_ERR(mount(disk, mnt, block_type(), 0,
			options("fd=%d,rootmode=40000,user_id=0,group_id=0", rawfs_open())),
		  EPERM);
	rmdir(mnt);
}

TEST(ids_are_those_of_the_namespace)
{
	int fsfd;

	enter_namespace("0 0 1");
	fsfd = fsopen_as(rawfs_type());
	CHECK_EQ(set(fsfd, "user_id", "0"), 0);
	CHECK_ERR(set(fsfd, "user_id", "1"), EINVAL);
	complains(fsfd, "1");
	CHECK_ERR(set(fsfd, "group_id", "1"), EINVAL);
	complains(fsfd, "1");
}

TEST(user_namespace)
{
	struct rawfs *fs = rawfs_new();
	int fd;

	enter_namespace("0 0 1");
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK(fd >= 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(device_of_another_namespace)
{
	int fd = rawfs_open();
	char mnt[64];

	CHECK_EQ(unshare(CLONE_NEWUSER | CLONE_NEWNS), 0);
	rawfs_mountpoint(mnt);
	CHECK_ERR(mount("rawfs", mnt, rawfs_type(), 0,
			options("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)),
		  EINVAL);
}

TEST(fd_may_be_given_once)
{
	char opts[64];
	int fd = rawfs_open();

	snprintf(opts, sizeof(opts), "fd=%d,fd=%d,rootmode=40000,user_id=0,group_id=0", fd, fd);
	CHECK_ERR(mount_with(opts), EINVAL);
}

/* Another mount point for the file system that this device serves. */
static int mount_again(int fd, char mnt[80], const char *name, const char *fmt)
{
	char first[64];

	rawfs_mountpoint(first);
	snprintf(mnt, 80, "%s-%s", first, name);
	mkdir(mnt, 0755);
	return mount("again", mnt, rawfs_type(), 0, options(fmt, fd));
}

TEST(device_in_use_mounts_the_same_again)
{
	struct rawfs *fs = rawfs_new();
	char again[80], path[128];
	struct stat a, b;

	rawfs_start(fs, "");
	CHECK_EQ(mount_again(fs->fd, again, "2", "fd=%d,rootmode=40000,user_id=0,group_id=0"), 0);
	CHECK_EQ(stat(fs->mnt, &a), 0);
	CHECK_EQ(stat(again, &b), 0);
	CHECK_EQ(a.st_dev, b.st_dev);
	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK_EQ(mkdir(rawfs_path(fs, "new"), 0755), 0);
	snprintf(path, sizeof(path), "%s/new", again);
	CHECK_EQ(stat(path, &b), 0);
	/* There was no second handshake. */
	CHECK_EQ(fs->count[FUSE_INIT], 1);
	/* The connection lasts as long as one of the two. */
	CHECK_EQ(umount(fs->mnt), 0);
	CHECK_EQ(rmdir(path), 0);
	CHECK_EQ(umount(again), 0);
	pthread_join(fs->thread, NULL);
}

TEST(device_in_use_needs_no_more_options)
{
	struct rawfs *fs = rawfs_new();
	char again[80];
	struct stat st;

	rawfs_start(fs, ",max_read=8192");
	CHECK_EQ(mount_again(fs->fd, again, "2", "fd=%d"), 0);
	CHECK_EQ(stat(again, &st), 0);
	CHECK_EQ(umount(again), 0);
	/* Those there are must be right, but do not matter. */
	CHECK_EQ(mount_again(fs->fd, again, "2", "fd=%d,allow_other,max_read=4096"), 0);
	CHECK(shown(again, "user_id=0,group_id=0,max_read=8192"));
	CHECK(!shown(again, "allow_other"));
	CHECK_EQ(umount(again), 0);
	CHECK_ERR(mount_again(fs->fd, again, "2", "fd=%d,nonsense"), EINVAL);
	CHECK_ERR(mount_again(fs->fd, again, "2", "fd=%d,rootmode=755"), EINVAL);
	rawfs_stop(fs);
}

TEST(clone_mounts_the_same_again)
{
	struct rawfs *fs = rawfs_new();
	uint32_t fd;
	int clone = rawfs_open();
	char again[80];
	struct stat a, b;

	rawfs_start(fs, "");
	fd = fs->fd;
	CHECK_EQ(ioctl(clone, FUSE_DEV_IOC_CLONE, &fd), 0);
	CHECK_EQ(mount_again(clone, again, "2", "fd=%d"), 0);
	CHECK_EQ(stat(fs->mnt, &a), 0);
	CHECK_EQ(stat(again, &b), 0);
	CHECK_EQ(a.st_dev, b.st_dev);
	CHECK_EQ(umount(again), 0);
	close(clone);
	rawfs_stop(fs);
}

TEST(device_of_a_file_system_that_is_gone)
{
	struct rawfs *fs = rawfs_new();
	char again[80];

	rawfs_start(fs, "");
	CHECK_EQ(umount(fs->mnt), 0);
	pthread_join(fs->thread, NULL);
	CHECK_ERR(mount_again(fs->fd, again, "2", "fd=%d,rootmode=40000,user_id=0,group_id=0"),
		  ENOTCONN);
}

TEST(device_of_an_aborted_file_system)
{
	struct rawfs *fs = rawfs_new();
	char again[80];
	struct stat st;
	int root;

	rawfs_start(fs, "");
	CHECK_EQ(stat(fs->mnt, &st), 0);
	root = open(fs->mnt, O_PATH);
	CHECK_ERR(umount2(fs->mnt, MNT_FORCE), EBUSY);
	CHECK_EQ(mount_again(fs->fd, again, "2", "fd=%d"), 0);
	CHECK_ERR(stat(again, &st), ENOTCONN);
	CHECK_EQ(umount(again), 0);
	close(root);
	CHECK_EQ(umount(fs->mnt), 0);
}

TEST(device_in_use_through_the_new_interface)
{
	struct rawfs *fs = rawfs_new();
	char number[16], again[80];
	struct stat a, b;
	int fsfd, mfd;

	rawfs_start(fs, "");
	snprintf(number, sizeof(number), "%d", fs->fd);
	snprintf(again, sizeof(again), "%s-2", fs->mnt);
	CHECK_EQ(mkdir(again, 0755), 0);
	fsfd = syscall(SYS_fsopen, rawfs_type(), 0);
	CHECK(fsfd >= 0);
	CHECK_EQ(syscall(SYS_fsconfig, fsfd, 1, "fd", number, 0), 0);
	CHECK_EQ(syscall(SYS_fsconfig, fsfd, 6, NULL, NULL, 0), 0);
	mfd = syscall(SYS_fsmount, fsfd, 0, 0);
	CHECK(mfd >= 0);
	CHECK_EQ(syscall(SYS_move_mount, mfd, "", -100, again, 4), 0);
	CHECK_EQ(stat(fs->mnt, &a), 0);
	CHECK_EQ(stat(again, &b), 0);
	CHECK_EQ(a.st_dev, b.st_dev);
	close(mfd);
	close(fsfd);
	CHECK_EQ(umount(again), 0);
	/* FSCONFIG_CMD_CREATE_EXCL wants a file system that nobody else has. */
	fsfd = syscall(SYS_fsopen, rawfs_type(), 0);
	CHECK_EQ(syscall(SYS_fsconfig, fsfd, 1, "fd", number, 0), 0);
	CHECK_ERR(syscall(SYS_fsconfig, fsfd, 8, NULL, NULL, 0), EBUSY);
	close(fsfd);
	rawfs_stop(fs);
}
