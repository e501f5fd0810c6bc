// SPDX-License-Identifier: GPL-2.0
/* The end of a connection while it is in use. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include "rawfs.h"

#define WAITERS 300

static struct rawfs_req req;

/* Mounted, and the handshake is over. */
static struct rawfs *ready_fs(uint32_t flags)
{
	struct rawfs *fs = rawfs_new();

	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 31,
					       .max_readahead = 131072,
					       .max_write = 131072,
					       .max_pages = 32,
					       .flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES | flags };
	rawfs_start_manual(fs, "");
	rawfs_handshake(fs);
	return fs;
}

static pthread_t waiters[WAITERS];
static atomic_int ended, started;

/* Asks for the attributes of the root; the result is the errno. */
static void *wait_for_server(void *arg)
{
	struct rawfs *fs = arg;
	struct stat st;
	intptr_t error;

	started++;
	error = stat(fs->mnt, &st) ? errno : 0;
	ended++;
	return (void *)error;
}

static void start_waiters(struct rawfs *fs)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (int i = 0; i < WAITERS; i++)
		CHECK(!pthread_create(&waiters[i], &attr, wait_for_server, fs));
}

/* Whether a thread of ours besides the one that asks is not asleep. */
static bool one_runs(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *d;
	bool runs = false;

	CHECK(dir);
	while ((d = readdir(dir))) {
		char path[64], state = 'S';
		FILE *f;

		if (d->d_name[0] == '.' || atoi(d->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%.16s/stat", d->d_name);
		f = fopen(path, "r");
		CHECK(f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1);
		fclose(f);
		runs |= state == 'R';
	}
	closedir(dir);
	return runs;
}

/* All of them have asked, and sleep. */
static void waiters_sleep(void)
{
	EVENTUALLY(started == WAITERS && !one_runs());
	CHECK_EQ(ended, 0);
}

/* All of them end with this error. */
static void waiters_end(int expected)
{
	for (int i = 0; i < WAITERS; i++) {
		void *error;

		CHECK(!pthread_join(waiters[i], &error));
		CHECK_EQ((intptr_t)error, expected);
	}
}

/* Takes this many of the waiters' requests and does not answer. */
static void take(int fd, int n)
{
	for (int i = 0; i < n; i++) {
		CHECK(rawfs_read(fd, &req));
		CHECK_EQ(req.in.opcode, FUSE_GETATTR);
	}
}

TEST(forced_umount_with_hundreds_of_waiters)
{
	struct rawfs *fs = ready_fs(0);
	struct stat st;
	int fd;

	/* Something that keeps the mount when the waiters have gone. */
	rawfs_serve(fs);
	fd = open(fs->mnt, O_RDONLY | O_PATH);
	CHECK(fd >= 0);
	CHECK_EQ(umount2(fs->mnt, MNT_FORCE), -1);
	CHECK_EQ(errno, EBUSY);
	CHECK_ERR(stat(fs->mnt, &st), ENOTCONN);
	close(fd);
	CHECK_EQ(umount(fs->mnt), 0);

	fs = ready_fs(0);
	start_waiters(fs);
	take(fs->fd, WAITERS / 2);
	waiters_sleep();
	umount2(fs->mnt, MNT_FORCE);
	waiters_end(ECONNABORTED);
	EVENTUALLY(umount(fs->mnt) == 0 || errno == EINVAL);
	CHECK(!rawfs_read(fs->fd, &req));
	CHECK_EQ(errno, ENODEV);
}

TEST(forced_umount_before_the_handshake)
{
	struct rawfs *fs = rawfs_new();
	struct stat st;
	int path;

	rawfs_start_manual(fs, "");
	path = open(fs->mnt, O_PATH);
	start_waiters(fs);
	waiters_sleep();
	CHECK_ERR(umount2(fs->mnt, MNT_FORCE), EBUSY);
	waiters_end(ENOTCONN);
	CHECK_ERR(stat(fs->mnt, &st), ECONNREFUSED);
	close(path);
	CHECK_EQ(umount(fs->mnt), 0);
	CHECK(!rawfs_read(fs->fd, &req));
	CHECK_EQ(errno, ENODEV);
}

TEST(device_closed_with_hundreds_of_waiters)
{
	struct rawfs *fs = ready_fs(0);

	start_waiters(fs);
	take(fs->fd, WAITERS / 2);
	waiters_sleep();
	close(fs->fd);
	waiters_end(ECONNABORTED);
	CHECK_EQ(umount(fs->mnt), 0);
}

/* ABORT_ERROR tells an abort through the control file system from an unmount of any kind. */
TEST(forced_umount_is_no_abort_for_the_server)
{
	struct rawfs *fs = ready_fs(FUSE_ABORT_ERROR);
	int fd;

	rawfs_serve(fs);
	fd = open(fs->mnt, O_RDONLY | O_PATH);
	CHECK_ERR(umount2(fs->mnt, MNT_FORCE), EBUSY);
	CHECK(!pthread_join(fs->thread, NULL));
	CHECK_ERR(read(fs->fd, &req, sizeof(req)), ENODEV);
	close(fd);
	CHECK_EQ(umount(fs->mnt), 0);
	CHECK_ERR(read(fs->fd, &req, sizeof(req)), ENODEV);
}

TEST(replies_after_the_end)
{
	struct rawfs *fs = ready_fs(0);
	struct fuse_attr_out out = {};
	int path = open(fs->mnt, O_PATH);

	start_waiters(fs);
	waiters_sleep();
	take(fs->fd, 1);
	CHECK_ERR(umount2(fs->mnt, MNT_FORCE), EBUSY);
	waiters_end(ECONNABORTED);
	CHECK_ERR(rawfs_reply(fs->fd, req.in.unique, 0, &out, sizeof(out)), ENOENT);
	CHECK_ERR(rawfs_reply(fs->fd, req.in.unique | 1, EAGAIN, NULL, 0), ENOENT);
	close(path);
	CHECK_EQ(umount(fs->mnt), 0);
	CHECK_ERR(rawfs_reply(fs->fd, req.in.unique, 0, &out, sizeof(out)), ENOENT);
}

TEST(lazy_umount_with_open_files)
{
	struct rawfs *fs = rawfs_new();
	char buf[16];
	int fd, dir;

	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDWR);
	CHECK(fd >= 0);
	dir = open(rawfs_path(fs, "dir"), O_RDONLY | O_DIRECTORY);
	CHECK(dir >= 0);
	CHECK_ERR(umount(fs->mnt), EBUSY);
	CHECK_EQ(umount2(fs->mnt, MNT_DETACH), 0);
	/* Nobody finds it any more, but who has it open goes on as before. */
	CHECK_ERR(access(rawfs_path(fs, "file"), F_OK), ENOENT);
	CHECK_EQ(pwrite(fd, "HELLO", 5, 0), 5);
	CHECK(fs->count[FUSE_WRITE] >= 1);
	CHECK_EQ(pread(fd, buf, sizeof(buf), 0), 12);
	CHECK(!memcmp(buf, "HELLO world\n", 12));
	CHECK_EQ(mkdirat(dir, "sub", 0755), 0);
	CHECK_EQ(close(openat(dir, "x", O_CREAT | O_RDWR, 0644)), 0);
	close(fd);
	usleep(200000);
	CHECK_EQ(fs->count[FUSE_RELEASE], 2);
	CHECK_EQ(mkdirat(dir, "sub2", 0755), 0);
	close(dir);
	/* That was the last use: the server sees the end. */
	CHECK(!pthread_join(fs->thread, NULL));
	CHECK_ERR(read(fs->fd, &req, sizeof(req)), ENODEV);
}

TEST(lazy_umount_with_a_waiter)
{
	struct rawfs *fs = ready_fs(0);
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct stat st;

		close(fs->fd);
		_exit(stat(rawfs_path(fs, "file"), &st) ? errno : 0);
	}
	CHECK(rawfs_read(fs->fd, &req));
	CHECK_EQ(req.in.opcode, FUSE_LOOKUP);
	CHECK_EQ(umount2(fs->mnt, MNT_DETACH), 0);
	usleep(200000);
	CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
	fs->attr_valid = 100;
	rawfs_default(fs, &req);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK(!rawfs_read(fs->fd, &req));
	CHECK_EQ(errno, ENODEV);
}

TEST(lazy_umount_then_close_of_the_device)
{
	struct rawfs *fs = ready_fs(0);
	struct stat st;
	int root = open(fs->mnt, O_PATH);

	CHECK_EQ(umount2(fs->mnt, MNT_DETACH), 0);
	close(fs->fd);
	CHECK_ERR(fstatat(root, "file", &st, 0), ENOTCONN);
	CHECK_ERR(mkdirat(root, "x", 0755), ENOTCONN);
	close(root);
}

/* A server in a process of its own that takes `n` requests, and then does nothing. */
static pid_t lazy_server(struct rawfs *fs, int n)
{
	int ready[2];
	char c;
	pid_t pid;

	rawfs_start_manual(fs, "");
	CHECK_EQ(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		rawfs_handshake(fs);
		CHECK_EQ(write(ready[1], "r", 1), 1);
		take(fs->fd, n);
		CHECK_EQ(write(ready[1], "t", 1), 1);
		for (;;)
			pause();
	}
	close(fs->fd);
	CHECK_EQ(read(ready[0], &c, 1), 1);
	start_waiters(fs);
	CHECK_EQ(read(ready[0], &c, 1), 1);
	waiters_sleep();
	return pid;
}

static void killed(int n)
{
	struct rawfs *fs = rawfs_new();
	pid_t server = lazy_server(fs, n);
	struct stat st;

	kill_child(server);
	waiters_end(ECONNABORTED);
	CHECK_ERR(stat(fs->mnt, &st), ENOTCONN);
	CHECK_ERR(open(rawfs_path(fs, "file"), O_RDONLY), ENOTCONN);
	CHECK_ERR(mkdir(rawfs_path(fs, "x"), 0755), ENOTCONN);
	CHECK_EQ(umount(fs->mnt), 0);
}

TEST(server_killed_before_it_took_anything)
{
	killed(0);
}

TEST(server_killed_with_some_taken)
{
	killed(WAITERS / 3);
}

TEST(server_killed_with_all_taken)
{
	killed(WAITERS);
}

/* One of the server's threads sleeps in read(2) when the server is killed. */
TEST(server_killed_in_read)
{
	struct rawfs *fs = rawfs_new();
	pid_t server;
	struct stat st;

	rawfs_start_manual(fs, "");
	server = fork();
	if (server == 0) {
		for (;;)
			if (rawfs_read(fs->fd, &req))
				rawfs_default(fs, &req);
	}
	close(fs->fd);
	CHECK_EQ(stat(fs->mnt, &st), 0);
	kill_child(server);
	CHECK_ERR(stat(fs->mnt, &st), ENOTCONN);
	CHECK_EQ(umount(fs->mnt), 0);
}

TEST(open_files_of_a_dead_server)
{
	struct rawfs *fs = rawfs_new();
	pid_t server;
	struct stat st;
	char buf[16];
	int fd, dir;

	fs->open_flags = FOPEN_DIRECT_IO;
	rawfs_start_manual(fs, "");
	server = fork();
	if (server == 0) {
		for (;;)
			if (rawfs_read(fs->fd, &req))
				rawfs_default(fs, &req);
	}
	close(fs->fd);
	fd = open(rawfs_path(fs, "file"), O_RDWR);
	dir = open(rawfs_path(fs, "dir"), O_RDONLY);
	CHECK(fd >= 0 && dir >= 0);
	kill_child(server);
	CHECK_ERR(read(fd, buf, sizeof(buf)), ENOTCONN);
	CHECK_ERR(write(fd, buf, sizeof(buf)), ENOTCONN);
	CHECK_ERR(fsync(fd), ENOTCONN);
	CHECK_ERR(ftruncate(fd, 0), ENOTCONN);
	CHECK_ERR(fstat(fd, &st), ENOTCONN);
	CHECK_ERR(mkdirat(dir, "x", 0755), ENOTCONN);
	CHECK_ERR(close(fd), ENOTCONN);
	CHECK_EQ(close(dir), 0);
	CHECK_EQ(umount(fs->mnt), 0);
}
