// SPDX-License-Identifier: GPL-2.0
/* What must not overtake WRITEs of pages, nor be overtaken by them. */
#include <fcntl.h>
#include <linux/falloc.h>
#include "mapped.h"
#include "notify.h"

/* The case's second process, which has the file open for reading and writing. */
static struct worker other;

/* A file of so many pages, mapped; a store into one of them is with the server, which holds it. */
static void begin_held(size_t pages, size_t page)
{
	start_mapped(pages * PAGE);
	other = another(O_RDWR, "file");
	store_and_hold(page * PAGE, 'x');
}

static void end(void)
{
	dismiss(&other);
	stop();
}

/* The step of the other waits for the WRITE, and so does its request, which follows it. */
static void comes_behind_it(step what, long a, long b, uint32_t opcode)
{
	unsigned long before = fs->count[opcode];

	begin(&other, what, a, b);
	CHECK(waits(&other));
	CHECK_EQ(fs->count[opcode], before);
	let_all_go(fs);
	CHECK_EQ(result(&other), 0);
	CHECK_EQ(fs->count[opcode], before + 1);
}

TEST(a_truncation)
{
	begin_held(4, 2);
	comes_behind_it(file_truncate, PAGE, 0, FUSE_SETATTR);
	CHECK_EQ(fs->node[NODE].size, PAGE);
	end();
}

TEST(a_truncation_that_makes_the_file_longer)
{
	begin_held(4, 2);
	comes_behind_it(file_truncate, 8 * PAGE, 0, FUSE_SETATTR);
	CHECK_EQ(there(2 * PAGE), 'x');
	end();
}

static long open_truncating(long a, long b)
{
	int fd = open(rawfs_path(fs, "file"), O_RDWR | O_TRUNC);

	return fd < 0 ? -1 : close(fd);
}

TEST(an_open_that_truncates)
{
	begin_held(4, 2);
	comes_behind_it(open_truncating, 0, 0, FUSE_SETATTR);
	CHECK_EQ(fs->node[NODE].size, 0);
	end();
}

TEST(an_open_that_truncates_at_once)
{
	RS_ONLY("only with the write-back cache");
	prepare(FUSE_ATOMIC_O_TRUNC);
	start(4 * PAGE, O_RDWR);
	CHECK_EQ(tell(&w, file_map, 4, RW), 0);
	other = another(O_RDWR, "file");
	store_and_hold(2 * PAGE, 'x');
	comes_behind_it(open_truncating, 0, 0, FUSE_OPEN);
	end();
}

static long allocate(long mode, long offset)
{
	return fallocate(the_file, mode, offset, 2 * PAGE);
}

static bool take_fallocate(struct rawfs *server, struct rawfs_req *req)
{
	struct fuse_fallocate_in *in = (void *)req->body;
	struct rawfs_node *n = &server->node[NODE];

	if (req->in.opcode != FUSE_FALLOCATE)
		return false;
	if (in->mode & FALLOC_FL_PUNCH_HOLE)
		memset(n->data + in->offset, 0, in->length);
	else if (in->offset + in->length > n->size)
		n->size = in->offset + in->length;
	return reply(server, req, 0, NULL, 0);
}

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

TEST(a_hole)
{
	begin_held(4, 1);
	unheld = take_fallocate;
	comes_behind_it(allocate, PUNCH, PAGE, FUSE_FALLOCATE);
	CHECK_EQ(there(PAGE), 0);
	CHECK_EQ(tell(&w, file_load, PAGE, 0), 0);
	CHECK_EQ(tell(&w, file_load, 3 * PAGE, 0), old(3 * PAGE));
	end();
}

TEST(a_hole_where_pages_were_stored_to)
{
	start_mapped(4 * PAGE);
	other = another(O_RDWR, "file");
	unheld = take_fallocate;
	store(PAGE, 'x');
	store(3 * PAGE, 'y');
	CHECK_EQ(tell(&other, allocate, PUNCH, PAGE), 0);
	CHECK_EQ(tell(&w, file_load, PAGE, 0), 0);
	CHECK_EQ(tell(&w, file_load, 3 * PAGE, 0), 'y');
	CHECK_EQ(tell(&w, file_msync, MS_SYNC, 0), 0);
	CHECK_EQ(there(PAGE), 0);
	CHECK_EQ(there(3 * PAGE), 'y');
	end();
}

TEST(an_allocation_that_makes_the_file_longer)
{
	RS_ONLY("does not wait");
	begin_held(4, 1);
	unheld = take_fallocate;
	comes_behind_it(allocate, 0, 3 * PAGE, FUSE_FALLOCATE);
	CHECK_EQ(fs->node[NODE].size, 5 * PAGE);
	end();
}

static long copy_range(long from, long to)
{
	loff_t in = from, out = to;

	return copy_file_range(the_file, &in, the_file, &out, PAGE, 0) == PAGE ? 0 : -1;
}

static bool take_copy(struct rawfs *server, struct rawfs_req *req)
{
	struct fuse_copy_file_range_in *in = (void *)req->body;
	struct fuse_copy_file_range_out out = { .bytes_copied = PAGE };
	char *data = server->node[NODE].data;

	if (req->in.opcode != FUSE_COPY_FILE_RANGE_64)
		return false;
	memcpy(data + in->off_out, data + in->off_in, PAGE);
	return reply(server, req, 0, &out, sizeof(out));
}

TEST(a_copy_from_there)
{
	begin_held(4, 1);
	unheld = take_copy;
	comes_behind_it(copy_range, PAGE, 3 * PAGE, FUSE_COPY_FILE_RANGE_64);
	CHECK_EQ(there(3 * PAGE), 'x');
	CHECK_EQ(tell(&w, file_load, 3 * PAGE, 0), 'x');
	end();
}

TEST(a_copy_to_there)
{
	begin_held(4, 1);
	unheld = take_copy;
	comes_behind_it(copy_range, 3 * PAGE, PAGE, FUSE_COPY_FILE_RANGE_64);
	CHECK_EQ(there(PAGE), old(3 * PAGE));
	CHECK_EQ(tell(&w, file_load, PAGE, 0), old(3 * PAGE));
	end();
}

TEST(a_close)
{
	begin_held(4, 1);
	comes_behind_it(file_close, 0, 0, FUSE_FLUSH);
	CHECK_EQ(there(PAGE), 'x');
	end();
}

TEST(a_failed_write_ends_the_wait)
{
	begin_held(4, 2);
	begin(&other, file_truncate, PAGE, 0);
	CHECK(waits(&other));
	hold(0);
	let_go(fs, 0, EIO);
	CHECK_EQ(result(&other), 0);
	CHECK_EQ(fs->node[NODE].size, PAGE);
	end();
}

TEST(all_writes_are_waited_for)
{
	begin_held(8, 2);
	store_and_hold(4 * PAGE, 'y');
	begin(&other, file_truncate, PAGE, 0);
	CHECK(waits(&other));
	let_go(fs, 1, 0);
	CHECK(waits(&other));
	CHECK_EQ(fs->count[FUSE_SETATTR], 0);
	let_all_go(fs);
	CHECK_EQ(result(&other), 0);
	end();
}

TEST(a_kill_ends_a_truncation_that_waits)
{
	RS_ONLY("this wait cannot be ended");
	begin_held(4, 2);
	begin(&other, file_truncate, PAGE, 0);
	CHECK(waits(&other));
	kill_worker(&other);
	let_all_go(fs);
	/* What was to be truncated was not, and may be. */
	CHECK_EQ(fs->count[FUSE_SETATTR], 0);
	CHECK_EQ(tell(&w, file_truncate, PAGE, 0), 0);
	CHECK_EQ(fs->node[NODE].size, PAGE);
	stop();
}

TEST(other_files_are_not_held_up)
{
	begin_held(4, 2);
	CHECK_EQ(tell(&other, file_open, O_RDWR | O_CREAT, (long)"another"), 0);
	CHECK_EQ(tell(&other, file_truncate, 3 * PAGE, 0), 0);
	CHECK_EQ(tell(&other, file_map, 3, RW), 0);
	CHECK_EQ(tell(&other, file_store, PAGE, 'x'), 0);
	/* Those of this file are not held. */
	hold(0);
	CHECK_EQ(tell(&other, file_truncate, 2 * PAGE, 0), 0);
	CHECK_EQ(tell(&other, file_fsync, 0, 0), 0);
	CHECK_EQ(tell(&other, file_close, 0, 0), 0);
	CHECK_EQ(held(), 1);
	let_all_go(fs);
	end();
}

/*
 * A truncation is with the server, which holds it; a store into this page, of which write-back is
 * started, is not sent meanwhile.
 */
static void store_during_truncation(size_t size, size_t page)
{
	start_mapped(4 * PAGE + 100);
	other = another(O_RDWR, "file");
	hold(FUSE_SETATTR);
	begin(&other, file_truncate, size, 0);
	EVENTUALLY(held() == 1);
	store(page * PAGE, 'x');
	CHECK_EQ(tell(&w, file_start, 0, 0), 0);
	usleep(300000);
	CHECK_EQ(fs->count[FUSE_WRITE], 0);
}

TEST(pages_are_sent_when_the_truncation_is_done)
{
	store_during_truncation(3 * PAGE, 1);
	let_all_go(fs);
	CHECK_EQ(result(&other), 0);
	EVENTUALLY(fs->count[FUSE_WRITE] == 1);
	CHECK_EQ(tell(&w, file_msync, MS_SYNC, 0), 0);
	look_at_writes();
	CHECK_EQ(nwrote, 1);
	was(0, PAGE, PAGE);
	CHECK_EQ(there(PAGE), 'x');
	end();
}

TEST(pages_are_cut_to_the_size_that_the_file_has_then)
{
	store_during_truncation(2 * PAGE + 50, 2);
	let_all_go(fs);
	CHECK_EQ(result(&other), 0);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	look_at_writes();
	CHECK_EQ(nwrote, 1);
	was(0, 2 * PAGE, 50);
	CHECK_EQ(fs->node[NODE].size, 2 * PAGE + 50);
	end();
}

TEST(pages_behind_the_end_are_not_sent)
{
	store_during_truncation(PAGE, 3);
	let_all_go(fs);
	CHECK_EQ(result(&other), 0);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	CHECK_EQ(fs->count[FUSE_WRITE], 0);
	CHECK_EQ(fs->node[NODE].size, PAGE);
	/* Nor do they come back. */
	CHECK_EQ(tell(&w, file_truncate, 4 * PAGE, 0), 0);
	CHECK_EQ(tell(&w, file_load, 3 * PAGE, 0), 0);
	end();
}

TEST(pages_are_sent_when_the_truncation_has_failed)
{
	store_during_truncation(PAGE, 3);
	hold(0);
	let_go(fs, 0, EPERM);
	CHECK_EQ(result(&other), -EPERM);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	look_at_writes();
	CHECK_EQ(nwrote, 1);
	was(0, 3 * PAGE, PAGE);
	CHECK_EQ(there(3 * PAGE), 'x');
	end();
}

TEST(a_page_stored_to_before_is_written_within_the_new_size)
{
	start_mapped(4 * PAGE);
	store(PAGE + 10, 'x');
	store(3 * PAGE, 'y');
	CHECK_EQ(tell(&w, file_truncate, PAGE + 100, 0), 0);
	CHECK_EQ(tell(&w, file_load, PAGE + 10, 0), 'x');
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	CHECK_EQ(there(PAGE + 10), 'x');
	CHECK_EQ(fs->node[NODE].size, PAGE + 100);
	stop();
}

TEST(pages_behind_an_end_that_the_server_tells_are_not_sent)
{
	start_mapped(4 * PAGE);
	store(PAGE, 'x');
	store(3 * PAGE, 'y');
	fs->node[NODE].size = 2 * PAGE;
	CHECK_EQ(notify_inval_inode(fs, NODE, -1, 0), 0);
	CHECK_EQ(tell(&w, file_size, 0, 0), 2 * PAGE);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	CHECK_EQ(there(PAGE), 'x');
	CHECK_EQ(fs->node[NODE].size, 2 * PAGE);
	stop();
}
