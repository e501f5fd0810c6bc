// SPDX-License-Identifier: GPL-2.0
/* What exactly is asked of a server, and what of its answers is believed for how long. */
#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include "record.h"

TEST(a_truncation_sets_no_mtime)
{
	struct rawfs *fs = recording_fs();
	struct fuse_setattr_in *in;
	int fd;

	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDWR);
	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, 5), 0);
	in = last(FUSE_SETATTR);
	CHECK(in->valid & FATTR_SIZE);
	CHECK(!(in->valid & (FATTR_MTIME | FATTR_MTIME_NOW)));
	close(fd);
	fd = open(rawfs_path(fs, "file"), O_RDWR | O_TRUNC);
	CHECK(fd >= 0);
	in = last(FUSE_SETATTR);
	CHECK_EQ(in->size, 0);
	CHECK(in->valid & FATTR_SIZE);
	CHECK(!(in->valid & (FATTR_MTIME | FATTR_MTIME_NOW)));
	close(fd);
	rawfs_stop(fs);
}

TEST(now_is_sent_as_a_time_too)
{
	struct rawfs *fs = recording_fs();
	struct fuse_setattr_in *in;

	rawfs_start(fs, "");
	CHECK_EQ(utimensat(AT_FDCWD, rawfs_path(fs, "file"), NULL, 0), 0);
	in = last(FUSE_SETATTR);
	CHECK_EQ(in->valid & (FATTR_ATIME | FATTR_ATIME_NOW), FATTR_ATIME | FATTR_ATIME_NOW);
	CHECK_EQ(in->valid & (FATTR_MTIME | FATTR_MTIME_NOW), FATTR_MTIME | FATTR_MTIME_NOW);
	CHECK(labs((long)in->mtime - time(NULL)) < 10);
	CHECK(labs((long)in->atime - time(NULL)) < 10);
	rawfs_stop(fs);
}

TEST(a_truncating_open_names_no_open_file)
{
	struct rawfs *fs = recording_fs();
	struct fuse_setattr_in *in;
	int fd;

	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDWR | O_TRUNC);
	CHECK(fd >= 0);
	in = last(FUSE_SETATTR);
	CHECK(in->valid & FATTR_SIZE);
	CHECK(!(in->valid & FATTR_FH));
	CHECK_EQ(ftruncate(fd, 7), 0);
	in = last(FUSE_SETATTR);
	CHECK(in->valid & FATTR_FH);
	CHECK_EQ(in->fh, 2);
	close(fd);
	rawfs_stop(fs);
}

static int unlink_as_nobody(struct rawfs *fs, const char *name)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (setgid(65534) || setuid(65534))
			_exit(255);
		_exit(unlink(rawfs_path(fs, name)) ? errno : 0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A directory with the sticky bit, and in it a file of somebody else's than nobody. */
static struct rawfs *sticky(const char *options)
{
	struct rawfs *fs = recording_fs();

	rawfs_start(fs, options);
	CHECK_EQ(mknod(rawfs_path(fs, "dir/theirs"), S_IFREG | 0600, 0), 0);
	fs->node[3].mode = S_IFDIR | 01777;
	fs->node[3].uid = 17;
	fs->node[5].uid = 18;
	return fs;
}

TEST(the_server_judges_by_the_sticky_bit)
{
	struct rawfs *fs = sticky(",allow_other");
	struct stat st;

	CHECK_EQ(stat(rawfs_path(fs, "dir"), &st), 0);
	CHECK_EQ(st.st_mode, S_IFDIR | 01777);
	CHECK_EQ(unlink_as_nobody(fs, "dir/theirs"), 0);
	CHECK_EQ(fs->count[FUSE_UNLINK], 1);
	CHECK_EQ(stat(rawfs_path(fs, "dir"), &st), 0);
	CHECK_EQ(st.st_mode, S_IFDIR | 01777);
	rawfs_stop(fs);
}

TEST(with_default_permissions_the_kernel_does)
{
	struct rawfs *fs = sticky(",allow_other,default_permissions");

	CHECK_EQ(unlink_as_nobody(fs, "dir/theirs"), EPERM);
	CHECK_EQ(fs->count[FUSE_UNLINK], 0);
	rawfs_stop(fs);
}

/* The mode a chown(2) sets when the server has changed it to `mode` after we cached 04755. */
static struct fuse_setattr_in *chown_after(struct rawfs *fs, uint32_t mode)
{
	struct stat st;

	fs->attr_valid = fs->entry_valid = 1000;
	rawfs_start(fs, "");
	fs->node[2].mode = S_IFREG | 04755;
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(st.st_mode, S_IFREG | 04755);
	fs->node[2].mode = S_IFREG | mode;
	CHECK_EQ(chown(rawfs_path(fs, "file"), 5, 6), 0);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	rawfs_stop(fs);
	return last(FUSE_SETATTR);
}

TEST(set_ids_are_dropped_from_the_present_mode)
{
	struct fuse_setattr_in *in = chown_after(recording_fs(), 06710);

	CHECK(in->valid & FATTR_MODE);
	CHECK_EQ(in->mode, S_IFREG | 0710);
}

TEST(no_mode_is_set_where_no_set_ids_are)
{
	struct fuse_setattr_in *in = chown_after(recording_fs(), 0600);

	CHECK(in->valid & FATTR_UID);
	CHECK(!(in->valid & FATTR_MODE));
}

TEST(set_gid_without_group_execution_stays)
{
	struct fuse_setattr_in *in = chown_after(recording_fs(), 02745);

	CHECK(in->valid & FATTR_UID);
	CHECK(!(in->valid & FATTR_MODE));
}

TEST(dropping_set_ids_keeps_the_sticky_bit)
{
	struct fuse_setattr_in *in;

	RS_ONLY("it loses the bit it hides from itself");
	in = chown_after(recording_fs(), 05700);
	CHECK(in->valid & FATTR_MODE);
	CHECK_EQ(in->mode, S_IFREG | 01700);
}

/* What statx(2) of the root of the mount says to nobody. */
static int statx_as_nobody(struct rawfs *fs, unsigned int mask, struct statx *st)
{
	struct statx *shared = ktap_shared(sizeof(*shared));
	int error = AS_NOBODY(statx(AT_FDCWD, fs->mnt, 0, mask, shared));

	*st = *shared;
	munmap(shared, sizeof(*shared));
	return error;
}

TEST(others_are_told_nothing_but_the_device)
{
	struct rawfs *fs = recording_fs();
	struct statx st, mine;

	rawfs_start(fs, "");
	fs->node[1].uid = 77;
	CHECK_EQ(statx(AT_FDCWD, fs->mnt, 0, STATX_BASIC_STATS, &mine), 0);
	CHECK_EQ(mine.stx_uid, 77);
	CHECK_EQ(statx_as_nobody(fs, STATX_BASIC_STATS, &st), EACCES);
	CHECK_EQ(statx_as_nobody(fs, STATX_SIZE, &st), EACCES);
	CHECK_EQ(statx_as_nobody(fs, STATX_BTIME, &st), EACCES);
	CHECK_EQ(statx_as_nobody(fs, 0, &st), 0);
	CHECK_EQ(st.stx_mask & STATX_BASIC_STATS, 0);
	CHECK_EQ(st.stx_dev_minor, mine.stx_dev_minor);
	CHECK_EQ(st.stx_mode, 0);
	CHECK_EQ(st.stx_uid, 0);
	CHECK_EQ(st.stx_ino, 0);
	CHECK_EQ(st.stx_nlink, 0);
	rawfs_stop(fs);
}

static bool change_type(struct rawfs *fs, struct rawfs_req *req)
{
	if (fs->arg && req->in.nodeid == 2)
		fs->node[2].mode = S_IFDIR | 0755;
	return false;
}

TEST(a_bad_inode_tells_no_cached_attributes)
{
	struct rawfs *fs = recording_fs();
	struct stat st;
	struct statx stx;
	int fd;

	special = change_type;
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK(fd >= 0);
	CHECK_EQ(statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &stx), 0);
	fs->arg = fs;
	CHECK_ERR(fstat(fd, &st), EIO);
	CHECK_ERR(statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &stx), EIO);
	CHECK_ERR(statx(fd, "", AT_EMPTY_PATH, 0, &stx), EIO);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_created_file_may_be_nonseekable)
{
	struct rawfs *fs = recording_fs();
	char c;
	int fd;

	fs->open_flags = FOPEN_NONSEEKABLE | FOPEN_DIRECT_IO;
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "new"), O_CREAT | O_RDWR, 0644);
	CHECK(fd >= 0);
	CHECK_EQ(fs->count[FUSE_CREATE], 1);
	CHECK_ERR(lseek(fd, 1, SEEK_SET), ESPIPE);
	CHECK_ERR(pread(fd, &c, 1, 0), ESPIPE);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_created_file_may_be_a_stream)
{
	struct rawfs *fs = recording_fs();
	char c;
	int fd;

	fs->open_flags = FOPEN_STREAM | FOPEN_DIRECT_IO;
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "new"), O_CREAT | O_RDWR, 0644);
	CHECK(fd >= 0);
	CHECK_ERR(lseek(fd, 0, SEEK_CUR), ESPIPE);
	CHECK_ERR(pread(fd, &c, 1, 0), ESPIPE);
	CHECK_EQ(write(fd, "a", 1), 1);
	/* A stream has no position: the server is always asked at zero. */
	CHECK_EQ(write(fd, "b", 1), 1);
	CHECK_EQ(((struct fuse_write_in *)last(FUSE_WRITE))->offset, 0);
	close(fd);
	rawfs_stop(fs);
}

/* A CREATE opens the file that is there under another name, with new content of the old size. */
static bool create_opens_file(struct rawfs *fs, struct rawfs_req *req)
{
	struct {
		struct fuse_entry_out e;
		struct fuse_open_out o;
	} out = {};

	if (req->in.opcode != FUSE_CREATE)
		return false;
	memcpy(fs->node[2].data, "HELLO", 5);
	rawfs_entry(fs, 2, &out.e);
	out.o.fh = 2;
	out.o.open_flags = fs->open_flags;
	fs->node[2].nlookup++;
	fs->looked_up++;
	rawfs_reply(fs->fd, req->in.unique, 0, &out, sizeof(out));
	return true;
}

/* The first byte read after such a CREATE, when "hello" was cached before. */
static char after_create(struct rawfs *fs, int flags)
{
	char buf[16];
	int fd, fd2;

	special = create_opens_file;
	fs->attr_valid = 1000;
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK_EQ(pread(fd, buf, 12, 0), 12);
	CHECK_EQ(buf[0], 'h');
	fd2 = open(rawfs_path(fs, "alias"), O_CREAT | O_RDWR | flags, 0644);
	CHECK(fd2 >= 0);
	CHECK_EQ(fs->count[FUSE_CREATE], 1);
	CHECK_EQ(pread(fd2, buf, 12, 0), 12);
	close(fd);
	close(fd2);
	rawfs_stop(fs);
	return buf[0];
}

TEST(create_drops_what_is_cached)
{
	CHECK_EQ(after_create(recording_fs(), 0), 'H');
}

TEST(create_may_keep_what_is_cached)
{
	struct rawfs *fs = recording_fs();

	fs->open_flags = FOPEN_KEEP_CACHE;
	CHECK_EQ(after_create(fs, 0), 'h');
}

TEST(a_truncating_create_drops_what_is_cached)
{
	struct rawfs *fs = recording_fs();

	fs->open_flags = FOPEN_KEEP_CACHE;
	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 31,
					       .max_readahead = 131072,
					       .max_write = 131072,
					       .flags = FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC };
	CHECK_EQ(after_create(fs, O_TRUNC), 'H');
}

/* "late" does not exist, for long, until somebody tries to make it; then it is there. */
static bool late(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_entry_out none = { .entry_valid = 1000 };

	switch (req->in.opcode) {
	case FUSE_LOOKUP:
		if (fs->arg || strcmp(req->body, "late"))
			return false;
		rawfs_reply(fs->fd, req->in.unique, 0, &none, sizeof(none));
		return true;
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
	case FUSE_CREATE:
		fs->arg = fs;
		strcpy(fs->node[4].name, "late");
		rawfs_reply(fs->fd, req->in.unique, EEXIST, NULL, 0);
		return true;
	}
	return false;
}

static struct rawfs *with_late(void)
{
	struct rawfs *fs = recording_fs();
	struct stat st;

	special = late;
	rawfs_start(fs, "");
	CHECK_ERR(stat(rawfs_path(fs, "late"), &st), ENOENT);
	CHECK_ERR(stat(rawfs_path(fs, "late"), &st), ENOENT);
	CHECK_EQ(fs->count[FUSE_LOOKUP], 1);
	return fs;
}

static void late_is_there(struct rawfs *fs)
{
	struct stat st;

	CHECK_EQ(lstat(rawfs_path(fs, "late"), &st), 0);
	CHECK_EQ(st.st_ino, 4);
	rawfs_stop(fs);
}

TEST(eexist_of_mkdir_is_believed)
{
	struct rawfs *fs = with_late();

	CHECK_ERR(mkdir(rawfs_path(fs, "late"), 0755), EEXIST);
	late_is_there(fs);
}

TEST(eexist_of_symlink_is_believed)
{
	struct rawfs *fs = with_late();

	CHECK_ERR(symlink("x", rawfs_path(fs, "late")), EEXIST);
	late_is_there(fs);
}

TEST(eexist_of_link_is_believed)
{
	struct rawfs *fs = with_late();

	CHECK_ERR(link(rawfs_path(fs, "file"), rawfs_path(fs, "late")), EEXIST);
	late_is_there(fs);
}

TEST(eexist_of_create_is_believed)
{
	struct rawfs *fs = with_late();

	CHECK_ERR(open(rawfs_path(fs, "late"), O_CREAT | O_RDWR, 0644), EEXIST);
	late_is_there(fs);
}

/* "file" is known for long, and then the server has it no more. */
static struct rawfs *with_vanished(const char *name)
{
	struct rawfs *fs = recording_fs();
	struct stat st;

	fs->entry_valid = fs->attr_valid = 1000;
	rawfs_start(fs, "");
	CHECK_EQ(stat(rawfs_path(fs, name), &st), 0);
	for (int i = 2; i < 5; i++)
		if (!strcmp(fs->node[i].name, name))
			strcpy(fs->node[i].name, "elsewhere");
	CHECK_EQ(stat(rawfs_path(fs, name), &st), 0);
	return fs;
}

static void is_gone(struct rawfs *fs, const char *name)
{
	struct stat st;

	CHECK_ERR(stat(rawfs_path(fs, name), &st), ENOENT);
	rawfs_stop(fs);
}

TEST(enoent_of_unlink_is_believed)
{
	struct rawfs *fs = with_vanished("file");

	CHECK_ERR(unlink(rawfs_path(fs, "file")), ENOENT);
	is_gone(fs, "file");
}

TEST(enoent_of_rmdir_is_believed)
{
	struct rawfs *fs = with_vanished("dir");

	CHECK_ERR(rmdir(rawfs_path(fs, "dir")), ENOENT);
	is_gone(fs, "dir");
}

static bool no_rename(struct rawfs *fs, struct rawfs_req *req)
{
	if (req->in.opcode != FUSE_RENAME && req->in.opcode != FUSE_RENAME2)
		return false;
	rawfs_reply(fs->fd, req->in.unique, ENOENT, NULL, 0);
	return true;
}

TEST(enoent_of_rename_is_believed)
{
	struct rawfs *fs = with_vanished("file");

	special = no_rename;
	CHECK_ERR(rename(rawfs_path(fs, "file"), rawfs_path(fs, "other")), ENOENT);
	is_gone(fs, "file");
}

static struct rawfs_req *held;

/* A MKDIR is kept for later; until then "late" does not exist, for long. */
static bool hold_mkdir(struct rawfs *fs, struct rawfs_req *req)
{
	if (req->in.opcode == FUSE_MKDIR && !held) {
		struct rawfs_req *copy = malloc(sizeof(*copy));

		*copy = *req;
		held = copy;
		return true;
	}
	return req->in.opcode == FUSE_LOOKUP && late(fs, req);
}

TEST(nothing_is_believed_after_a_killed_creation)
{
	struct rawfs *fs = recording_fs();
	struct stat st;
	pid_t pid;

	RS_ONLY("there a killed caller waits");
	fs->attr_valid = 1000;
	special = hold_mkdir;
	rawfs_start(fs, "");
	CHECK_ERR(stat(rawfs_path(fs, "late"), &st), ENOENT);
	pid = fork();
	if (pid == 0)
		_exit(mkdir(rawfs_path(fs, "late"), 0755));
	EVENTUALLY(held);
	kill_child(pid);
	/* The server does it all the same. */
	fs->arg = fs;
	rawfs_default(fs, held);
	CHECK_EQ(stat(rawfs_path(fs, "late"), &st), 0);
	CHECK_EQ(st.st_ino, 5);
	EVENTUALLY(fs->forgotten >= 1);
	rawfs_stop(fs);
}

TEST(listings_stay_within_max_pages)
{
	struct rawfs *fs = recording_fs();
	static char buf[200000];
	int fd;

	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 31,
					       .max_readahead = 131072,
					       .max_write = 131072,
					       .max_pages = 2,
					       .flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES };
	rawfs_start(fs, "");
	fd = open(fs->mnt, O_RDONLY | O_DIRECTORY);
	CHECK(fd >= 0);
	CHECK(syscall(SYS_getdents64, fd, buf, sizeof(buf)) > 0);
	CHECK_EQ(((struct fuse_read_in *)last(FUSE_READDIR))->size, 8192);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_large_read_is_one_request)
{
	struct rawfs *fs = recording_fs();
	static char buf[RAWFS_DATA];
	int fd;

	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 31,
					       .max_readahead = 65536,
					       .max_write = 131072,
					       .max_pages = RAWFS_DATA / 4096,
					       .flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES |
							FUSE_ASYNC_READ };
	rawfs_start(fs, "");
	fs->node[2].size = sizeof(buf);
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK(fd >= 0);
	CHECK_EQ(read(fd, buf, sizeof(buf)), sizeof(buf));
	CHECK_EQ(fs->count[FUSE_READ], 1);
	CHECK_EQ(((struct fuse_read_in *)last(FUSE_READ))->size, sizeof(buf));
	close(fd);
	rawfs_stop(fs);
}

static bool target_with_nul(struct rawfs *fs, struct rawfs_req *req)
{
	if (req->in.opcode != FUSE_READLINK)
		return false;
	rawfs_reply(fs->fd, req->in.unique, 0, "file\0rest", 9);
	return true;
}

TEST(a_target_ends_at_a_nul)
{
	struct rawfs *fs = recording_fs();
	struct stat st;
	char buf[64];

	special = target_with_nul;
	rawfs_start(fs, "");
	CHECK_EQ(readlink(rawfs_path(fs, "link"), buf, sizeof(buf)), 4);
	CHECK(!memcmp(buf, "file", 4));
	CHECK_EQ(stat(rawfs_path(fs, "link"), &st), 0);
	CHECK_EQ(st.st_ino, 2);
	rawfs_stop(fs);
}

static bool no_flush(struct rawfs *fs, struct rawfs_req *req)
{
	if (req->in.opcode != FUSE_FLUSH)
		return false;
	rawfs_reply(fs->fd, req->in.unique, ENOSYS, NULL, 0);
	return true;
}

TEST(no_flush_for_the_killed_either)
{
	struct rawfs *fs = recording_fs();
	int ready[2];
	pid_t pid;
	char c;

	special = no_flush;
	rawfs_start(fs, "");
	CHECK_EQ(close(open(rawfs_path(fs, "file"), O_RDONLY)), 0);
	CHECK_EQ(fs->count[FUSE_FLUSH], 1);
	EVENTUALLY(fs->count[FUSE_RELEASE] == 1);
	CHECK_EQ(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		if (open(rawfs_path(fs, "file"), O_RDONLY) < 0 || write(ready[1], "r", 1) != 1)
			_exit(1);
		pause();
	}
	CHECK_EQ(read(ready[0], &c, 1), 1);
	kill_child(pid);
	EVENTUALLY(fs->count[FUSE_RELEASE] == 2);
	CHECK_EQ(fs->count[FUSE_FLUSH], 1);
	rawfs_stop(fs);
}

/* The first byte of a fresh private mapping. */
static char mapped_byte(int fd)
{
	char *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0), c;

	CHECK(map != MAP_FAILED);
	c = *(volatile char *)map;
	munmap(map, 4096);
	return c;
}

TEST(a_mapping_of_a_direct_file_is_not_from_the_cache)
{
	struct rawfs *fs = recording_fs();
	int fd;

	fs->open_flags = FOPEN_DIRECT_IO;
	fs->attr_valid = 1000;
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK_EQ(mapped_byte(fd), 'h');
	fs->node[2].data[0] = 'J';
	CHECK_EQ(mapped_byte(fd), 'J');
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
	CHECK_EQ(errno, ENODEV);
	close(fd);
	rawfs_stop(fs);
}

TEST(shared_mappings_of_read_only_descriptors)
{
	struct rawfs *fs = recording_fs();
	int fd, fd2;
	char *map;

	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	CHECK(!memcmp(map, "hello", 5));
	/* A write is seen through it. */
	fd2 = open(rawfs_path(fs, "file"), O_WRONLY);
	CHECK_EQ(pwrite(fd2, "J", 1, 0), 1);
	CHECK_EQ(*(volatile char *)map, 'J');
	munmap(map, 4096);
	close(fd);
	close(fd2);
	rawfs_stop(fs);
}

/* The FSYNCs after a write of one byte through a descriptor with these flags. */
static unsigned long fsyncs_of(struct rawfs *fs, int open_flags, int write_flags)
{
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	unsigned long before = fs->count[FUSE_FSYNC];
	int fd = open(rawfs_path(fs, "file"), O_WRONLY | open_flags);

	CHECK(fd >= 0);
	CHECK_EQ(pwritev2(fd, &iov, 1, 0, write_flags), 1);
	close(fd);
	return fs->count[FUSE_FSYNC] - before;
}

TEST(synchronous_writes_are_made_durable)
{
	struct rawfs *fs = recording_fs();

	rawfs_start(fs, "");
	CHECK_EQ(fsyncs_of(fs, 0, 0), 0);
	CHECK_EQ(fsyncs_of(fs, O_DSYNC, 0), 1);
	CHECK_EQ(((struct fuse_fsync_in *)last(FUSE_FSYNC))->fsync_flags, FUSE_FSYNC_FDATASYNC);
	CHECK_EQ(fsyncs_of(fs, O_SYNC, 0), 1);
	CHECK_EQ(((struct fuse_fsync_in *)last(FUSE_FSYNC))->fsync_flags, 0);
	CHECK_EQ(fsyncs_of(fs, 0, RWF_DSYNC), 1);
	CHECK_EQ(((struct fuse_fsync_in *)last(FUSE_FSYNC))->fsync_flags, FUSE_FSYNC_FDATASYNC);
	CHECK_EQ(fsyncs_of(fs, 0, RWF_SYNC), 1);
	CHECK_EQ(((struct fuse_fsync_in *)last(FUSE_FSYNC))->fsync_flags, 0);
	CHECK_EQ(fsyncs_of(fs, O_DIRECT | O_DSYNC, 0), 1);
	rawfs_stop(fs);
}

TEST(synchronous_writes_to_direct_files_too)
{
	struct rawfs *fs = recording_fs();

	RS_ONLY("it leaves them out");
	fs->open_flags = FOPEN_DIRECT_IO;
	rawfs_start(fs, "");
	CHECK_EQ(fsyncs_of(fs, 0, 0), 0);
	CHECK_EQ(fsyncs_of(fs, O_DSYNC, 0), 1);
	rawfs_stop(fs);
}

static bool fsync_fails(struct rawfs *fs, struct rawfs_req *req)
{
	if (req->in.opcode != FUSE_FSYNC)
		return false;
	rawfs_reply(fs->fd, req->in.unique, ENOSPC, NULL, 0);
	return true;
}

TEST(a_synchronous_write_fails_with_its_fsync)
{
	struct rawfs *fs = recording_fs();
	int fd;

	special = fsync_fails;
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_WRONLY | O_DSYNC);
	CHECK_ERR(write(fd, "x", 1), ENOSPC);
	CHECK_EQ(fs->node[2].data[0], 'x');
	close(fd);
	rawfs_stop(fs);
}

TEST(the_present_flags_are_sent)
{
	struct rawfs *fs = recording_fs();
	static char buf[65536];
	int fd, dir;

	rawfs_start(fs, "");
	/* Through the page cache. */
	fd = open(rawfs_path(fs, "file"), O_RDWR);
	CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND), 0);
	CHECK_EQ(pread(fd, buf, 12, 0), 12);
	CHECK_EQ(((struct fuse_read_in *)last(FUSE_READ))->flags & (O_NONBLOCK | O_APPEND | O_ACCMODE),
		 O_NONBLOCK | O_APPEND | O_RDWR);
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_EQ(((struct fuse_write_in *)last(FUSE_WRITE))->flags & (O_NONBLOCK | O_APPEND),
		 O_NONBLOCK | O_APPEND);
	/* Past it. */
	CHECK_EQ(fcntl(fd, F_SETFL, O_DIRECT), 0);
	CHECK_EQ(pread(fd, buf, 12, 0), 12);
	CHECK_EQ(((struct fuse_read_in *)last(FUSE_READ))->flags & (O_NONBLOCK | O_APPEND | O_DIRECT),
		 O_DIRECT);
	CHECK_EQ(close(fd), 0);
	EVENTUALLY(asked(FUSE_RELEASE));
	CHECK_EQ(((struct fuse_release_in *)last(FUSE_RELEASE))->flags & (O_DIRECT | O_ACCMODE),
		 O_DIRECT | O_RDWR);

	dir = open(fs->mnt, O_RDONLY | O_DIRECTORY);
	CHECK_EQ(fcntl(dir, F_SETFL, O_NONBLOCK), 0);
	CHECK(syscall(SYS_getdents64, dir, buf, sizeof(buf)) > 0);
	CHECK(((struct fuse_read_in *)last(FUSE_READDIR))->flags & O_NONBLOCK);
	close(dir);
	rawfs_stop(fs);
}

static struct fuse_entry_out old_entry;
static atomic_ulong held_unique;

/* "alias" is another name of "file"; the answer is what was true when the question came. */
static bool hold_alias(struct rawfs *fs, struct rawfs_req *req)
{
	if (req->in.opcode != FUSE_LOOKUP || strcmp(req->body, "alias"))
		return false;
	rawfs_entry(fs, 2, &old_entry);
	held_unique = req->in.unique;
	return true;
}

TEST(old_attributes_of_an_evicted_inode_are_not_believed)
{
	struct rawfs *fs = recording_fs();
	int fd, drop = open("/proc/sys/vm/drop_caches", O_WRONLY), status;
	struct stat st;
	pid_t pid;

	CHECK(drop >= 0);
	fs->attr_valid = 1000;
	special = hold_alias;
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_WRONLY | O_APPEND);
	CHECK(fd >= 0);
	pid = fork();
	if (pid == 0) {
		close(fd);
		_exit(stat(rawfs_path(fs, "alias"), &st) ? 255 : st.st_size);
	}
	EVENTUALLY(held_unique);
	CHECK_EQ(write(fd, "x", 1), 1);
	close(fd);
	EVENTUALLY(fs->forgotten || write(drop, "2", 1) != 1);
	rawfs_reply_entry(fs, held_unique, &old_entry);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 13);
	rawfs_stop(fs);
}

/* What the child and the case tell each other. */
struct both {
	atomic_int fd; /* an open file of the child's mount */
	atomic_uint flush_uid, read_uid;
	atomic_bool flushed, done;
};
static struct both *both;

static bool note_ids(struct rawfs *fs, struct rawfs_req *req)
{
	if (req->in.opcode == FUSE_FLUSH) {
		both->flush_uid = req->in.uid;
		both->flushed = true;
	}
	if (req->in.opcode == FUSE_READ)
		both->read_uid = req->in.uid;
	return false;
}

/* Mounts in a user namespace that knows no user but root, and opens a file there. */
static pid_t mount_in_namespace(void)
{
	pid_t pid;

	both = ktap_shared(sizeof(*both));
	pid = fork();
	if (pid == 0) {
		struct rawfs *fs = recording_fs();
		int fd;

		enter_namespace("0 0 1");
		special = note_ids;
		rawfs_start(fs, ",allow_other");
		fd = open(rawfs_path(fs, "file"), O_RDONLY);
		CHECK(fd >= 0);
		both->fd = fd;
		EVENTUALLY(both->done);
		close(fd);
		rawfs_stop(fs);
		_exit(0);
	}
	EVENTUALLY(both->fd);
	return pid;
}

/* The open file of the child's, in this process, which is then somebody its namespace does not know. */
static int their_file(pid_t pid)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0), fd;

	CHECK(pidfd >= 0);
	fd = syscall(SYS_pidfd_getfd, pidfd, both->fd, 0);
	CHECK(fd >= 0);
	setfsgid(4321);
	setfsuid(4321);
	return fd;
}

static void namespace_ends_well(pid_t pid)
{
	int status;

	both->done = true;
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

TEST(close_by_the_unknown)
{
	pid_t pid = mount_in_namespace();
	int fd = their_file(pid);

	CHECK_EQ(close(fd), 0);
	CHECK(both->flushed);
	CHECK_EQ(both->flush_uid, 65534);
	namespace_ends_well(pid);
}

TEST(cached_read_by_the_unknown)
{
	char buf[16];
	pid_t pid;
	int fd;

	RS_ONLY("it cannot read what others can");
	pid = mount_in_namespace();
	fd = their_file(pid);
	CHECK_EQ(pread(fd, buf, 12, 0), 12);
	CHECK(!memcmp(buf, "hello", 5));
	CHECK_EQ(both->read_uid, 65534);
	close(fd);
	namespace_ends_well(pid);
}
