// SPDX-License-Identifier: GPL-2.0
/*
 * Allocations that fail: of each system call one after the other. Each time the call works or says
 * so, nothing the server gave is lost, and at last it works. Needs a kernel with fault injection.
 */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include "faults.h"
#include "notify.h"

#define LEN (5 * 4096)
/* A node that is in no directory. */
#define NAMELESS 100

static int fd;
static int pipe_fds[2];
static char buf[LEN];
static void *map;

static bool answer(struct rawfs *fs, struct rawfs_req *req, const void *body, size_t len)
{
	rawfs_reply(fs->fd, req->in.unique, 0, body, len);
	return true;
}

/* The size of a value, or the value. */
static bool answer_sized(struct rawfs *fs, struct rawfs_req *req, const char *value, size_t len)
{
	struct fuse_getxattr_in *in = (void *)req->body;
	struct fuse_getxattr_out out = { .size = len };

	return in->size ? answer(fs, req, value, len) : answer(fs, req, &out, sizeof(out));
}

/* What the tree has not. */
static bool serve_more(struct rawfs *fs, struct rawfs_req *req)
{
	union {
		struct fuse_ioctl_out ioctl;
		struct fuse_poll_out poll;
		struct fuse_lk_out lk;
		struct fuse_lseek_out lseek;
		struct fuse_write_out copied;
		struct fuse_statx_out statx;
		struct fuse_entry_out entry;
		struct {
			struct fuse_entry_out entry;
			struct fuse_open_out open;
		} created;
	} out = {};

	switch (req->in.opcode) {
	case FUSE_GETXATTR:
		return answer_sized(fs, req, "value", 5);
	case FUSE_LISTXATTR:
		return answer_sized(fs, req, "user.a", 7);
	case FUSE_SETXATTR:
	case FUSE_REMOVEXATTR:
	case FUSE_SETLK:
	case FUSE_SETLKW:
	case FUSE_FALLOCATE:
	case FUSE_ACCESS:
		return answer(fs, req, NULL, 0);
	case FUSE_GETLK:
		out.lk.lk.type = F_UNLCK;
		return answer(fs, req, &out, sizeof(out.lk));
	case FUSE_IOCTL:
		return answer(fs, req, &out, sizeof(out.ioctl));
	case FUSE_POLL:
		out.poll.revents = POLLIN;
		return answer(fs, req, &out, sizeof(out.poll));
	case FUSE_LSEEK:
		return answer(fs, req, &out, sizeof(out.lseek));
	case FUSE_COPY_FILE_RANGE:
		out.copied.size = 1;
		return answer(fs, req, &out, sizeof(out.copied));
	case FUSE_STATX:
		out.statx.stat.mode = S_IFREG | 0644;
		out.statx.stat.nlink = 1;
		out.statx.stat.mask = STATX_BASIC_STATS | STATX_BTIME;
		return answer(fs, req, &out, sizeof(out.statx));
	case FUSE_LINK:
		rawfs_entry(fs, ((struct fuse_link_in *)req->body)->oldnodeid, &out.entry);
		rawfs_reply_entry(fs, req->in.unique, &out.entry);
		return true;
	case FUSE_TMPFILE:
		rawfs_entry(fs, NAMELESS, &out.created.entry);
		fs->looked_up++;
		return answer(fs, req, &out, sizeof(out.created));
	case FUSE_NOTIFY_REPLY:
		return true;
	}
	return false;
}

static struct rawfs *faulty_fs(uint64_t flags)
{
	struct rawfs *fs;

	faults_prepare();
	fs = rawfs_wanting(flags);
	fs->entry_valid = fs->attr_valid = 0;
	fs->hook = serve_more;
	fs->node[NAMELESS].mode = S_IFREG | 0600;
	rawfs_start(fs, "");
	for (int i = 0; i < LEN; i++)
		fs->node[2].data[i] = i % 251;
	fs->node[2].size = LEN;
	return fs;
}

static void forget_name(struct rawfs *fs, const char *name)
{
	int error = notify_inval_entry(fs, 1, name, 0);

	CHECK(!error || error == ENOENT);
}

static void forget_names(struct rawfs *fs)
{
	forget_name(fs, "file");
	forget_name(fs, "dir");
	forget_name(fs, "link");
	forget_name(fs, "new");
}

/* Whatever failed, everything the server gave is given back. */
static void stop(struct rawfs *fs)
{
	forget_names(fs);
	EVENTUALLY(fs->count[FUSE_OPEN] + fs->count[FUSE_CREATE] + fs->count[FUSE_TMPFILE] ==
		   fs->count[FUSE_RELEASE]);
	EVENTUALLY(fs->count[FUSE_OPENDIR] == fs->count[FUSE_RELEASEDIR]);
	EVENTUALLY(fs->looked_up == fs->forgotten);
	rawfs_stop(fs);
}

/* A case of one call. */
static void check_call(uint64_t flags, struct work work)
{
	struct rawfs *fs = faulty_fs(flags);

	at_every_allocation(fs, work);
	stop(fs);
}

/* A case of one call on an open file. */
static void check_file(uint64_t flags, uint32_t open_flags, struct work work)
{
	struct rawfs *fs = faulty_fs(flags);

	fs->open_flags = open_flags;
	fd = open(rawfs_path(fs, "file"), O_RDWR);
	CHECK(fd >= 0);
	at_every_allocation(fs, work);
	close(fd);
	stop(fs);
}

static void close_it(struct rawfs *fs)
{
	if (fd >= 0)
		close(fd);
}

static void close_and_forget(struct rawfs *fs)
{
	close_it(fs);
	forget_names(fs);
}

static void remove_new(struct rawfs *fs)
{
	if (unlink(rawfs_path(fs, "new")))
		CHECK_EQ(errno, ENOENT);
	forget_names(fs);
}

static void drop_pages(struct rawfs *fs)
{
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

/* Names and attributes */

static int do_stat(struct rawfs *fs)
{
	struct stat st;

	return stat(rawfs_path(fs, "link"), &st);
}

TEST(lookup)
{
	check_call(0, (struct work){ .call = do_stat, .after = forget_names });
}

static int do_revalidate(struct rawfs *fs)
{
	struct stat st;

	return stat(rawfs_path(fs, "file"), &st);
}

TEST(revalidation)
{
	check_call(0, (struct work){ .call = do_revalidate });
}

static int do_statx(struct rawfs *fs)
{
	struct statx st;

	return statx(AT_FDCWD, rawfs_path(fs, "file"), AT_STATX_FORCE_SYNC,
		     STATX_BASIC_STATS | STATX_BTIME, &st);
}

TEST(statx)
{
	check_call(0, (struct work){ .call = do_statx });
}

static int do_access(struct rawfs *fs)
{
	return access(rawfs_path(fs, "file"), R_OK);
}

TEST(access)
{
	check_call(0, (struct work){ .call = do_access });
}

static int do_readlink(struct rawfs *fs)
{
	return readlink(rawfs_path(fs, "link"), buf, sizeof(buf));
}

TEST(readlink)
{
	check_call(0, (struct work){ .call = do_readlink });
}

TEST(cached_readlink)
{
	check_call(FUSE_CACHE_SYMLINKS, (struct work){ .call = do_readlink, .after = forget_names });
}

static int do_statfs(struct rawfs *fs)
{
	struct statfs st;

	return statfs(fs->mnt, &st);
}

TEST(statfs)
{
	check_call(0, (struct work){ .call = do_statfs });
}

static int do_chmod(struct rawfs *fs)
{
	return chmod(rawfs_path(fs, "file"), 0600);
}

TEST(setattr)
{
	check_call(0, (struct work){ .call = do_chmod, .after = forget_names });
}

static int do_truncate(struct rawfs *fs)
{
	return truncate(rawfs_path(fs, "file"), 3);
}

TEST(truncate)
{
	check_call(0, (struct work){ .call = do_truncate, .after = forget_names });
}

static int do_mkdir(struct rawfs *fs)
{
	return mkdir(rawfs_path(fs, "new"), 0700);
}

static void remove_dir(struct rawfs *fs)
{
	if (rmdir(rawfs_path(fs, "new")))
		CHECK_EQ(errno, ENOENT);
	forget_names(fs);
}

TEST(mkdir)
{
	check_call(0, (struct work){ .call = do_mkdir, .after = remove_dir });
}

static int do_symlink(struct rawfs *fs)
{
	return symlink("target", rawfs_path(fs, "new"));
}

TEST(symlink)
{
	check_call(0, (struct work){ .call = do_symlink, .after = remove_new });
}

static int do_link(struct rawfs *fs)
{
	return link(rawfs_path(fs, "file"), rawfs_path(fs, "new"));
}

TEST(link)
{
	check_call(0, (struct work){ .call = do_link, .after = forget_names });
}

static void make_new(struct rawfs *fs)
{
	CHECK_EQ(mknod(rawfs_path(fs, "new"), S_IFREG | 0600, 0), 0);
	forget_names(fs);
}

static int do_unlink(struct rawfs *fs)
{
	return unlink(rawfs_path(fs, "new"));
}

TEST(unlink)
{
	struct work work = { .call = do_unlink, .before = make_new, .after = remove_new };

	check_call(0, work);
}

static int do_rename(struct rawfs *fs)
{
	return rename(rawfs_path(fs, "file"), rawfs_path(fs, "new"));
}

static void rename_back(struct rawfs *fs)
{
	if (rename(rawfs_path(fs, "new"), rawfs_path(fs, "file")))
		CHECK_EQ(errno, ENOENT);
	forget_names(fs);
}

TEST(rename)
{
	check_call(0, (struct work){ .call = do_rename, .after = rename_back });
}

static int do_setxattr(struct rawfs *fs)
{
	return setxattr(rawfs_path(fs, "file"), "user.a", "value", 5, 0);
}

TEST(setxattr)
{
	check_call(0, (struct work){ .call = do_setxattr });
}

static int do_getxattr(struct rawfs *fs)
{
	return getxattr(rawfs_path(fs, "file"), "user.a", buf, sizeof(buf));
}

TEST(getxattr)
{
	check_call(0, (struct work){ .call = do_getxattr });
}

static int do_listxattr(struct rawfs *fs)
{
	return listxattr(rawfs_path(fs, "file"), buf, sizeof(buf));
}

TEST(listxattr)
{
	check_call(0, (struct work){ .call = do_listxattr });
}

static int do_removexattr(struct rawfs *fs)
{
	return removexattr(rawfs_path(fs, "file"), "user.a");
}

TEST(removexattr)
{
	check_call(0, (struct work){ .call = do_removexattr });
}

/* Open files */

static int do_open(struct rawfs *fs)
{
	fd = open(rawfs_path(fs, "file"), O_RDWR);
	return fd;
}

TEST(open)
{
	check_call(0, (struct work){ .call = do_open, .after = close_and_forget });
}

static void open_it(struct rawfs *fs)
{
	CHECK(do_open(fs) >= 0);
}

static int do_close(struct rawfs *fs)
{
	return close(fd);
}

TEST(close)
{
	check_call(0, (struct work){ .call = do_close, .before = open_it });
}

static int do_create(struct rawfs *fs)
{
	fd = open(rawfs_path(fs, "new"), O_RDWR | O_CREAT, 0600);
	return fd;
}

static void close_and_remove(struct rawfs *fs)
{
	close_it(fs);
	remove_new(fs);
}

TEST(create)
{
	check_call(0, (struct work){ .call = do_create, .after = close_and_remove });
}

static int do_tmpfile(struct rawfs *fs)
{
	fd = open(fs->mnt, O_RDWR | O_TMPFILE, 0600);
	return fd;
}

TEST(tmpfile)
{
	check_call(0, (struct work){ .call = do_tmpfile, .after = close_it });
}

static int do_list(struct rawfs *fs)
{
	fd = open(fs->mnt, O_RDONLY | O_DIRECTORY);
	return fd < 0 ? -1 : syscall(SYS_getdents64, fd, buf, sizeof(buf));
}

TEST(readdir)
{
	check_call(0, (struct work){ .call = do_list, .after = close_it });
}

TEST(readdirplus)
{
	check_call(FUSE_DO_READDIRPLUS, (struct work){ .call = do_list, .after = close_and_forget });
}

static void close_and_drop_listing(struct rawfs *fs)
{
	close_it(fs);
	CHECK_EQ(notify_inval_inode(fs, 1, 0, 0), 0);
}

TEST(cached_readdir)
{
	struct rawfs *fs = faulty_fs(0);

	fs->open_flags = FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE;
	at_every_allocation(fs, (struct work){ .call = do_list, .after = close_and_drop_listing });
	stop(fs);
}

static int do_read(struct rawfs *fs)
{
	int n = pread(fd, buf, LEN, 0);

	CHECK(n <= 0 || !memcmp(buf, fs->node[2].data, n));
	return n;
}

TEST(cached_read)
{
	check_file(0, 0, (struct work){ .call = do_read, .before = drop_pages });
}

TEST(direct_read)
{
	check_file(0, FOPEN_DIRECT_IO, (struct work){ .call = do_read });
}

static void map_it(struct rawfs *fs)
{
	drop_pages(fs);
	map = mmap(NULL, LEN, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(map != MAP_FAILED);
}

static int do_fault(struct rawfs *fs)
{
	return madvise(map, LEN, MADV_POPULATE_READ);
}

static void unmap_it(struct rawfs *fs)
{
	munmap(map, LEN);
}

TEST(mapped_read)
{
	struct work work = { .call = do_fault, .before = map_it, .after = unmap_it };

	check_file(0, 0, work);
}

static int do_splice_read(struct rawfs *fs)
{
	loff_t at = 0;

	return splice(fd, &at, pipe_fds[1], NULL, LEN, 0);
}

static void make_pipe(struct rawfs *fs)
{
	drop_pages(fs);
	CHECK_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
}

static void close_pipe(struct rawfs *fs)
{
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

TEST(cached_splice)
{
	struct work work = { .call = do_splice_read, .before = make_pipe, .after = close_pipe };

	check_file(0, 0, work);
}

TEST(direct_splice)
{
	struct work work = { .call = do_splice_read, .before = make_pipe, .after = close_pipe };

	check_file(0, FOPEN_DIRECT_IO, work);
}

static int do_write(struct rawfs *fs)
{
	return pwrite(fd, buf, LEN - 100, 100);
}

TEST(cached_write)
{
	check_file(0, 0, (struct work){ .call = do_write, .before = drop_pages });
}

TEST(direct_write)
{
	check_file(0, FOPEN_DIRECT_IO, (struct work){ .call = do_write });
}

static aio_context_t aio;

/* Gives the result of an asynchronous read or write. */
static int aio_wait(int opcode)
{
	struct iocb cb = { .aio_lio_opcode = opcode,
			   .aio_fildes = fd,
			   .aio_buf = (uintptr_t)buf,
			   .aio_nbytes = LEN };
	struct iocb *cbs = &cb;
	struct io_event event;

	if (syscall(SYS_io_submit, aio, 1, &cbs) != 1)
		return -1;
	if (syscall(SYS_io_getevents, aio, 1, 1, &event, NULL) != 1)
		FAIL("no event");
	errno = event.res < 0 ? -event.res : 0;
	return event.res < 0 ? -1 : event.res;
}

static int do_aio_read(struct rawfs *fs)
{
	return aio_wait(IOCB_CMD_PREAD);
}

static int do_aio_write(struct rawfs *fs)
{
	return aio_wait(IOCB_CMD_PWRITE);
}

static void check_aio(int (*call)(struct rawfs *fs))
{
	CHECK_EQ(syscall(SYS_io_setup, 8, &aio), 0);
	check_file(FUSE_ASYNC_DIO, FOPEN_DIRECT_IO, (struct work){ .call = call, .error = EAGAIN });
}

TEST(asynchronous_read)
{
	check_aio(do_aio_read);
}

TEST(asynchronous_write)
{
	check_aio(do_aio_write);
}

static int do_fsync(struct rawfs *fs)
{
	return fsync(fd);
}

TEST(fsync)
{
	check_file(0, 0, (struct work){ .call = do_fsync });
}

static int do_fallocate(struct rawfs *fs)
{
	return fallocate(fd, 0, 0, LEN);
}

TEST(fallocate)
{
	check_file(0, 0, (struct work){ .call = do_fallocate });
}

static int do_lseek(struct rawfs *fs)
{
	return lseek(fd, 0, SEEK_DATA);
}

TEST(lseek)
{
	check_file(0, 0, (struct work){ .call = do_lseek });
}

static int do_copy(struct rawfs *fs)
{
	loff_t from = 0, to = LEN;

	return copy_file_range(fd, &from, fd, &to, 1, 0);
}

TEST(copy_file_range)
{
	check_file(0, 0, (struct work){ .call = do_copy });
}

static int do_ioctl(struct rawfs *fs)
{
	return ioctl(fd, _IOWR('F', 4, char[5000]), buf);
}

TEST(ioctl)
{
	check_file(0, 0, (struct work){ .call = do_ioctl });
}

static int do_poll(struct rawfs *fs)
{
	struct pollfd one = { .fd = fd, .events = POLLIN };

	return poll(&one, 1, 0);
}

static void reopen(struct rawfs *fs)
{
	close(fd);
	open_it(fs);
}

TEST(poll)
{
	check_file(0, 0, (struct work){ .call = do_poll, .before = reopen });
}

static int do_fcntl_lock(struct rawfs *fs)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 10 };

	return fcntl(fd, F_SETLK, &lock);
}

static int do_lock_test(struct rawfs *fs)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 10 };

	return fcntl(fd, F_GETLK, &lock);
}

static int do_flock(struct rawfs *fs)
{
	return flock(fd, LOCK_EX);
}

TEST(fcntl_lock)
{
	struct work work = { .call = do_fcntl_lock, .before = reopen, .error = ENOLCK };

	check_file(FUSE_POSIX_LOCKS, 0, work);
}

TEST(fcntl_lock_test)
{
	check_file(FUSE_POSIX_LOCKS, 0, (struct work){ .call = do_lock_test, .error = ENOLCK });
}

TEST(flock)
{
	struct work work = { .call = do_flock, .before = reopen, .error = ENOLCK };

	check_file(FUSE_FLOCK_LOCKS, 0, work);
}

/* Mounts */

static int do_mount(struct rawfs *fs)
{
	fs->fd = open(rawfs_device(), O_RDWR | O_CLOEXEC);
	return fs->fd < 0 ? -1 : rawfs_mount(fs->fd, fs->mnt, "");
}

static void unmount(struct rawfs *fs)
{
	if (fs->fd >= 0)
		close(fs->fd);
	umount2(fs->mnt, MNT_DETACH);
}

TEST(mount)
{
	struct rawfs *fs;

	faults_prepare();
	fs = rawfs_new();
	rawfs_mountpoint(fs->mnt);
	at_every_allocation(fs, (struct work){ .call = do_mount, .after = unmount });
	rmdir(fs->mnt);
}

static int do_umount(struct rawfs *fs)
{
	return umount(fs->mnt);
}

/* With names and pages in memory. */
static void mount_and_use(struct rawfs *fs)
{
	memset(fs->node, 0, sizeof(fs->node));
	rawfs_start(fs, "");
	CHECK_EQ(do_stat(fs), 0);
	open_it(fs);
	CHECK(pread(fd, buf, LEN, 0) > 0);
	close(fd);
}

static void unmount_again(struct rawfs *fs)
{
	umount(fs->mnt);
	pthread_join(fs->thread, NULL);
	close(fs->fd);
	rmdir(fs->mnt);
}

TEST(umount)
{
	struct work work = { .call = do_umount, .before = mount_and_use, .after = unmount_again };

	faults_prepare();
	at_every_allocation(rawfs_new(), work);
}

/* The server's side */

static int do_clone(struct rawfs *fs)
{
	uint32_t other = fs->fd;

	fd = open(rawfs_device(), O_RDWR | O_CLOEXEC);
	return fd < 0 ? -1 : ioctl(fd, FUSE_DEV_IOC_CLONE, &other);
}

TEST(clone_of_the_device)
{
	check_call(0, (struct work){ .call = do_clone, .after = close_it });
}

static void look(struct rawfs *fs)
{
	struct stat st;

	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
}

static int told(int error)
{
	errno = error;
	return error ? -1 : 0;
}

static int do_inval_entry(struct rawfs *fs)
{
	return told(notify_inval_entry(fs, 1, "file", 0));
}

static int do_deleted(struct rawfs *fs)
{
	return told(notify_deleted(fs, 1, 2, "file"));
}

TEST(notification_of_names)
{
	struct rawfs *fs = faulty_fs(0);

	at_every_allocation(fs, (struct work){ .call = do_inval_entry, .before = look });
	at_every_allocation(fs, (struct work){ .call = do_deleted, .before = look });
	stop(fs);
}

static void read_pages(struct rawfs *fs)
{
	CHECK_EQ(do_read(fs), LEN);
}

static int do_inval_inode(struct rawfs *fs)
{
	return told(notify_inval_inode(fs, 2, 0, 0));
}

TEST(notification_of_an_inode)
{
	check_file(0, 0, (struct work){ .call = do_inval_inode, .before = read_pages });
}

static int do_store(struct rawfs *fs)
{
	return told(notify_store(fs, 2, 0, fs->node[2].data, LEN));
}

TEST(notification_with_data)
{
	struct work work = { .call = do_store, .before = drop_pages, .after = read_pages };

	check_file(0, 0, work);
}

static int do_retrieve(struct rawfs *fs)
{
	struct fuse_notify_retrieve_out head = { .nodeid = 2, .size = LEN };

	return told(notify(fs, FUSE_NOTIFY_RETRIEVE, &head, sizeof(head), NULL, 0));
}

TEST(notification_that_asks_for_data)
{
	check_file(0, 0, (struct work){ .call = do_retrieve, .before = read_pages });
}

static int do_resend(struct rawfs *fs)
{
	return told(notify(fs, FUSE_NOTIFY_RESEND, NULL, 0, NULL, 0));
}

TEST(notification_to_resend)
{
	check_call(FUSE_HAS_RESEND, (struct work){ .call = do_resend });
}

static struct rawfs_req req;
static pid_t caller;

static int take_request(struct rawfs *fs)
{
	return read(fs->fd, &req, sizeof(req));
}

static int splice_request(struct rawfs *fs)
{
	return splice(fs->fd, NULL, pipe_fds[1], NULL, sizeof(req), 0);
}

static int answer_getattr(struct rawfs *fs)
{
	struct {
		struct fuse_out_header header;
		struct fuse_attr_out body;
	} out = { .header = { .len = sizeof(out), .unique = req.in.unique },
		  .body.attr = { .ino = 1, .mode = S_IFDIR | 0755, .nlink = 2 } };

	return write(fs->fd, &out, sizeof(out));
}

static void call(struct rawfs *fs)
{
	caller = stat_in_child(fs, "");
}

static void call_and_take(struct rawfs *fs)
{
	call(fs);
	CHECK(take_request(fs) > 0);
	CHECK_EQ(req.in.opcode, FUSE_GETATTR);
}

/* If it has not been, the request is answered. */
static void answer_the_caller(struct rawfs *fs)
{
	struct pollfd left = { .fd = fs->fd, .events = POLLIN };

	if (poll(&left, 1, 0) == 1)
		CHECK(take_request(fs) > 0);
	answer_getattr(fs);
	CHECK_EQ(exit_of(caller), 0);
}

/* The same for a request that may have been lost on its way to a pipe. */
static void answer_what_was_spliced(struct rawfs *fs)
{
	struct pollfd left = { .fd = pipe_fds[0], .events = POLLIN };
	int error;

	if (poll(&left, 1, 0) == 1)
		CHECK(read(pipe_fds[0], &req, sizeof(req)) > 0);
	left.fd = fs->fd;
	if (poll(&left, 1, 0) == 1)
		CHECK(take_request(fs) > 0);
	answer_getattr(fs);
	error = exit_of(caller);
	CHECK(!error || error == EIO);
}

/* A server without a thread. */
static void check_server(struct work work)
{
	struct rawfs *fs;

	faults_prepare();
	fs = rawfs_new();
	rawfs_start_manual(fs, "");
	rawfs_handshake(fs);
	/* A server that splices has room for the longest request. */
	CHECK_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
	CHECK(fcntl(pipe_fds[1], F_SETPIPE_SZ, 1 << 20) > 0);
	at_every_allocation(fs, work);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(a_request_that_cannot_be_read_waits)
{
	struct work work = { .call = take_request, .before = call, .after = answer_the_caller };

	check_server(work);
}

TEST(a_request_that_cannot_be_answered_waits)
{
	struct work work = { .call = answer_getattr,
			     .before = call_and_take,
			     .after = answer_the_caller };

	check_server(work);
}

TEST(a_request_that_cannot_be_spliced_ends)
{
	struct work work = { .call = splice_request,
			     .before = call,
			     .after = answer_what_was_spliced };

	check_server(work);
}
