// SPDX-License-Identifier: GPL-2.0
/* What programs do with files. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include "rawfs.h"

static struct rawfs *plain(void)
{
	struct rawfs *fs = rawfs_new();

	rawfs_start(fs, ",default_permissions,allow_other");
	return fs;
}

TEST(stat_fields)
{
	struct rawfs *fs = plain();
	struct stat st;

	fs->node[2].mtime = 1234567890;
	fs->node[2].uid = 17;
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(st.st_ino, 2);
	CHECK_EQ(st.st_size, 12);
	CHECK_EQ(st.st_mode, S_IFREG | 0644);
	CHECK_EQ(st.st_nlink, 1);
	CHECK_EQ(st.st_uid, 17);
	CHECK_EQ(st.st_mtime, 1234567890);
	CHECK_EQ(st.st_blksize, 4096);
	CHECK_ERR(stat(rawfs_path(fs, "nothing"), &st), ENOENT);
	CHECK_ERR(stat(rawfs_path(fs, "file/x"), &st), ENOTDIR);
	rawfs_stop(fs);
}

TEST(timeouts_cache)
{
	struct rawfs *fs = rawfs_new();
	struct stat st;
	unsigned long lookups, getattrs;

	fs->entry_valid = fs->attr_valid = 1000;
	rawfs_start(fs, "");
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	lookups = fs->count[FUSE_LOOKUP];
	getattrs = fs->count[FUSE_GETATTR];
	for (int i = 0; i < 10; i++)
		CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(fs->count[FUSE_LOOKUP], lookups);
	CHECK_EQ(fs->count[FUSE_GETATTR], getattrs);
	rawfs_stop(fs);
}

TEST(no_timeouts_ask_again)
{
	struct rawfs *fs = plain();
	struct stat st;

	for (int i = 0; i < 10; i++)
		CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK(fs->count[FUSE_LOOKUP] >= 10);
	rawfs_stop(fs);
}

static bool negative(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_entry_out out = { .nodeid = 0, .entry_valid = 1000 };

	if (req->in.opcode != FUSE_LOOKUP || strcmp(req->body, "nothing"))
		return false;
	rawfs_reply(fs->fd, req->in.unique, 0, &out, sizeof(out));
	return true;
}

TEST(negative_entries_are_cached)
{
	struct rawfs *fs = rawfs_new();
	struct stat st;

	fs->hook = negative;
	rawfs_start(fs, "");
	for (int i = 0; i < 10; i++)
		CHECK_ERR(stat(rawfs_path(fs, "nothing"), &st), ENOENT);
	CHECK_EQ(fs->count[FUSE_LOOKUP], 1);
	rawfs_stop(fs);
}

TEST(read_and_write)
{
	struct rawfs *fs = plain();
	static char out[100000], in[100000];
	int fd;

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = i * 7 + i / 4096;
	fd = open(rawfs_path(fs, "new"), O_CREAT | O_RDWR | O_EXCL, 0640);
	CHECK(fd >= 0);
	CHECK_EQ(write(fd, out, sizeof(out)), sizeof(out));
	CHECK_EQ(pread(fd, in, sizeof(in), 0), sizeof(in));
	CHECK(!memcmp(in, out, sizeof(in)));
	close(fd);
	CHECK_EQ(open(rawfs_path(fs, "new"), O_CREAT | O_EXCL | O_RDWR, 0640), -1);
	CHECK_EQ(errno, EEXIST);
	/* Past the cache of the writes. */
	fd = open(rawfs_path(fs, "new"), O_RDONLY);
	for (size_t at = 0, step = 1; at < sizeof(in); at += step, step = step * 3 + 1) {
		size_t want = step < sizeof(in) - at ? step : sizeof(in) - at;

		memset(in, 0, want);
		CHECK_EQ(pread(fd, in, want, at), want);
		CHECK(!memcmp(in, out + at, want));
	}
	CHECK_EQ(pread(fd, in, 10, sizeof(out)), 0);
	CHECK(!memcmp(fs->node[5].data, out, sizeof(out)));
	close(fd);
	rawfs_stop(fs);
}

TEST(append)
{
	struct rawfs *fs = plain();
	int fd = open(rawfs_path(fs, "file"), O_WRONLY | O_APPEND);

	CHECK_EQ(write(fd, "more", 4), 4);
	CHECK_EQ(write(fd, "again", 5), 5);
	close(fd);
	CHECK_EQ(fs->node[2].size, 21);
	CHECK(!memcmp(fs->node[2].data, "hello world\nmoreagain", 21));
	rawfs_stop(fs);
}

TEST(overwrite_is_seen_through_the_cache)
{
	struct rawfs *fs = plain();
	char buf[32] = "";
	int fd = open(rawfs_path(fs, "file"), O_RDWR);

	CHECK_EQ(pread(fd, buf, sizeof(buf), 0), 12);
	CHECK_EQ(pwrite(fd, "J", 1, 0), 1);
	CHECK_EQ(pread(fd, buf, sizeof(buf), 0), 12);
	CHECK(!memcmp(buf, "Jello", 5));
	CHECK_EQ(pwrite(fd, "end", 3, 5000), 3);
	CHECK_EQ(pread(fd, buf, 16, 4990), 13);
	CHECK(!memcmp(buf, "\0\0\0\0\0\0\0\0\0\0end", 13));
	close(fd);
	rawfs_stop(fs);
}

TEST(written_data_is_cached)
{
	struct rawfs *fs = plain();
	static char out[65536 + 4096], in[sizeof(out)];
	int fd;

	fs->entry_valid = fs->attr_valid = 1000;
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = i * 5 + i / 4096;
	fd = open(rawfs_path(fs, "new"), O_CREAT | O_RDWR, 0640);
	CHECK_EQ(pwrite(fd, out, sizeof(out), 0), sizeof(out));
	CHECK_EQ(pread(fd, in, sizeof(in), 0), sizeof(in));
	CHECK(!memcmp(in, out, sizeof(in)));
	/* Over what is cached, not at the bounds of pages. */
	memset(out + 3000, 'x', 20000);
	CHECK_EQ(pwrite(fd, out + 3000, 20000, 3000), 20000);
	CHECK_EQ(pread(fd, in, sizeof(in), 0), sizeof(in));
	CHECK(!memcmp(in, out, sizeof(in)));
	CHECK_EQ(fs->count[FUSE_READ], 0);
	CHECK(!memcmp(fs->node[5].data, out, sizeof(out)));
	close(fd);
	rawfs_stop(fs);
}

/* Writes of all alignments, over ranges of which the cache has all, a part or nothing. */
TEST(cache_and_server_agree)
{
	enum { SIZE = RAWFS_DATA, PAGE = 4096 };
	struct rawfs *fs = plain();
	static char model[SIZE], in[SIZE];
	unsigned int seed = 1;
	char *map;
	int fd;

	fs->entry_valid = fs->attr_valid = 1000;
	fd = open(rawfs_path(fs, "new"), O_CREAT | O_RDWR, 0640);
	CHECK_EQ(pwrite(fd, model, SIZE, 0), SIZE);
	map = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(map != MAP_FAILED);
	for (int n = 0; n < 600; n++) {
		size_t unit = (const size_t[]){ 1, 512, PAGE, 4 * PAGE }[rand_r(&seed) % 4];
		size_t at = rand_r(&seed) % SIZE / unit * unit;
		size_t len = rand_r(&seed) % ((rand_r(&seed) % 2 ? SIZE : 8 * PAGE) / unit) * unit;

		if (len > SIZE - at)
			len = SIZE - at;
		switch (rand_r(&seed) % 4) {
		case 0:
			CHECK_EQ(posix_fadvise(fd, at, len, POSIX_FADV_DONTNEED), 0);
			break;
		case 1:
			CHECK_EQ(pread(fd, in, len, at), len);
			CHECK(!memcmp(in, model + at, len));
			break;
		case 2:
			CHECK(!memcmp(map + at, model + at, len));
			break;
		default:
			memset(model + at, n, len);
			CHECK_EQ(pwrite(fd, model + at, len, at), len);
		}
	}
	CHECK_EQ(pread(fd, in, SIZE, 0), SIZE);
	CHECK(!memcmp(in, model, SIZE));
	CHECK(!memcmp(map, model, SIZE));
	CHECK(!memcmp(fs->node[5].data, model, SIZE));
	munmap(map, SIZE);
	close(fd);
	rawfs_stop(fs);
}

TEST(truncation)
{
	struct rawfs *fs = plain();
	char buf[64];
	struct stat st;
	int fd = open(rawfs_path(fs, "file"), O_RDWR);

	CHECK_EQ(pread(fd, buf, sizeof(buf), 0), 12);
	CHECK_EQ(ftruncate(fd, 5), 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, 5);
	CHECK_EQ(pread(fd, buf, sizeof(buf), 0), 5);
	CHECK_EQ(ftruncate(fd, 20), 0);
	memset(buf, 1, sizeof(buf));
	CHECK_EQ(pread(fd, buf, sizeof(buf), 0), 20);
	CHECK(!memcmp(buf, "hello\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20));
	close(fd);
	fd = open(rawfs_path(fs, "file"), O_RDWR | O_TRUNC);
	CHECK(fd >= 0);
	CHECK_EQ(pread(fd, buf, sizeof(buf), 0), 0);
	close(fd);
	CHECK_EQ(fs->node[2].size, 0);
	rawfs_stop(fs);
}

TEST(direct_io_flag)
{
	struct rawfs *fs = rawfs_new();
	char buf[32];
	int fd;

	fs->open_flags = FOPEN_DIRECT_IO;
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDWR);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(pread(fd, buf, sizeof(buf), 0), 12);
	CHECK(fs->count[FUSE_READ] >= 3);
	CHECK_EQ(pwrite(fd, "J", 1, 0), 1);
	CHECK_EQ(pread(fd, buf, sizeof(buf), 0), 12);
	CHECK_EQ(buf[0], 'J');
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
	close(fd);
	rawfs_stop(fs);
}

TEST(mappings)
{
	struct rawfs *fs = plain();
	int fd = open(rawfs_path(fs, "file"), O_RDWR);
	char *shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	char *private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	CHECK(private != MAP_FAILED);
	CHECK(!memcmp(private, "hello world\n", 13));
	private[0] = 'j';
	CHECK_EQ(fs->node[2].data[0], 'h');
	if (shared != MAP_FAILED)
		CHECK(!memcmp(shared, "hello world\n", 13));
	close(fd);
	munmap(private, 4096);
	munmap(shared, 4096);
	rawfs_stop(fs);
}

TEST(directories)
{
	struct rawfs *fs = plain();
	struct dirent *d;
	char name[64];
	long cookie = 0;
	int n = 0;
	DIR *dir;

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "dir/a-rather-long-name-of-a-directory-%d", i);
		CHECK_EQ(mkdir(rawfs_path(fs, name), 0755), 0);
	}
	dir = opendir(rawfs_path(fs, "dir"));
	CHECK(dir);
	while ((d = readdir(dir))) {
		n++;
		if (n == 150)
			cookie = telldir(dir);
	}
	CHECK_EQ(n, 301);
	seekdir(dir, cookie);
	for (n = 0; readdir(dir); n++)
		;
	CHECK_EQ(n, 151);
	rewinddir(dir);
	for (n = 0; readdir(dir); n++)
		;
	CHECK_EQ(n, 301);
	closedir(dir);
	CHECK_EQ(rmdir(rawfs_path(fs, "dir/a-rather-long-name-of-a-directory-7")), 0);
	CHECK_ERR(rmdir(rawfs_path(fs, "dir/a-rather-long-name-of-a-directory-7")), ENOENT);
	rawfs_stop(fs);
}

TEST(names)
{
	struct rawfs *fs = plain();
	struct stat st;
	char buf[64];

	CHECK_EQ(rename(rawfs_path(fs, "file"), rawfs_path(fs, "dir/moved")), 0);
	CHECK_ERR(stat(rawfs_path(fs, "file"), &st), ENOENT);
	CHECK_EQ(stat(rawfs_path(fs, "dir/moved"), &st), 0);
	CHECK_EQ(symlink("over/there", rawfs_path(fs, "sym")), 0);
	CHECK_EQ(readlink(rawfs_path(fs, "sym"), buf, sizeof(buf)), 10);
	CHECK(!memcmp(buf, "over/there", 10));
	CHECK_EQ(mknod(rawfs_path(fs, "fifo"), S_IFIFO | 0600, 0), 0);
	CHECK_EQ(stat(rawfs_path(fs, "fifo"), &st), 0);
	CHECK(S_ISFIFO(st.st_mode));
	CHECK_EQ(unlink(rawfs_path(fs, "fifo")), 0);
	CHECK_ERR(stat(rawfs_path(fs, "fifo"), &st), ENOENT);
	CHECK_ERR(syscall(SYS_renameat2, -100, rawfs_path(fs, "dir"), -100, rawfs_path(fs, "sym"), 1),
		  EEXIST);
	rawfs_stop(fs);
}

TEST(unlinked_open_file_lives)
{
	struct rawfs *fs = plain();
	int fd = open(rawfs_path(fs, "file"), O_RDWR);
	struct stat st;
	char buf[16];

	CHECK_EQ(unlink(rawfs_path(fs, "file")), 0);
	CHECK_EQ(pread(fd, buf, 5, 0), 5);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_nlink, 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(attributes_change)
{
	struct rawfs *fs = plain();
	struct timespec t[2] = { { .tv_sec = 111 }, { .tv_sec = 222 } };
	struct stat st;

	CHECK_EQ(chmod(rawfs_path(fs, "file"), 0600), 0);
	CHECK_EQ(chown(rawfs_path(fs, "file"), 5, 6), 0);
	CHECK_EQ(utimensat(-100, rawfs_path(fs, "file"), t, 0), 0);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(st.st_mode, S_IFREG | 0600);
	CHECK_EQ(st.st_uid, 5);
	CHECK_EQ(st.st_gid, 6);
	CHECK_EQ(st.st_mtime, 222);
	rawfs_stop(fs);
}

TEST(statfs_values)
{
	struct rawfs *fs = plain();
	struct statvfs st;

	CHECK_EQ(statvfs(fs->mnt, &st), 0);
	CHECK_EQ(st.f_blocks, 1000);
	CHECK_EQ(st.f_bfree, 500);
	CHECK_EQ(st.f_bavail, 400);
	CHECK_EQ(st.f_namemax, 255);
	rawfs_stop(fs);
}

TEST(open_flush_release)
{
	struct rawfs *fs = plain();
	int fd = open(rawfs_path(fs, "file"), O_RDWR), fd2;

	CHECK_EQ(fs->count[FUSE_OPEN], 1);
	fd2 = dup(fd);
	close(fd2);
	CHECK_EQ(fs->count[FUSE_FLUSH], 1);
	CHECK_EQ(fs->count[FUSE_RELEASE], 0);
	CHECK_EQ(fsync(fd), 0);
	CHECK_EQ(fs->count[FUSE_FSYNC], 1);
	close(fd);
	CHECK_EQ(fs->count[FUSE_FLUSH], 2);
	EVENTUALLY(fs->count[FUSE_RELEASE] == 1);
	rawfs_stop(fs);
}

static pid_t as_nobody(struct rawfs *fs, const char *name, int flags)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (setgid(65534) || setuid(65534))
			_exit(255);
		_exit(open(rawfs_path(fs, name), flags) < 0 ? errno : 0);
	}
	return pid;
}

TEST(others_are_kept_out)
{
	struct rawfs *fs = rawfs_new();

	rawfs_start(fs, "");
	CHECK_EQ(exit_of(as_nobody(fs, "file", O_RDONLY)), EACCES);
	rawfs_stop(fs);
}

TEST(default_permissions_check_the_mode)
{
	struct rawfs *fs = plain();

	CHECK_EQ(exit_of(as_nobody(fs, "file", O_RDONLY)), 0);
	CHECK_EQ(exit_of(as_nobody(fs, "file", O_WRONLY)), EACCES);
	rawfs_stop(fs);
}

TEST(without_them_the_server_decides)
{
	struct rawfs *fs = rawfs_new();

	rawfs_start(fs, ",allow_other");
	CHECK_EQ(exit_of(as_nobody(fs, "file", O_WRONLY)), 0);
	rawfs_stop(fs);
}

static uint32_t seen_uid, seen_pid;

static bool note_caller(struct rawfs *fs, struct rawfs_req *req)
{
	if (req->in.opcode == FUSE_OPEN) {
		seen_uid = req->in.uid;
		seen_pid = req->in.pid;
	}
	return false;
}

TEST(server_sees_the_caller)
{
	struct rawfs *fs = rawfs_new();
	pid_t pid;

	fs->hook = note_caller;
	rawfs_start(fs, ",allow_other");
	pid = as_nobody(fs, "file", O_RDONLY);
	CHECK_EQ(exit_of(pid), 0);
	CHECK_EQ(seen_uid, 65534);
	CHECK_EQ(seen_pid, pid);
	rawfs_stop(fs);
}

static bool change_type(struct rawfs *fs, struct rawfs_req *req)
{
	if (fs->arg && req->in.nodeid == 2)
		fs->node[2].mode = S_IFDIR | 0755;
	return false;
}

TEST(changed_type_makes_the_inode_bad)
{
	struct rawfs *fs = rawfs_new();
	struct stat st;
	int fd;

	fs->hook = change_type;
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK(fd >= 0);
	fs->arg = fs;
	CHECK_ERR(fstat(fd, &st), EIO);
	CHECK_ERR(fstat(fd, &st), EIO);
	close(fd);
	/* Under its name, the new inode is found. */
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK(S_ISDIR(st.st_mode));
	rawfs_stop(fs);
}

static bool hostile_dir(struct rawfs *fs, struct rawfs_req *req)
{
	char buf[128] = {};
	struct fuse_dirent *d = (void *)buf;

	if (req->in.opcode != FUSE_READDIR)
		return false;
	d->ino = 2;
	d->off = 1;
	memcpy(d->name, fs->arg, 4);
	d->namelen = !strcmp(fs->arg, "long") ? 100000 : !strcmp(fs->arg, "none") ? 0 : 4;
	rawfs_reply(fs->fd, req->in.unique, 0, buf, sizeof(buf));
	return true;
}

static void hostile_name(char *name)
{
	struct rawfs *fs = rawfs_new();
	DIR *d;

	fs->hook = hostile_dir;
	fs->arg = name;
	rawfs_start(fs, "");
	d = opendir(fs->mnt);
	errno = 0;
	CHECK(!readdir(d));
	CHECK_EQ(errno, EIO);
	closedir(d);
	rawfs_stop(fs);
}

TEST(slash_in_a_name)
{
	hostile_name("a/bc");
}

TEST(overlong_name)
{
	hostile_name("long");
}

TEST(empty_name)
{
	hostile_name("none");
}

TEST(short_read_ends_with_zeros)
{
	/* The server says 12 bytes but the file claims more: the rest reads as zero. */
	struct rawfs *fs = plain();
	char buf[64];
	int fd;

	fs->node[2].size = 4000;
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	fs->node[2].size = 12;
	memset(buf, 1, sizeof(buf));
	CHECK(pread(fd, buf, 64, 0) >= 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(nonseekable)
{
	struct rawfs *fs = rawfs_new();
	int fd;

	fs->open_flags = FOPEN_NONSEEKABLE | FOPEN_DIRECT_IO;
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK(fd >= 0);
	CHECK_ERR(lseek(fd, 1, SEEK_SET), ESPIPE);
	close(fd);
	rawfs_stop(fs);
}

TEST(umask_is_applied)
{
	struct rawfs *fs = plain();
	int fd;

	umask(027);
	fd = open(rawfs_path(fs, "new"), O_CREAT | O_RDWR, 0666);
	CHECK(fd >= 0);
	close(fd);
	CHECK_EQ(fs->node[5].mode, S_IFREG | 0640);
	CHECK_EQ(mkdir(rawfs_path(fs, "newdir"), 0777), 0);
	CHECK_EQ(fs->node[6].mode, S_IFDIR | 0750);
	rawfs_stop(fs);
}

TEST(exec_needs_an_x_bit)
{
	struct rawfs *fs = rawfs_new();

	rawfs_start(fs, "");
	CHECK_ERR(execl(rawfs_path(fs, "file"), "file", NULL), EACCES);
	rawfs_stop(fs);
}
