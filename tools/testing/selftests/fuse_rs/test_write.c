// SPDX-License-Identifier: GPL-2.0
/* Writing through: what becomes of the page cache, and of what the server does not take. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include "notify.h"
#include "record.h"

#define PAGE 4096
#define NODE 2

static struct rawfs *fs;
static int fd;
static char buf[RAWFS_DATA];

/* What the next WRITE is answered with. */
static bool answers;
static uint32_t taken;
static int write_error;
/* READs fail. */
static bool reads_fail;

static bool serve(struct rawfs *server, struct rawfs_req *req)
{
	struct fuse_write_in *in = (void *)req->body;
	struct fuse_write_out out = { .size = taken };

	if (req->in.opcode == FUSE_READ && reads_fail)
		return reply(server, req, EIO, NULL, 0);
	if (req->in.opcode != FUSE_WRITE || !answers)
		return false;
	answers = false;
	if (write_error)
		return reply(server, req, write_error, NULL, 0);
	memcpy(server->node[NODE].data + in->offset, in + 1, taken);
	if (in->offset + taken > server->node[NODE].size)
		server->node[NODE].size = in->offset + taken;
	return reply(server, req, 0, &out, sizeof(out));
}

/* The byte that a case writes at a position. */
static char mark(size_t at)
{
	return 'a' + at % 23;
}

static char old(size_t at)
{
	return 'A' + at % 19;
}

/* A server whose file has so many bytes, and the file opened. */
static void start(size_t size)
{
	fs = recording(rawfs_wanting(0));
	fs->init_out.max_write = 32768;
	special = serve;
	rawfs_start(fs, "");
	for (size_t i = 0; i < size; i++)
		fs->node[NODE].data[i] = old(i);
	fs->node[NODE].size = size;
	fd = open(rawfs_path(fs, "file"), O_RDWR);
	CHECK(fd >= 0);
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = mark(i);
}

static void stop(void)
{
	close(fd);
	rawfs_stop(fs);
}

/* The next WRITE takes so much. */
static void takes(uint32_t size)
{
	taken = size;
	write_error = 0;
	answers = true;
}

static void fails(int error)
{
	write_error = error;
	answers = true;
}

static void cache_all(void)
{
	static char all[RAWFS_DATA];

	CHECK_EQ(pread(fd, all, sizeof(all), 0), (ssize_t)fs->node[NODE].size);
}

/* The file reads as the server has it. */
static void reads_right(void)
{
	static char all[RAWFS_DATA + 1];
	ssize_t got = pread(fd, all, sizeof(all), 0);

	CHECK_EQ(got, fs->node[NODE].size);
	for (ssize_t i = 0; i < got; i++)
		if (all[i] != fs->node[NODE].data[i])
			FAIL("byte %zd is %d, the server has %d", i, all[i],
			     fs->node[NODE].data[i]);
}

/* The same, without asking the server. */
static void is_cached(void)
{
	unsigned long before = fs->count[FUSE_READ];

	reads_right();
	CHECK_EQ(fs->count[FUSE_READ], before);
}

TEST(a_short_write_ends_where_the_server_ended)
{
	struct iovec parts[] = { { buf, 3000 }, { buf + 3000, 4000 }, { buf + 7000, 5000 } };

	start(0);
	takes(5000);
	CHECK_EQ(writev(fd, parts, 3), 5000);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5000);
	CHECK_EQ(fs->count[FUSE_WRITE], 1);
	reads_right();
	CHECK_EQ(write(fd, buf + 5000, 7000), 7000);
	reads_right();
	CHECK_EQ(memcmp(fs->node[NODE].data, buf, 12000), 0);
	stop();
}

TEST(a_short_write_over_cached_data)
{
	RS_ONLY("what the server has not taken stays cached");
	start(3 * PAGE);
	cache_all();
	takes(PAGE + 10);
	CHECK_EQ(pwrite(fd, buf, 3 * PAGE, 0), PAGE + 10);
	reads_right();
	stop();
}

TEST(a_write_of_nothing_is_an_error)
{
	start(PAGE);
	takes(0);
	CHECK_ERR(pwrite(fd, buf, 10, 0), EIO);
	reads_right();
	stop();
}

TEST(what_is_left_of_a_short_write_stays_in_the_pipe)
{
	int ends[2];
	size_t done;

	start(0);
	CHECK_EQ(pipe(ends), 0);
	CHECK_EQ(write(ends[1], buf, 3 * PAGE), 3 * PAGE);
	takes(PAGE + 10);
	done = splice(ends[0], NULL, fd, NULL, 3 * PAGE, 0);
	CHECK(done >= PAGE + 10);
	while (done < 3 * PAGE) {
		ssize_t more = splice(ends[0], NULL, fd, NULL, 3 * PAGE - done, 0);

		CHECK(more > 0);
		done += more;
	}
	CHECK_EQ(fs->node[NODE].size, 3 * PAGE);
	CHECK_EQ(memcmp(fs->node[NODE].data, buf, 3 * PAGE), 0);
	reads_right();
	stop();
}

/* Memory of some pages, of which the last is not there. */
static char *memory_that_ends(size_t pages)
{
	char *mem = mmap(NULL, (pages + 1) * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(mem != MAP_FAILED);
	memcpy(mem, buf, pages * PAGE);
	CHECK_EQ(munmap(mem + pages * PAGE, PAGE), 0);
	return mem;
}

TEST(a_write_ends_where_the_memory_ends)
{
	char *mem;

	start(4 * PAGE);
	cache_all();
	mem = memory_that_ends(2);
	CHECK_EQ(pwrite(fd, mem, 3 * PAGE, PAGE), 2 * PAGE);
	CHECK_EQ(memcmp(fs->node[NODE].data + PAGE, buf, 2 * PAGE), 0);
	is_cached();
	CHECK_ERR(pwrite(fd, mem + 2 * PAGE, PAGE, 0), EFAULT);
	stop();
}

TEST(a_write_ends_within_a_page_where_the_memory_ends)
{
	char *mem;

	start(4 * PAGE);
	cache_all();
	mem = memory_that_ends(1);
	CHECK_EQ(pwrite(fd, mem + PAGE - 10, PAGE, 100), 10);
	CHECK_EQ(memcmp(fs->node[NODE].data + 100, buf + PAGE - 10, 10), 0);
	is_cached();
	stop();
}

TEST(a_part_of_a_page_that_is_not_cached_is_read)
{
	start(4 * PAGE);
	CHECK_EQ(pwrite(fd, buf, 10, PAGE + 100), 10);
	CHECK_EQ(fs->count[FUSE_READ], 0);
	reads_right();
	CHECK(fs->count[FUSE_READ] > 0);
	stop();
}

TEST(a_part_of_a_page_that_is_cached_is_not_read)
{
	start(4 * PAGE);
	cache_all();
	CHECK_EQ(pwrite(fd, buf, 10, PAGE + 100), 10);
	CHECK_EQ(pwrite(fd, buf, 2 * PAGE, PAGE - 5), 2 * PAGE);
	is_cached();
	stop();
}

TEST(a_page_that_could_not_be_read)
{
	char byte;

	start(4 * PAGE);
	reads_fail = true;
	CHECK_ERR(pread(fd, &byte, 1, 0), EIO);
	CHECK_ERR(pread(fd, &byte, 1, PAGE), EIO);
	/* A part does not make it whole, and a whole needs no READ. */
	CHECK_EQ(pwrite(fd, buf, 10, 100), 10);
	CHECK_ERR(pread(fd, &byte, 1, 0), EIO);
	CHECK_EQ(pwrite(fd, buf, PAGE, PAGE), PAGE);
	CHECK_EQ(pread(fd, &byte, 1, PAGE + 7), 1);
	CHECK_EQ(byte, mark(7));
	reads_fail = false;
	reads_right();
	stop();
}

TEST(behind_the_end_there_are_zeros)
{
	start(100);
	cache_all();
	/* In the last page, and pages behind it. */
	CHECK_EQ(pwrite(fd, buf, 10, 200), 10);
	is_cached();
	CHECK_EQ(pwrite(fd, buf, 10, 3 * PAGE + 50), 10);
	reads_right();
	for (size_t i = 210; i < 3 * PAGE + 50; i++)
		CHECK_EQ(fs->node[NODE].data[i], 0);
	stop();
}

TEST(after_a_truncation_there_are_zeros_behind_the_end)
{
	start(2 * PAGE);
	cache_all();
	CHECK_EQ(ftruncate(fd, PAGE + 100), 0);
	CHECK_EQ(pwrite(fd, buf, 10, PAGE + 500), 10);
	reads_right();
	CHECK_EQ(ftruncate(fd, 100), 0);
	CHECK_EQ(ftruncate(fd, 2 * PAGE), 0);
	reads_right();
	stop();
}

TEST(whole_pages_at_the_end_are_cached)
{
	start(0);
	CHECK_EQ(pwrite(fd, buf, 4 * PAGE, 0), 4 * PAGE);
	is_cached();
	CHECK_EQ(pwrite(fd, buf, 4 * PAGE + 10, 4 * PAGE), 4 * PAGE + 10);
	reads_right();
	stop();
}

TEST(an_error_behind_what_was_written_is_told_by_the_next_write)
{
	start(RAWFS_DATA);
	cache_all();
	/* Beyond what the server has room for: the second of two requests fails. */
	CHECK_EQ(lseek(fd, RAWFS_DATA - 32768, SEEK_SET), RAWFS_DATA - 32768);
	CHECK_EQ(write(fd, buf, 40000), 32768);
	CHECK_ERR(write(fd, buf, 10), ENOSPC);
	reads_right();
	stop();
}

TEST(what_a_failed_write_was_to_change_is_read_again)
{
	RS_ONLY("what the server has not taken stays cached");
	start(4 * PAGE);
	cache_all();
	fails(EIO);
	CHECK_ERR(pwrite(fd, buf, 2 * PAGE, PAGE), EIO);
	reads_right();
	/* The server may have taken some of it. */
	memset(fs->node[NODE].data + PAGE, 'x', 10);
	fails(EIO);
	CHECK_ERR(pwrite(fd, buf, 10, PAGE), EIO);
	reads_right();
	stop();
}

TEST(what_lay_behind_an_end_found_by_a_read_is_gone)
{
	char byte;

	start(4 * PAGE);
	cache_all();
	/* The server cuts the file and tells that one page is stale. */
	memset(fs->node[NODE].data + PAGE + 100, 0, 3 * PAGE);
	fs->node[NODE].size = PAGE + 100;
	CHECK_EQ(notify_inval_inode(fs, NODE, PAGE, PAGE), 0);
	CHECK_EQ(pread(fd, &byte, 1, PAGE), 1);
	CHECK_EQ(pwrite(fd, buf, 10, 3 * PAGE + 50), 10);
	reads_right();
	stop();
}

TEST(a_write_into_large_folios)
{
	start(RAWFS_DATA);
	cache_all();
	for (size_t at = 16 * PAGE - 3; at < RAWFS_DATA - 20 * PAGE; at += 13 * PAGE + 1)
		CHECK_EQ(pwrite(fd, buf + at, 5 * PAGE + 7, at), 5 * PAGE + 7);
	is_cached();
	stop();
}

static bool stale_before_the_answer(struct rawfs *server, struct rawfs_req *req)
{
	struct fuse_write_in *in = (void *)req->body;
	struct fuse_write_out out = { .size = in->size };

	if (req->in.opcode != FUSE_WRITE)
		return false;
	/* The data is there, and at once something newer. */
	memset(server->node[NODE].data + in->offset, 'n', in->size);
	CHECK_EQ(notify_inval_inode(server, NODE, in->offset, in->size), 0);
	return reply(server, req, 0, &out, sizeof(out));
}

TEST(what_goes_stale_during_a_write_is_not_cached)
{
	RS_ONLY("such a notification waits for the write");
	start(4 * PAGE);
	cache_all();
	special = stale_before_the_answer;
	CHECK_EQ(pwrite(fd, buf, 2 * PAGE, PAGE), 2 * PAGE);
	reads_right();
	stop();
}

static bool held;
static struct rawfs_req *kept;

static bool hold_write(struct rawfs *server, struct rawfs_req *req)
{
	if (req->in.opcode != FUSE_WRITE)
		return false;
	kept = malloc(sizeof(*kept));
	memcpy(kept, req, sizeof(*req));
	held = true;
	return true;
}

TEST(a_truncation_waits_for_a_write)
{
	pid_t writer, cutter;

	start(4 * PAGE);
	cache_all();
	special = hold_write;
	writer = fork();
	if (writer == 0)
		_exit(pwrite(fd, buf, 2 * PAGE, 3 * PAGE) != 2 * PAGE);
	EVENTUALLY(held);
	cutter = fork();
	if (cutter == 0)
		_exit(ftruncate(fd, PAGE) != 0);
	usleep(100000);
	CHECK_EQ(fs->count[FUSE_SETATTR], 0);
	special = NULL;
	rawfs_default(fs, kept);
	CHECK_EQ(exit_of(writer), 0);
	CHECK_EQ(exit_of(cutter), 0);
	CHECK_EQ(fs->node[NODE].size, PAGE);
	reads_right();
	CHECK_EQ(ftruncate(fd, 5 * PAGE), 0);
	reads_right();
	stop();
}
