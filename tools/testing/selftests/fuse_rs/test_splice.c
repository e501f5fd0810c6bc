// SPDX-License-Identifier: GPL-2.0
/* Reading by splice(2) and sendfile(2). */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include "notify.h"
#include "record.h"

#define PAGE 4096
#define NODE 2

static struct rawfs *fs;
static int fd, ends[2];
static char got[RAWFS_DATA];

static char byte(size_t at)
{
	return 'a' + at % 23;
}

static void start(size_t size, uint32_t open_flags)
{
	fs = recording(rawfs_wanting(0));
	fs->open_flags = open_flags;
	rawfs_start(fs, "");
	for (size_t i = 0; i < size; i++)
		fs->node[NODE].data[i] = byte(i);
	fs->node[NODE].size = size;
	fd = open(rawfs_path(fs, "file"), O_RDWR);
	CHECK(fd >= 0);
	CHECK_EQ(pipe(ends), 0);
}

static void stop(void)
{
	close(ends[0]);
	close(ends[1]);
	close(fd);
	rawfs_stop(fs);
}

/* The pipe holds what the file had from `at` on. */
static void pipe_has(size_t at, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(ends[0], got + done, len - done);

		CHECK(n > 0);
		done += n;
	}
	for (size_t i = 0; i < len; i++)
		if (got[i] != byte(at + i))
			FAIL("byte %zu is %d", at + i, got[i]);
}

static void splices(size_t at, size_t len)
{
	loff_t from = at;

	for (size_t done = 0; done < len;) {
		ssize_t n = splice(fd, &from, ends[1], NULL, len - done, 0);

		CHECK(n > 0);
		CHECK_EQ(from, at + done + n);
		pipe_has(at + done, n);
		done += n;
	}
}

TEST(a_splice_has_what_the_file_has)
{
	start(200000, 0);
	splices(0, 200000);
	splices(PAGE - 1, 2);
	splices(100, 3 * PAGE);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	/* Without a position, from that of the file. */
	CHECK_EQ(lseek(fd, 199990, SEEK_SET), 199990);
	CHECK_EQ(splice(fd, NULL, ends[1], NULL, 100, 0), 10);
	pipe_has(199990, 10);
	CHECK_EQ(splice(fd, NULL, ends[1], NULL, 100, 0), 0);
	stop();
}

TEST(a_splice_of_what_is_cached_asks_nobody)
{
	unsigned long before;

	start(10 * PAGE, 0);
	splices(0, 10 * PAGE);
	before = fs->count[FUSE_READ];
	splices(0, 10 * PAGE);
	CHECK_EQ(fs->count[FUSE_READ], before);
	stop();
}

TEST(a_splice_of_a_direct_file_asks_each_time)
{
	RS_ONLY("it goes through the page cache");
	unsigned long before;

	start(10 * PAGE, FOPEN_DIRECT_IO);
	splices(100, 8 * PAGE);
	before = fs->count[FUSE_READ];
	CHECK(before > 0);
	fs->node[NODE].data[5] = 'X';
	splices(100, 8 * PAGE);
	CHECK(fs->count[FUSE_READ] > before);
	CHECK_EQ(lseek(fd, 10 * PAGE, SEEK_SET), 10 * PAGE);
	CHECK_EQ(splice(fd, NULL, ends[1], NULL, 100, 0), 0);
	stop();
}

TEST(a_splice_finds_what_the_server_has_added)
{
	RS_ONLY("it ends where the file ended");
	loff_t from = PAGE;

	start(PAGE, 0);
	splices(0, PAGE);
	for (size_t i = PAGE; i < 3 * PAGE; i++)
		fs->node[NODE].data[i] = byte(i);
	fs->node[NODE].size = 3 * PAGE;
	CHECK_EQ(splice(fd, &from, ends[1], NULL, PAGE, 0), 0);
	CHECK_EQ(notify_inval_inode(fs, NODE, -1, 0), 0);
	splices(PAGE, 2 * PAGE);
	stop();
}

static bool reads_fail(struct rawfs *server, struct rawfs_req *req)
{
	return req->in.opcode == FUSE_READ && reply(server, req, EIO, NULL, 0);
}

TEST(a_splice_fails_with_its_read)
{
	for (int direct = 0; direct < 2; direct++) {
		start(PAGE, direct ? FOPEN_DIRECT_IO : 0);
		special = reads_fail;
		CHECK_ERR(splice(fd, NULL, ends[1], NULL, PAGE, 0), EIO);
		special = NULL;
		splices(0, PAGE);
		stop();
	}
}

TEST(a_file_is_sent)
{
	for (int direct = 0; direct < 2; direct++) {
		int to = memfd_create("to", MFD_CLOEXEC);
		off_t from = 10;

		start(150000, direct ? FOPEN_DIRECT_IO : 0);
		while (from < 150000)
			CHECK(sendfile(to, fd, &from, 150000) > 0);
		CHECK_EQ(sendfile(to, fd, &from, 150000), 0);
		CHECK_EQ(pread(to, got, sizeof(got), 0), 149990);
		for (size_t i = 0; i < 149990; i++)
			CHECK_EQ(got[i], byte(10 + i));
		close(to);
		stop();
	}
}

TEST(what_is_in_a_pipe_outlives_a_truncation)
{
	loff_t from = 0;

	start(3 * PAGE, 0);
	CHECK_EQ(splice(fd, &from, ends[1], NULL, 3 * PAGE, 0), 3 * PAGE);
	CHECK_EQ(ftruncate(fd, 0), 0);
	pipe_has(0, 3 * PAGE);
	CHECK_EQ(pread(fd, got, PAGE, 0), 0);
	stop();
}

TEST(what_is_in_a_pipe_outlives_an_invalidation)
{
	loff_t from = 0;

	start(3 * PAGE, 0);
	CHECK_EQ(splice(fd, &from, ends[1], NULL, 3 * PAGE, 0), 3 * PAGE);
	memset(fs->node[NODE].data, 'X', 3 * PAGE);
	CHECK_EQ(notify_inval_inode(fs, NODE, 0, 0), 0);
	/* The file has the new data, the pipe what it got. */
	CHECK_EQ(pread(fd, got, 3 * PAGE, 0), 3 * PAGE);
	for (int i = 0; i < 3 * PAGE; i++)
		CHECK_EQ(got[i], 'X');
	pipe_has(0, 3 * PAGE);
	stop();
}

TEST(what_is_in_a_pipe_outlives_the_mount)
{
	loff_t from = 0;

	start(3 * PAGE, 0);
	CHECK_EQ(splice(fd, &from, ends[1], NULL, 3 * PAGE, 0), 3 * PAGE);
	close(fd);
	rawfs_stop(fs);
	pipe_has(0, 3 * PAGE);
}

TEST(written_pages_do_not_change_a_pipe_they_came_from)
{
	loff_t from = 0;

	start(4 * PAGE, 0);
	/* From the cache of the file into a pipe and back to another place of the file. */
	CHECK_EQ(splice(fd, &from, ends[1], NULL, 2 * PAGE, 0), 2 * PAGE);
	from = 2 * PAGE;
	CHECK_EQ(splice(ends[0], NULL, fd, &from, PAGE, 0), PAGE);
	memset(got, 'X', PAGE);
	CHECK_EQ(pwrite(fd, got, PAGE, 2 * PAGE), PAGE);
	CHECK_EQ(pread(fd, got, PAGE, 0), PAGE);
	for (int i = 0; i < PAGE; i++)
		CHECK_EQ(got[i], byte(i));
	pipe_has(PAGE, PAGE);
	stop();
}
