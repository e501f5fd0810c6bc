// SPDX-License-Identifier: GPL-2.0
/* Who may use a mount, and what a mount of a user namespace may not do. */
#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include "record.h"

#define STRANGER 1234

/* The case is in a namespace that knows no user but root, and has a mount there. */
static struct rawfs *fs_in_namespace(const char *options)
{
	struct rawfs *fs = recording_fs();

	enter_namespace("0 0 1");
	rawfs_start(fs, options);
	return fs;
}

TEST(owners_without_a_number_here_are_shown_as_nobody)
{
	struct rawfs *fs = fs_in_namespace("");
	struct stat st;

	fs->node[2].uid = STRANGER;
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(st.st_uid, 65534);
	CHECK_EQ(st.st_gid, 0);
	rawfs_stop(fs);
}

TEST(files_of_owners_without_a_number_are_not_changed)
{
	struct rawfs *fs = fs_in_namespace("");

	fs->node[2].uid = STRANGER;
	CHECK_ERR(open(rawfs_path(fs, "file"), O_WRONLY), EACCES);
	CHECK_ERR(chmod(rawfs_path(fs, "file"), 0600), EOVERFLOW);
	CHECK_ERR(chown(rawfs_path(fs, "file"), STRANGER, -1), EINVAL);
	CHECK_EQ(fs->count[FUSE_SETATTR], 0);
	CHECK_EQ(chown(rawfs_path(fs, "file"), 0, -1), 0);
	CHECK_EQ(fs->node[2].uid, 0);
	rawfs_stop(fs);
}

TEST(root_of_a_namespace_is_nobody_to_files_of_others)
{
	struct rawfs *fs = fs_in_namespace(",default_permissions");

	fs->node[2].mode = S_IFREG | 0600;
	fs->node[2].uid = fs->node[2].gid = STRANGER;
	CHECK_ERR(open(rawfs_path(fs, "file"), O_RDONLY), EACCES);
	fs->node[2].uid = fs->node[2].gid = 0;
	CHECK_EQ(chmod(rawfs_path(fs, "dir"), 0), 0);
	CHECK_EQ(close(open(rawfs_path(fs, "dir"), O_RDONLY)), 0);
	rawfs_stop(fs);
}

/* Tries to open a device node, on a mount that does not forbid it. */
static int open_device(struct rawfs *fs)
{
	fs->node[2].mode = S_IFCHR | 0666;
	CHECK_EQ(mount(NULL, fs->mnt, NULL, MS_REMOUNT | MS_BIND, NULL), 0);
	return open(rawfs_path(fs, "file"), O_RDWR);
}

TEST(devices_of_a_namespace_are_not_opened)
{
	struct rawfs *fs = recording_fs();

	rawfs_start(fs, "");
	/* There is none with the number zero. */
	CHECK_ERR(open_device(fs), ENXIO);
	rawfs_stop(fs);
	fs = fs_in_namespace("");
	CHECK_ERR(open_device(fs), EACCES);
	rawfs_stop(fs);
}

TEST(devices_are_not_made_in_a_namespace)
{
	struct rawfs *fs = fs_in_namespace("");

	CHECK_ERR(mknod(rawfs_path(fs, "dir/null"), S_IFCHR | 0666, makedev(1, 3)), EPERM);
	CHECK_EQ(fs->count[FUSE_MKNOD], 0);
	CHECK_EQ(mknod(rawfs_path(fs, "dir/fifo"), S_IFIFO | 0666, 0), 0);
	rawfs_stop(fs);
}

TEST(requests_tell_ids_of_the_namespace)
{
	struct rawfs *fs = recording_fs();
	struct stat st;

	enter_namespace("7 0 1");
	rawfs_start(fs, "");
	fs->node[1].uid = fs->node[1].gid = 7;
	fs->node[3].uid = fs->node[3].gid = 7;
	CHECK_EQ(mkdir(rawfs_path(fs, "dir/x"), 0755), 0);
	CHECK_EQ(last_request(FUSE_MKDIR)->in.uid, 7);
	CHECK_EQ(last_request(FUSE_MKDIR)->in.gid, 7);
	CHECK_EQ(stat(rawfs_path(fs, "dir"), &st), 0);
	CHECK_EQ(st.st_uid, 7);
	CHECK_EQ(chown(rawfs_path(fs, "dir"), 7, 7), 0);
	CHECK_EQ(((struct fuse_setattr_in *)last(FUSE_SETATTR))->uid, 7);
	rawfs_stop(fs);
}

/* What a mount in another namespace and the case tell each other. */
struct both {
	char mnt[64];
	atomic_int fd; /* an open file of it */
	atomic_ulong setattrs, reads;
	atomic_bool done;
};
static struct both *both;

static pid_t mount_elsewhere(void)
{
	pid_t pid;

	both = ktap_shared(sizeof(*both));
	pid = fork();
	if (pid == 0) {
		struct rawfs *fs = recording_fs();
		int fd;

		enter_namespace("0 0 1");
		fs->open_flags = FOPEN_DIRECT_IO;
		rawfs_start(fs, ",allow_other");
		fd = open(rawfs_path(fs, "file"), O_RDWR);
		CHECK(fd >= 0);
		strcpy(both->mnt, fs->mnt);
		both->fd = fd;
		EVENTUALLY(both->done);
		both->setattrs = fs->count[FUSE_SETATTR];
		both->reads = fs->count[FUSE_READ];
		close(fd);
		rawfs_stop(fs);
		_exit(0);
	}
	EVENTUALLY(both->fd);
	return pid;
}

static void unmount_elsewhere(pid_t pid)
{
	both->done = true;
	CHECK_EQ(exit_of(pid), 0);
}

/* The child's open file, in this process. */
static int their_file(pid_t pid)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0), fd;

	CHECK(pidfd >= 0);
	fd = syscall(SYS_pidfd_getfd, pidfd, both->fd, 0);
	CHECK(fd >= 0);
	return fd;
}

static const char *their_path(pid_t pid)
{
	static char path[128];

	snprintf(path, sizeof(path), "/proc/%d/root%s/file", pid, both->mnt);
	return path;
}

TEST(others_are_those_of_the_namespace)
{
	pid_t pid = mount_elsewhere();
	struct stat st;

	CHECK_ERR(stat(their_path(pid), &st), EACCES);
	CHECK_ERR(open(their_path(pid), O_RDONLY), EACCES);
	unmount_elsewhere(pid);
}

/* As the module has it that is tested. */
static void let_administrators_in(bool allow)
{
	if (ktap_is_rs())
		set_limit("allow_sys_admin_access", allow);
	else
		write_file("/sys/module/fuse/parameters/allow_sys_admin_access", allow ? "Y" : "N");
}

TEST(administrators_may_be_let_in)
{
	pid_t pid = mount_elsewhere();
	int allowed, nobody;
	struct stat st;

	let_administrators_in(true);
	allowed = stat(their_path(pid), &st);
	nobody = AS_NOBODY(stat(their_path(pid), &st));
	let_administrators_in(false);
	CHECK_EQ(allowed, 0);
	CHECK_EQ(nobody, EACCES);
	CHECK_ERR(stat(their_path(pid), &st), EACCES);
	unmount_elsewhere(pid);
}

TEST(an_owner_without_a_number_there_is_not_set)
{
	int owner, group, fd;
	pid_t pid;

	RS_ONLY("it tells the server to set the owner with the highest number");
	pid = mount_elsewhere();
	fd = their_file(pid);
	let_administrators_in(true);
	owner = fchown(fd, STRANGER, -1) ? errno : 0;
	group = fchown(fd, -1, STRANGER) ? errno : 0;
	let_administrators_in(false);
	CHECK_EQ(owner, EOVERFLOW);
	CHECK_EQ(group, EOVERFLOW);
	close(fd);
	unmount_elsewhere(pid);
	CHECK_EQ(both->setattrs, 0);
}

TEST(nothing_is_asked_for_who_has_no_number_there)
{
	pid_t pid = mount_elsewhere();
	int fd = their_file(pid);
	char c;

	setfsuid(STRANGER);
	CHECK_ERR(pread(fd, &c, 1, 0), EOVERFLOW);
	setfsuid(0);
	CHECK_EQ(pread(fd, &c, 1, 0), 1);
	close(fd);
	unmount_elsewhere(pid);
	CHECK_EQ(both->reads, 1);
}
