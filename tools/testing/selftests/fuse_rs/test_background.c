// SPDX-License-Identifier: GPL-2.0
/* Requests nobody sleeps on, of which the server takes only so many at a time. */
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include "rawfs.h"

#define MAX 64
#define PAGE 4096

/* READs the server has taken and not answered, oldest first. */
static struct {
	uint64_t unique, offset;
	uint32_t size;
} held[MAX];
static int nheld, nread;

static bool hold_reads(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_read_in *in = (void *)req->body;

	if (req->in.opcode != FUSE_READ)
		return false;
	CHECK(nheld < MAX);
	held[nheld].unique = req->in.unique;
	held[nheld].offset = in->offset;
	held[nheld++].size = in->size;
	nread++;
	return true;
}

/* Serves until nothing has come for a while. */
static void pump(struct rawfs *fs)
{
	struct pollfd p = { .fd = fs->fd, .events = POLLIN };
	static struct rawfs_req req;

	while (poll(&p, 1, 300) == 1 && p.revents == POLLIN) {
		if (!rawfs_read(fs->fd, &req))
			break;
		fs->count[req.in.opcode]++;
		if (!hold_reads(fs, &req))
			rawfs_default(fs, &req);
	}
}

static void answer_one(struct rawfs *fs)
{
	CHECK(nheld > 0);
	CHECK(rawfs_reply(fs->fd, held[0].unique, 0, fs->node[2].data + held[0].offset,
			  held[0].size) > 0);
	memmove(held, held + 1, --nheld * sizeof(held[0]));
}

static struct rawfs *ready_fs(uint16_t max_background, uint16_t congestion, uint32_t flags)
{
	struct rawfs *fs = rawfs_new();

	fs->entry_valid = fs->attr_valid = 1000;
	/* So that a reader that is killed does not wait for its FLUSH. */
	fs->open_flags = FOPEN_NOFLUSH | FOPEN_KEEP_CACHE;
	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 36,
					       .max_readahead = 131072,
					       .max_write = 131072,
					       .max_pages = 32,
					       .max_background = max_background,
					       .congestion_threshold = congestion,
					       .flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES | flags };
	rawfs_start_manual(fs, "");
	fs->node[2].size = RAWFS_DATA;
	for (size_t i = 0; i < RAWFS_DATA; i++)
		fs->node[2].data[i] = i / PAGE + 1;
	pump(fs);
	return fs;
}

/* A child that reads a page of its own, without readahead of more. Its status is the errno. */
static pid_t reader(struct rawfs *fs, int page)
{
	pid_t pid = fork();

	if (pid == 0) {
		char buf[PAGE];
		int fd;

		close(fs->fd);
		fd = open(rawfs_path(fs, "file"), O_RDONLY);
		if (fd < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM))
			_exit(200);
		if (pread(fd, buf, PAGE, (off_t)page * PAGE) != PAGE)
			_exit(errno);
		_exit(buf[0] == page + 1 && buf[PAGE - 1] == page + 1 ? 0 : 201);
	}
	return pid;
}

static pid_t pids[MAX];

static void start_readers(struct rawfs *fs, int n)
{
	for (int i = 0; i < n; i++)
		pids[i] = reader(fs, i);
	pump(fs);
}

static void answer_all(struct rawfs *fs, int n)
{
	while (nread < n || nheld) {
		answer_one(fs);
		if (!nheld)
			pump(fs);
	}
	for (int i = 0; i < n; i++)
		CHECK_EQ(exit_of(pids[i]), 0);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(not_more_than_the_limit)
{
	struct rawfs *fs = ready_fs(3, 0, FUSE_ASYNC_READ);

	start_readers(fs, 8);
	CHECK_EQ(nread, 3);
	answer_all(fs, 8);
}

TEST(each_answer_lets_one_more_in)
{
	struct rawfs *fs = ready_fs(4, 0, FUSE_ASYNC_READ);

	start_readers(fs, 7);
	CHECK_EQ(nread, 4);
	for (int i = 0; i < 3; i++) {
		answer_one(fs);
		pump(fs);
		CHECK_EQ(nread, 5 + i);
		CHECK_EQ(nheld, 4);
	}
	answer_one(fs);
	pump(fs);
	CHECK_EQ(nread, 7);
	CHECK_EQ(nheld, 3);
	answer_all(fs, 7);
}

/* READs of pages other than these that the server has. */
static int held_besides(uint64_t a, uint64_t b)
{
	int n = 0;

	for (int i = 0; i < nheld; i++)
		n += held[i].offset != a && held[i].offset != b;
	return n;
}

static int index_besides(uint64_t a)
{
	for (int i = 0; i < nheld; i++)
		if (held[i].offset != a)
			return i;
	FAIL("there is none");
}

/* Who gets an error may ask for the page once more, on his own account. */
TEST(an_error_lets_one_more_in)
{
	struct rawfs *fs = ready_fs(1, 0, FUSE_ASYNC_READ);
	uint64_t first, second;
	int i;

	start_readers(fs, 3);
	CHECK_EQ(nread, 1);
	first = held[0].offset;
	CHECK(rawfs_reply(fs->fd, held[0].unique, EPERM, NULL, 0) > 0);
	nheld = 0;
	pump(fs);
	CHECK_EQ(held_besides(first, first), 1);
	/* A reply that is refused ends its request, too. */
	i = index_besides(first);
	second = held[i].offset;
	CHECK_ERR(rawfs_reply(fs->fd, held[i].unique, 0, fs->node[2].data, PAGE + 1), EINVAL);
	held[i].offset = first;
	pump(fs);
	CHECK_EQ(held_besides(first, second), 1);
	umount2(fs->mnt, MNT_FORCE);
	for (int i = 0; i < 3; i++)
		CHECK(exit_of(pids[i]) != 0);
}

TEST(limit_of_one)
{
	struct rawfs *fs = ready_fs(1, 0, FUSE_ASYNC_READ);

	start_readers(fs, 4);
	CHECK_EQ(nread, 1);
	answer_all(fs, 4);
}

TEST(no_limit_means_twelve)
{
	struct rawfs *fs = ready_fs(0, 0, FUSE_ASYNC_READ);

	start_readers(fs, 16);
	CHECK_EQ(nread, 12);
	answer_all(fs, 16);
}

TEST(limit_above_the_default)
{
	struct rawfs *fs = ready_fs(20, 0, FUSE_ASYNC_READ);

	start_readers(fs, 24);
	CHECK_EQ(nread, 20);
	answer_all(fs, 24);
}

TEST(congestion_threshold_is_no_limit)
{
	struct rawfs *fs = ready_fs(6, 2, FUSE_ASYNC_READ);

	start_readers(fs, 9);
	CHECK_EQ(nread, 6);
	answer_all(fs, 9);
}

TEST(congestion_threshold_above_the_limit)
{
	struct rawfs *fs = ready_fs(2, 60000, FUSE_ASYNC_READ);

	start_readers(fs, 4);
	CHECK_EQ(nread, 2);
	answer_all(fs, 4);
}

TEST(foreground_is_not_limited)
{
	struct rawfs *fs = ready_fs(2, 0, FUSE_ASYNC_READ);
	pid_t others[5];

	start_readers(fs, 5);
	CHECK_EQ(nread, 2);
	for (int i = 0; i < 5; i++) {
		others[i] = fork();
		if (others[i] == 0) {
			char name[16];

			close(fs->fd);
			snprintf(name, sizeof(name), "new%d", i);
			_exit(mkdir(rawfs_path(fs, name), 0755) ? errno : 0);
		}
	}
	pump(fs);
	for (int i = 0; i < 5; i++)
		CHECK_EQ(exit_of(others[i]), 0);
	CHECK_EQ(nread, 2);
	answer_all(fs, 5);
}

/* A server that cannot take reads in any order has each reader wait for its own. */
TEST(reads_are_foreground_without_async_read)
{
	struct rawfs *fs = ready_fs(2, 0, 0);

	start_readers(fs, 6);
	CHECK_EQ(nread, 6);
	answer_all(fs, 6);
}

/* A fault without readahead reads the one page somebody waits for. */
TEST(single_pages_are_foreground)
{
	struct rawfs *fs = ready_fs(2, 0, FUSE_ASYNC_READ);

	for (int i = 0; i < 6; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			volatile char *mem;
			int fd;

			close(fs->fd);
			fd = open(rawfs_path(fs, "file"), O_RDONLY);
			mem = mmap(NULL, RAWFS_DATA, PROT_READ, MAP_PRIVATE, fd, 0);
			if (mem == MAP_FAILED || madvise((void *)mem, RAWFS_DATA, MADV_RANDOM))
				_exit(200);
			_exit(mem[i * PAGE] == i + 1 ? 0 : 201);
		}
	}
	pump(fs);
	CHECK_EQ(nread, 6);
	answer_all(fs, 6);
}

/* The last close of a file is not waited for, and counts. */
TEST(releases_wait_for_their_turn)
{
	struct rawfs *fs = ready_fs(2, 0, FUSE_ASYNC_READ);
	pid_t pid;

	start_readers(fs, 2);
	CHECK_EQ(nread, 2);
	pid = fork();
	if (pid == 0) {
		int fd;

		close(fs->fd);
		fd = open(rawfs_path(fs, "file"), O_RDONLY);
		_exit(fd < 0 || close(fd));
	}
	pump(fs);
	CHECK_EQ(exit_of(pid), 0);
	CHECK_EQ(fs->count[FUSE_RELEASE], 0);
	answer_one(fs);
	pump(fs);
	/* That of the reader whose page has come, and this. */
	CHECK_EQ(fs->count[FUSE_RELEASE], 2);
	answer_all(fs, 2);
}

TEST(killed_reader_does_not_wait_for_a_turn)
{
	struct rawfs *fs = ready_fs(2, 0, FUSE_ASYNC_READ);
	int status;

	start_readers(fs, 5);
	CHECK_EQ(nread, 2);
	for (int i = 0; i < 5; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < 5; i++) {
		CHECK_EQ(waitpid(pids[i], &status, 0), pids[i]);
		CHECK(WIFSIGNALED(status));
	}
	/* And the limit is what it was. */
	while (nheld) {
		answer_one(fs);
		pump(fs);
	}
	nread = 0;
	for (int i = 0; i < 5; i++)
		pids[i] = reader(fs, 20 + i);
	pump(fs);
	CHECK_EQ(nread, 2);
	answer_all(fs, 5);
}

static void all_fail(struct rawfs *fs)
{
	for (int i = 0; i < 8; i++) {
		int error = exit_of(pids[i]);

		if (error != ENOTCONN && error != ECONNABORTED && error != EIO)
			FAIL("reader %d ended with %d", i, error);
	}
}

TEST(close_of_the_device_ends_those_that_wait)
{
	struct rawfs *fs = ready_fs(3, 0, FUSE_ASYNC_READ);

	start_readers(fs, 8);
	CHECK_EQ(nread, 3);
	close(fs->fd);
	all_fail(fs);
	CHECK_EQ(umount(fs->mnt), 0);
}

TEST(forced_umount_ends_those_that_wait)
{
	struct rawfs *fs = ready_fs(3, 0, FUSE_ASYNC_READ);

	start_readers(fs, 8);
	CHECK_EQ(nread, 3);
	umount2(fs->mnt, MNT_FORCE);
	all_fail(fs);
	EVENTUALLY(umount(fs->mnt) == 0 || errno == EINVAL);
}

/* Readahead of one reader, in requests of a size that the server has chosen. */
TEST(readahead_of_one_reader)
{
	struct rawfs *fs = ready_fs(3, 60, FUSE_ASYNC_READ);

	pids[0] = fork();
	if (pids[0] == 0) {
		static char buf[RAWFS_DATA];
		int fd;

		close(fs->fd);
		fd = open(rawfs_path(fs, "file"), O_RDONLY);
		if (posix_fadvise(fd, 0, RAWFS_DATA, POSIX_FADV_WILLNEED))
			_exit(200);
		if (pread(fd, buf, sizeof(buf), 0) != sizeof(buf))
			_exit(errno);
		for (int i = 0; i < RAWFS_DATA; i++)
			if (buf[i] != i / PAGE + 1)
				_exit(201);
		_exit(0);
	}
	pump(fs);
	CHECK(nread >= 1 && nread <= 3);
	while (nheld) {
		while (nheld)
			answer_one(fs);
		pump(fs);
		CHECK(nheld <= 3);
	}
	CHECK_EQ(exit_of(pids[0]), 0);
	rawfs_serve(fs);
	rawfs_stop(fs);
}
