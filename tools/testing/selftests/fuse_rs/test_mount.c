// SPDX-License-Identifier: GPL-2.0
/* Mount options, through both interfaces, and what is shown of them. */
#include <fcntl.h>
#include <sched.h>
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
	struct rawfs *fs = calloc(1, sizeof(*fs));

	rawfs_start(fs, ",default_permissions,allow_other,max_read=8192");
	CHECK(shown(fs->mnt, "user_id=0,group_id=0,default_permissions,allow_other,max_read=8192"));
	CHECK(shown(fs->mnt, "rawfs "));
	rawfs_stop(fs);
}

TEST(defaults_are_not_shown)
{
	struct rawfs *fs = calloc(1, sizeof(*fs));

	rawfs_start(fs, "");
	CHECK(!shown(fs->mnt, "allow_other") && !shown(fs->mnt, "max_read"));
	CHECK(!shown(fs->mnt, "default_permissions"));
	rawfs_stop(fs);
}

TEST(subtype_stands_behind_the_type)
{
	struct rawfs *fs = calloc(1, sizeof(*fs));
	char type[64];

	rawfs_start(fs, ",subtype=thing");
	snprintf(type, sizeof(type), " %s.thing ", rawfs_type());
	CHECK(shown(fs->mnt, type));
	rawfs_stop(fs);
}

TEST(remount_ignores_options)
{
	struct rawfs *fs = calloc(1, sizeof(*fs));

	rawfs_start(fs, "");
	CHECK_EQ(mount("rawfs", fs->mnt, rawfs_type(), MS_REMOUNT | MS_RDONLY, "allow_other"), 0);
	CHECK(!shown(fs->mnt, "allow_other"));
	CHECK_ERR(mkdir(rawfs_path(fs, "x"), 0755), EROFS);
	rawfs_stop(fs);
}

TEST(new_interface)
{
	struct rawfs *fs = calloc(1, sizeof(*fs));
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

TEST(message_says_what_is_wrong)
{
	int fsfd = syscall(SYS_fsopen, rawfs_type(), 0);
	char log[256] = "";

	CHECK_ERR(syscall(SYS_fsconfig, fsfd, 1, "rootmode", "755", 0), EINVAL);
	CHECK(read(fsfd, log, sizeof(log) - 1) > 0);
	CHECK(strstr(log, "rootmode"));
}

TEST(user_namespace)
{
	char map[32];
	int fd, uid = getuid();

	CHECK_EQ(unshare(CLONE_NEWUSER | CLONE_NEWNS), 0);
	fd = open("/proc/self/uid_map", O_WRONLY);
	snprintf(map, sizeof(map), "0 %d 1", uid);
	CHECK(write(fd, map, strlen(map)) > 0);
	close(fd);
	fd = open("/proc/self/setgroups", O_WRONLY);
	CHECK(write(fd, "deny", 4) == 4);
	close(fd);
	fd = open("/proc/self/gid_map", O_WRONLY);
	CHECK(write(fd, map, strlen(map)) > 0);
	close(fd);

	struct rawfs *fs = calloc(1, sizeof(*fs));

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
