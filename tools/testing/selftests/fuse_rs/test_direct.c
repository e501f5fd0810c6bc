// SPDX-License-Identifier: GPL-2.0
/* Reads and writes past the page cache: one after the other, at the same time, asynchronous. */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include "rawfs.h"
#include "uring.h"

#define PAGE 4096
#define PART (64 * 1024)
#define WHOLE (4 * PART)

/* READs and WRITEs the server has taken and not answered, oldest first. */
static struct held {
	uint64_t unique, offset;
	uint32_t opcode, size;
} held[16];
static int nheld;
static struct rawfs_req req;

/* Serves all but READs and WRITEs, of which it takes what is there, until there have been `n`. */
static void take(struct rawfs *fs, int n)
{
	struct pollfd p = { .fd = fs->fd, .events = POLLIN };

	while (nheld < n) {
		CHECK_EQ(poll(&p, 1, 10000), 1);
		CHECK(rawfs_read(fs->fd, &req));
		if (req.in.opcode == FUSE_READ || req.in.opcode == FUSE_WRITE) {
			struct fuse_read_in *in = (void *)req.body;

			CHECK(nheld < 16);
			held[nheld++] = (struct held){ req.in.unique, in->offset, req.in.opcode,
						       in->size };
			if (req.in.opcode == FUSE_WRITE)
				memcpy(fs->node[2].data + in->offset,
				       req.body + sizeof(struct fuse_write_in), in->size);
		} else {
			rawfs_default(fs, &req);
		}
	}
}

/* Nothing else comes, as far as can be told. */
static void take_no_more(struct rawfs *fs)
{
	struct pollfd p = { .fd = fs->fd, .events = POLLIN };

	CHECK_EQ(poll(&p, 1, 300), 0);
}

/* Answers one of those that are held: with `len` bytes, or an error if that is negative. */
static void answer(struct rawfs *fs, int which, ssize_t len)
{
	struct held h = held[which];
	struct fuse_write_out out = { .size = len };
	const void *body = h.opcode == FUSE_READ ? (void *)(fs->node[2].data + h.offset) : &out;

	CHECK(which < nheld);
	if (len < 0)
		CHECK(rawfs_reply(fs->fd, h.unique, -len, NULL, 0) > 0);
	else
		CHECK(rawfs_reply(fs->fd, h.unique, 0, body,
				  h.opcode == FUSE_READ ? (size_t)len : sizeof(out)) > 0);
	memmove(held + which, held + which + 1, (--nheld - which) * sizeof(held[0]));
}

/* Answers all, the latest first. */
static void answer_all(struct rawfs *fs)
{
	while (nheld)
		answer(fs, nheld - 1, held[nheld - 1].size);
}

static char pattern(size_t at)
{
	return at / 512 * 7 + at;
}

/* Mounted, with requests of up to PART; `file` has WHOLE bytes. */
static struct rawfs *ready_fs(uint32_t flags, uint32_t open_flags)
{
	struct rawfs *fs = rawfs_new();

	fs->entry_valid = fs->attr_valid = 1000;
	fs->open_flags = FOPEN_NOFLUSH | FOPEN_KEEP_CACHE | open_flags;
	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 36,
					       .max_readahead = PART,
					       .max_write = PART,
					       .max_pages = PART / PAGE,
					       .flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES |
							FUSE_ASYNC_READ | flags };
	rawfs_start_manual(fs, ",max_read=65536");
	rawfs_handshake(fs);
	fs->node[2].size = WHOLE;
	for (size_t i = 0; i < WHOLE; i++)
		fs->node[2].data[i] = pattern(i);
	return fs;
}

/* What a child does with the open `file`; it says so when it comes to a point the case waits for. */
static int says[2];

static void say(void)
{
	CHECK_EQ(write(says[1], "", 1), 1);
}

/* Whether a child has said something within the time. */
static bool said(int ms)
{
	struct pollfd p = { .fd = says[0], .events = POLLIN };
	char byte;

	return poll(&p, 1, ms) == 1 && read(says[0], &byte, 1) == 1;
}

static pid_t child(struct rawfs *fs, int flags, void (*work)(int fd))
{
	pid_t pid;

	if (!says[1])
		CHECK_EQ(pipe(says), 0);
	pid = fork();
	if (pid == 0) {
		int fd;

		close(fs->fd);
		fd = open(rawfs_path(fs, "file"), flags);
		CHECK(fd >= 0);
		work(fd);
		_exit(0);
	}
	return pid;
}

static void stop(struct rawfs *fs)
{
	rawfs_serve(fs);
	rawfs_stop(fs);
}

/* Memory of the case's children. */
static char *mem;

static void check_pattern(size_t from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		CHECK_EQ(mem[i], pattern(from + i));
}

static void read_whole(int fd)
{
	mem = ktap_shared(WHOLE);
	CHECK_EQ(pread(fd, mem, WHOLE, 0), WHOLE);
	check_pattern(0, WHOLE);
}

static void write_whole(int fd)
{
	mem = ktap_shared(WHOLE);
	memset(mem, 'w', WHOLE);
	CHECK_EQ(pwrite(fd, mem, WHOLE, 0), WHOLE);
}

TEST(parts_of_a_read_are_with_the_server_together)
{
	struct rawfs *fs = ready_fs(FUSE_ASYNC_DIO, 0);
	pid_t pid = child(fs, O_RDONLY | O_DIRECT, read_whole);

	take(fs, 4);
	answer_all(fs);
	CHECK_EQ(exit_of(pid), 0);
	stop(fs);
}

TEST(parts_of_a_write_are_with_the_server_together)
{
	struct rawfs *fs = ready_fs(FUSE_ASYNC_DIO, 0);
	pid_t pid = child(fs, O_RDWR | O_DIRECT, write_whole);

	take(fs, 4);
	answer_all(fs);
	CHECK_EQ(exit_of(pid), 0);
	for (size_t i = 0; i < WHOLE; i++)
		CHECK_EQ(fs->node[2].data[i], 'w');
	stop(fs);
}

/* A read or write of the whole file is made with one request after the other. */
static void in_turn(uint32_t flags, uint32_t open_flags, int how, void (*work)(int fd))
{
	struct rawfs *fs = ready_fs(flags, open_flags);
	pid_t pid = child(fs, how, work);

	for (int i = 0; i < 4; i++) {
		take(fs, 1);
		take_no_more(fs);
		CHECK_EQ(held[0].offset, i * PART);
		CHECK_EQ(held[0].size, PART);
		answer_all(fs);
	}
	CHECK_EQ(exit_of(pid), 0);
	stop(fs);
}

TEST(without_async_dio_reads_take_turns)
{
	in_turn(0, 0, O_RDONLY | O_DIRECT, read_whole);
}

TEST(without_async_dio_writes_take_turns)
{
	in_turn(0, 0, O_RDWR | O_DIRECT, write_whole);
}

/* It may be a stream, of which what is behind its end must not be asked for. */
TEST(reads_of_a_file_that_is_always_direct_take_turns)
{
	in_turn(FUSE_ASYNC_DIO, FOPEN_DIRECT_IO, O_RDONLY, read_whole);
}

static void write_further(int fd)
{
	mem = ktap_shared(WHOLE);
	CHECK_EQ(pwrite(fd, mem, WHOLE, 0), WHOLE);
}

TEST(parts_of_a_write_that_makes_the_file_longer_take_turns)
{
	RS_ONLY("there is a hole until all are done");
	struct rawfs *fs = ready_fs(FUSE_ASYNC_DIO, 0);
	pid_t pid;

	fs->node[2].size = WHOLE - 1;
	pid = child(fs, O_RDWR | O_DIRECT, write_further);
	for (int i = 0; i < 4; i++) {
		take(fs, 1);
		take_no_more(fs);
		answer_all(fs);
	}
	CHECK_EQ(exit_of(pid), 0);
	stop(fs);
}

static void read_up_to_a_gap(int fd)
{
	mem = ktap_shared(WHOLE);
	CHECK_EQ(pread(fd, mem, WHOLE, 0), PART + 100);
	check_pattern(0, PART + 100);
	/* Where the next read of the descriptor goes on. */
	CHECK_EQ(read(fd, mem, WHOLE), PART + 100);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), PART + 100);
}

TEST(what_is_behind_a_short_part_does_not_count)
{
	struct rawfs *fs;
	pid_t pid;

	RS_ONLY("reads the rest through the page cache");
	fs = ready_fs(FUSE_ASYNC_DIO, 0);
	pid = child(fs, O_RDONLY | O_DIRECT, read_up_to_a_gap);
	for (int i = 0; i < 2; i++) {
		take(fs, 4);
		answer(fs, 3, PART);
		answer(fs, 1, 100);
		answer_all(fs);
	}
	CHECK_EQ(exit_of(pid), 0);
	stop(fs);
}

static void write_up_to_an_error(int fd)
{
	mem = ktap_shared(WHOLE);
	CHECK_EQ(pwrite(fd, mem, WHOLE, 0), PART);
	CHECK_ERR(pwrite(fd, mem, WHOLE, 0), EDQUOT);
}

TEST(an_error_behind_what_was_written_is_not_told)
{
	struct rawfs *fs;
	pid_t pid;

	RS_ONLY("tells the error");
	fs = ready_fs(FUSE_ASYNC_DIO, 0);
	pid = child(fs, O_RDWR | O_DIRECT, write_up_to_an_error);
	take(fs, 4);
	answer(fs, 2, -EIO);
	answer(fs, 1, -ENOSPC);
	answer_all(fs);
	take(fs, 4);
	answer(fs, 1, -ENOSPC);
	answer(fs, 0, -EDQUOT);
	answer_all(fs);
	CHECK_EQ(exit_of(pid), 0);
	stop(fs);
}

static void read_scattered(int fd)
{
	struct iovec v[4];

	mem = ktap_shared(WHOLE);
	v[0] = (struct iovec){ mem, 5 };
	v[1] = (struct iovec){ mem + 5, 3 * PAGE };
	v[2] = (struct iovec){ mem + 5 + 3 * PAGE, 0 };
	v[3] = (struct iovec){ mem + 5 + 3 * PAGE, PART };
	CHECK_EQ(preadv(fd, v, 4, 17), 5 + 3 * PAGE + PART);
	check_pattern(17, 5 + 3 * PAGE + PART);
	CHECK_EQ(mem[5 + 3 * PAGE + PART], 0);
	for (int i = 0; i < WHOLE; i++)
		mem[i] = ~pattern(17 + i);
	CHECK_EQ(pwritev(fd, v, 4, 17), 5 + 3 * PAGE + PART);
}

TEST(memory_is_where_it_is)
{
	for (int direct = 0; direct < 2; direct++) {
		struct rawfs *fs = ready_fs(0, direct ? FOPEN_DIRECT_IO : 0);
		pid_t pid;

		rawfs_serve(fs);
		pid = child(fs, O_RDWR | (direct ? 0 : O_DIRECT), read_scattered);
		CHECK_EQ(exit_of(pid), 0);
		for (int i = 0; i < WHOLE; i++) {
			bool written = i >= 17 && i < 17 + 5 + 3 * PAGE + PART;

			CHECK_EQ(fs->node[2].data[i], (char)(written ? ~pattern(i) : pattern(i)));
		}
		rawfs_stop(fs);
	}
}

static void read_into_nothing(int fd)
{
	mem = ktap_shared(4 * PAGE);
	CHECK_EQ(mprotect(mem + PAGE, PAGE, PROT_READ), 0);
	CHECK_EQ(mprotect(mem + 2 * PAGE, PAGE, PROT_NONE), 0);
	CHECK_EQ(pread(fd, mem + 100, 4 * PAGE - 100, 0), PAGE - 100);
	check_pattern(100, 0);
	CHECK_ERR(pread(fd, mem + PAGE, PAGE, 0), EFAULT);
	CHECK_EQ(pwrite(fd, mem + PAGE, 2 * PAGE, 0), PAGE);
	CHECK_ERR(pwrite(fd, mem + 2 * PAGE, PAGE, 0), EFAULT);
}

TEST(memory_that_is_not_there_ends_a_read_or_write)
{
	for (int direct = 0; direct < 2; direct++) {
		struct rawfs *fs = ready_fs(0, direct ? FOPEN_DIRECT_IO : 0);
		pid_t pid;

		RS_ONLY("goes on through the page cache");
		rawfs_serve(fs);
		pid = child(fs, O_RDWR | (direct ? 0 : O_DIRECT), read_into_nothing);
		CHECK_EQ(exit_of(pid), 0);
		rawfs_stop(fs);
	}
}

static void read_and_die(int fd)
{
	mem = ktap_shared(WHOLE);
	pread(fd, mem, WHOLE, 0);
}

/* Readers and writers that are killed go, and late answers do no harm. */
static void killed(uint32_t flags, uint32_t open_flags, int n, void (*work)(int fd))
{
	struct rawfs *fs;
	int status;
	pid_t pid;

	RS_ONLY("the server is waited for");
	fs = ready_fs(flags, open_flags);
	pid = child(fs, O_RDWR | (open_flags ? 0 : O_DIRECT), work);
	take(fs, n);
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
	answer_all(fs);
	stop(fs);
}

TEST(a_killed_reader_is_not_waited_for)
{
	killed(0, FOPEN_DIRECT_IO, 1, read_and_die);
}

TEST(a_killed_reader_of_several_parts_is_not_waited_for)
{
	killed(FUSE_ASYNC_DIO, 0, 4, read_and_die);
}

TEST(a_killed_writer_is_not_waited_for)
{
	killed(0, FOPEN_DIRECT_IO, 1, write_whole);
}

TEST(a_killed_writer_of_several_parts_is_not_waited_for)
{
	killed(FUSE_ASYNC_DIO, 0, 4, write_whole);
}

static void map_and_compare(int fd)
{
	char *map = mmap(NULL, WHOLE, PROT_READ, MAP_PRIVATE, fd, 0);

	CHECK(map != MAP_FAILED);
	CHECK_EQ(map[PART], pattern(PART));
	write_whole(fd);
	CHECK_EQ(map[PART], 'w');
	CHECK_EQ(pread(fd, mem, WHOLE, 0), WHOLE);
	CHECK_EQ(mem[PART], 'w');
}

TEST(a_direct_write_drops_what_is_cached)
{
	for (int i = 0; i < 2; i++) {
		struct rawfs *fs = ready_fs(i ? FUSE_ASYNC_DIO : 0, 0);
		pid_t pid;

		rawfs_serve(fs);
		pid = child(fs, O_RDWR | O_DIRECT, map_and_compare);
		CHECK_EQ(exit_of(pid), 0);
		rawfs_stop(fs);
	}
}

/* Asynchronous reads and writes, by aio's system calls. */
static aio_context_t aio;

static void aio_start(int opcode, int fd, size_t len, uint64_t offset, int flags)
{
	struct iocb cb = { .aio_lio_opcode = opcode,
			   .aio_fildes = fd,
			   .aio_buf = (uintptr_t)mem,
			   .aio_nbytes = len,
			   .aio_offset = offset,
			   .aio_rw_flags = flags };
	struct iocb *cbs = &cb;

	CHECK_EQ(syscall(SYS_io_setup, 8, &aio), 0);
	CHECK_EQ(syscall(SYS_io_submit, aio, 1, &cbs), 1);
}

/* The result of what was started, if it is over. */
static bool aio_over(long *result)
{
	struct io_event event;
	struct timespec none = {};

	if (syscall(SYS_io_getevents, aio, 1, 1, &event, &none) != 1)
		return false;
	*result = event.res;
	return true;
}

static long aio_end(void)
{
	struct io_event event;

	CHECK_EQ(syscall(SYS_io_getevents, aio, 1, 1, &event, NULL), 1);
	return event.res;
}

static void aio_read_whole(int fd)
{
	long result;

	mem = ktap_shared(WHOLE);
	aio_start(IOCB_CMD_PREAD, fd, WHOLE, 0, 0);
	CHECK(!aio_over(&result));
	say();
	CHECK_EQ(aio_end(), WHOLE);
	check_pattern(0, WHOLE);
}

static void aio_write_whole(int fd)
{
	long result;

	mem = ktap_shared(WHOLE);
	memset(mem, 'a', WHOLE);
	aio_start(IOCB_CMD_PWRITE, fd, WHOLE, 0, 0);
	CHECK(!aio_over(&result));
	say();
	CHECK_EQ(aio_end(), WHOLE);
}

/* An asynchronous read or write is on its way when its submission returns. */
static void asynchronous(uint32_t open_flags, void (*work)(int fd))
{
	struct rawfs *fs = ready_fs(FUSE_ASYNC_DIO, open_flags);
	pid_t pid = child(fs, O_RDWR | (open_flags ? 0 : O_DIRECT), work);

	take(fs, 4);
	CHECK(said(10000));
	answer_all(fs);
	CHECK_EQ(exit_of(pid), 0);
	stop(fs);
}

TEST(a_read_is_asynchronous)
{
	asynchronous(0, aio_read_whole);
}

TEST(a_write_is_asynchronous)
{
	asynchronous(0, aio_write_whole);
}

TEST(a_read_of_a_file_that_is_always_direct_is_asynchronous)
{
	asynchronous(FOPEN_DIRECT_IO, aio_read_whole);
}

TEST(a_write_to_a_file_that_is_always_direct_is_asynchronous)
{
	asynchronous(FOPEN_DIRECT_IO, aio_write_whole);
}

TEST(without_async_dio_a_read_is_done_when_it_is_submitted)
{
	struct rawfs *fs = ready_fs(0, 0);
	pid_t pid = child(fs, O_RDONLY | O_DIRECT, aio_read_whole);

	take(fs, 1);
	CHECK(!said(300));
	answer_all(fs);
	kill_child(pid);
	stop(fs);
}

static void aio_write_further(int fd)
{
	long result;

	mem = ktap_shared(WHOLE);
	aio_start(IOCB_CMD_PWRITE, fd, PART, WHOLE - PART, 0);
	CHECK(aio_over(&result));
	CHECK_EQ(result, PART);
	CHECK_EQ(lseek(fd, 0, SEEK_END), WHOLE);
}

TEST(a_write_that_makes_the_file_longer_is_done_when_it_is_submitted)
{
	struct rawfs *fs = ready_fs(FUSE_ASYNC_DIO, 0);
	pid_t pid;

	rawfs_serve(fs);
	fs->node[2].size = WHOLE - 1;
	pid = child(fs, O_RDWR | O_DIRECT, aio_write_further);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_stop(fs);
}

static void aio_write_durably(int fd)
{
	long result;

	mem = ktap_shared(WHOLE);
	aio_start(IOCB_CMD_PWRITE, fd, WHOLE, 0, RWF_DSYNC);
	CHECK(aio_over(&result));
	CHECK_EQ(result, WHOLE);
}

TEST(a_durable_write_is_not_over_before_its_fsync)
{
	struct rawfs *fs;
	pid_t pid;

	RS_ONLY("asynchronous writes are not synced");
	fs = ready_fs(FUSE_ASYNC_DIO, 0);
	rawfs_serve(fs);
	pid = child(fs, O_RDWR | O_DIRECT, aio_write_durably);
	CHECK_EQ(exit_of(pid), 0);
	CHECK_EQ(fs->count[FUSE_FSYNC], 1);
	rawfs_stop(fs);
}

static void aio_read_gap(int fd)
{
	mem = ktap_shared(WHOLE);
	aio_start(IOCB_CMD_PREAD, fd, WHOLE, 0, 0);
	CHECK_EQ(aio_end(), PART + 7);
	check_pattern(0, PART + 7);
}

TEST(an_asynchronous_read_ends_before_a_gap)
{
	struct rawfs *fs = ready_fs(FUSE_ASYNC_DIO, 0);
	pid_t pid = child(fs, O_RDONLY | O_DIRECT, aio_read_gap);

	take(fs, 4);
	answer(fs, 3, PART);
	answer(fs, 1, 7);
	answer_all(fs);
	CHECK_EQ(exit_of(pid), 0);
	stop(fs);
}

static void aio_error(int fd)
{
	mem = ktap_shared(WHOLE);
	aio_start(IOCB_CMD_PREAD, fd, WHOLE, 0, 0);
	CHECK_EQ(aio_end(), -EDQUOT);
}

TEST(an_asynchronous_read_tells_an_error)
{
	struct rawfs *fs = ready_fs(FUSE_ASYNC_DIO, 0);
	pid_t pid = child(fs, O_RDONLY | O_DIRECT, aio_error);

	take(fs, 4);
	answer(fs, 3, PART);
	answer(fs, 0, -EDQUOT);
	answer_all(fs);
	CHECK_EQ(exit_of(pid), 0);
	stop(fs);
}

static void aio_aborted(int fd)
{
	mem = ktap_shared(WHOLE);
	aio_start(IOCB_CMD_PREAD, fd, WHOLE, 0, 0);
	say();
	CHECK_EQ(aio_end(), -ECONNABORTED);
}

TEST(the_end_of_a_connection_ends_asynchronous_reads)
{
	struct rawfs *fs = ready_fs(FUSE_ASYNC_DIO, 0);
	pid_t pid = child(fs, O_RDONLY | O_DIRECT, aio_aborted);

	take(fs, 4);
	CHECK(said(10000));
	close(fs->fd);
	CHECK_EQ(exit_of(pid), 0);
	CHECK_EQ(umount2(fs->mnt, MNT_DETACH), 0);
}

static void aio_and_map(int fd)
{
	char *map = mmap(NULL, WHOLE, PROT_READ, MAP_PRIVATE, fd, 0);

	CHECK(map != MAP_FAILED);
	CHECK_EQ(map[PART], pattern(PART));
	mem = ktap_shared(WHOLE);
	memset(mem, 'a', WHOLE);
	aio_start(IOCB_CMD_PWRITE, fd, WHOLE, 0, 0);
	CHECK_EQ(aio_end(), WHOLE);
	CHECK_EQ(map[PART], 'a');
}

TEST(when_an_asynchronous_write_is_over_nothing_older_is_cached)
{
	struct rawfs *fs = ready_fs(FUSE_ASYNC_DIO, 0);
	pid_t pid;

	rawfs_serve(fs);
	pid = child(fs, O_RDWR | O_DIRECT, aio_and_map);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_stop(fs);
}

static void uring_read(int fd, int opcode, char *buf)
{
	struct io_uring_cqe cqe;
	struct ring r;
	struct iovec v = { buf, WHOLE };

	ring_open(&r);
	CHECK_EQ(syscall(SYS_io_uring_register, r.fd, IORING_REGISTER_BUFFERS, &v, 1), 0);
	submit(&r, (struct io_uring_sqe){
			   .opcode = opcode, .fd = fd, .addr = (uintptr_t)buf, .len = WHOLE });
	CHECK(completed(&r, &cqe, 10000));
	CHECK_EQ(cqe.res, WHOLE);
}

static void uring_both(int fd)
{
	mem = ktap_shared(WHOLE);
	uring_read(fd, IORING_OP_READ, mem);
	check_pattern(0, WHOLE);
	memset(mem, 0, WHOLE);
	uring_read(fd, IORING_OP_READ_FIXED, mem);
	check_pattern(0, WHOLE);
	memset(mem, 'u', WHOLE);
	uring_read(fd, IORING_OP_WRITE_FIXED, mem);
}

TEST(io_uring_reads_and_writes)
{
	struct rawfs *fs = ready_fs(FUSE_ASYNC_DIO, 0);
	pid_t pid = child(fs, O_RDWR | O_DIRECT, uring_both);

	for (int i = 0; i < 3; i++) {
		take(fs, 4);
		answer_all(fs);
	}
	CHECK_EQ(exit_of(pid), 0);
	for (size_t i = 0; i < WHOLE; i++)
		CHECK_EQ(fs->node[2].data[i], 'u');
	stop(fs);
}

/* Offsets at which two children write at the same time. */
static void write_first(int fd)
{
	mem = ktap_shared(PAGE);
	CHECK_EQ(pwrite(fd, mem, PAGE, 0), PAGE);
}

static void write_second(int fd)
{
	mem = ktap_shared(PAGE);
	CHECK_EQ(pwrite(fd, mem, PAGE, PAGE), PAGE);
}

static void append_page(int fd)
{
	mem = ktap_shared(PAGE);
	CHECK_EQ(write(fd, mem, PAGE), PAGE);
}

/* Two writes are with the server together, or one after the other. */
static void two_writes(uint32_t open_flags, uint32_t mode, int flags, size_t size, bool together)
{
	struct rawfs *fs = ready_fs(0, open_flags);
	pid_t pid[2];

	fs->node[2].size = size;
	fs->node[2].mode |= mode;
	pid[0] = child(fs, O_RDWR | flags, flags & O_APPEND ? append_page : write_first);
	take(fs, 1);
	pid[1] = child(fs, O_RDWR, write_second);
	if (together) {
		take(fs, 2);
	} else {
		/* It opens the file. */
		struct pollfd p = { .fd = fs->fd, .events = POLLIN };

		while (poll(&p, 1, 500) == 1) {
			CHECK(rawfs_read(fs->fd, &req));
			CHECK(req.in.opcode != FUSE_WRITE);
			rawfs_default(fs, &req);
		}
		answer_all(fs);
		take(fs, 1);
	}
	answer_all(fs);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(exit_of(pid[i]), 0);
	stop(fs);
}

#define PARALLEL (FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES)

TEST(parallel_direct_writes)
{
	two_writes(PARALLEL, 0, 0, WHOLE, true);
}

TEST(direct_writes_are_not_parallel_without_the_flag)
{
	two_writes(FOPEN_DIRECT_IO, 0, 0, WHOLE, false);
}

TEST(writes_that_make_a_file_longer_are_not_parallel)
{
	two_writes(PARALLEL, 0, 0, PAGE / 2, false);
}

TEST(writes_to_the_end_are_not_parallel)
{
	two_writes(PARALLEL, 0, O_APPEND, WHOLE, false);
}

/*
 * The server gets a request with `len` bytes of the caller's data through a pipe; the data changes
 * afterwards.
 */
static void splice_from_caller(size_t shift, size_t len)
{
	struct rawfs *fs = ready_fs(0, 0);
	struct pollfd p = { .fd = fs->fd, .events = POLLIN };
	char *shared = (char *)ktap_shared(WHOLE) + shift, *message = (char *)&req;
	size_t head = sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in);
	ssize_t got = 0;
	int ends[2];
	pid_t pid;

	CHECK_EQ(pipe(ends), 0);
	CHECK(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) >= PART + PAGE);
	pid = fork();
	if (pid == 0) {
		int fd = open(rawfs_path(fs, "file"), O_WRONLY | O_DIRECT);

		close(fs->fd);
		_exit(pwrite(fd, shared, len, 0) != (ssize_t)len);
	}
	for (;;) {
		for (size_t i = 0; i < len; i++)
			shared[i] = pattern(i);
		CHECK_EQ(poll(&p, 1, 10000), 1);
		got = splice(fs->fd, NULL, ends[1], NULL, PART + PAGE, 0);
		CHECK(got > 0);
		memset(shared, '2', len);
		CHECK_EQ(read(ends[0], message, got), got);
		if (req.in.opcode == FUSE_WRITE)
			break;
		req.len = got - sizeof(req.in);
		rawfs_default(fs, &req);
	}
	CHECK_EQ(got, (ssize_t)(head + len));
	for (size_t i = 0; i < len; i++)
		CHECK_EQ(message[head + i], pattern(i));
	req.len = got - sizeof(req.in);
	rawfs_default(fs, &req);
	CHECK_EQ(exit_of(pid), 0);
	close(ends[0]);
	close(ends[1]);
	stop(fs);
}

TEST(data_in_a_pipe_does_not_change)
{
	splice_from_caller(0, PAGE);
	splice_from_caller(0, 5 * PAGE);
	splice_from_caller(100, 5 * PAGE);
	splice_from_caller(PAGE - 1, 2);
	splice_from_caller(0, PAGE + 1);
}
