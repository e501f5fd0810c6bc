// SPDX-License-Identifier: GPL-2.0
/* Pages whose WRITE is with the server: who waits for it, who does not, and who hears of errors. */
#include <fcntl.h>
#include "mapped.h"
#include "notify.h"

/* Lets what is held go, and the step that waited for it end well. */
static void go_on(struct worker *who, long expected)
{
	let_all_go(fs);
	CHECK_EQ(result(who), expected);
}

TEST(a_store_into_the_same_page_waits)
{
	start_mapped(4 * PAGE);
	store_and_hold(PAGE, 'x');
	begin(&w, file_store, PAGE + 1, 'y');
	CHECK(waits(&w));
	go_on(&w, 0);
	CHECK_EQ(there(PAGE), 'x');
	CHECK_EQ(there(PAGE + 1), old(PAGE));
	CHECK_EQ(tell(&w, file_msync, MS_SYNC, 0), 0);
	CHECK_EQ(fs->count[FUSE_WRITE], 2);
	CHECK_EQ(there(PAGE + 1), 'y');
	stop();
}

TEST(stores_into_other_pages_do_not_wait)
{
	start_mapped(4 * PAGE);
	store_and_hold(PAGE, 'x');
	store(0, 'y');
	store(2 * PAGE, 'z');
	let_all_go(fs);
	CHECK_EQ(tell(&w, file_msync, MS_SYNC, 0), 0);
	CHECK_EQ(there(0), 'y');
	CHECK_EQ(there(2 * PAGE), 'z');
	stop();
}

TEST(a_kill_ends_a_store_that_waits)
{
	struct worker other;

	RS_ONLY("waits for folios cannot be ended");
	start_mapped(4 * PAGE);
	other = another(O_RDWR, "file");
	CHECK_EQ(tell(&other, file_map, 4, RW), 0);
	store_and_hold(PAGE, 'x');
	begin(&other, file_store, PAGE + 1, 'y');
	CHECK(waits(&other));
	kill_worker(&other);
	let_all_go(fs);
	stop();
}

TEST(loads_and_reads_do_not_wait)
{
	start_mapped(4 * PAGE);
	store_and_hold(PAGE, 'x');
	CHECK_EQ(tell(&w, file_load, PAGE, 0), 'x');
	CHECK_EQ(tell(&w, file_read, PAGE, 0), 'x');
	let_all_go(fs);
	stop();
}

TEST(writes_of_pages_apart_are_with_the_server_together)
{
	start_mapped(8 * PAGE);
	hold(FUSE_WRITE);
	store(0, 'a');
	store(2 * PAGE, 'b');
	store(4 * PAGE, 'c');
	begin(&w, file_msync, MS_SYNC, 0);
	EVENTUALLY(held() == 3);
	go_on(&w, 0);
	CHECK_EQ(there(4 * PAGE), 'c');
	stop();
}

/* What was cached may be dropped while its WRITE is held; what is read then is not older. */
static void is_not_read_old(step drop)
{
	struct worker reader;

	start_mapped(4 * PAGE);
	reader = another(O_RDONLY, "file");
	store_and_hold(PAGE, 'x');
	CHECK_EQ(tell(&w, file_unfault, 0, 0), 0);
	CHECK_EQ(tell(&reader, drop, 0, 0), 0);
	begin(&reader, file_read, PAGE, 0);
	waits(&reader);
	go_on(&reader, 'x');
	dismiss(&reader);
	stop();
}

TEST(a_page_dropped_on_advice_is_not_read_old)
{
	is_not_read_old(file_uncache);
}

static long drop_all(long a, long b)
{
	drop_caches("3");
	return 0;
}

TEST(a_page_dropped_from_memory_is_not_read_old)
{
	is_not_read_old(drop_all);
}

TEST(a_page_dropped_from_memory_is_not_loaded_old)
{
	start_mapped(4 * PAGE);
	store_and_hold(PAGE, 'x');
	CHECK_EQ(tell(&w, file_unfault, 0, 0), 0);
	CHECK_EQ(tell(&w, file_uncache, 0, 0), 0);
	begin(&w, file_load, PAGE, 0);
	waits(&w);
	go_on(&w, 'x');
	stop();
}

TEST(a_page_is_not_read_ahead_old)
{
	struct worker reader;

	start_mapped(8 * PAGE);
	reader = another(O_RDONLY, "file");
	store_and_hold(3 * PAGE, 'x');
	CHECK_EQ(tell(&w, file_unfault, 0, 0), 0);
	CHECK_EQ(tell(&reader, file_uncache, 0, 0), 0);
	begin(&reader, file_read, 0, 0);
	waits(&reader);
	go_on(&reader, old(0));
	CHECK_EQ(tell(&reader, file_read, 3 * PAGE, 0), 'x');
	dismiss(&reader);
	stop();
}

TEST(a_page_that_the_server_calls_stale_is_not_read_old)
{
	pid_t server;

	start_mapped(4 * PAGE);
	store_and_hold(PAGE, 'x');
	server = fork();
	if (server == 0)
		_exit(notify_inval_inode(fs, NODE, 0, 0));
	begin(&w, file_read, PAGE, 0);
	waits(&w);
	go_on(&w, 'x');
	CHECK_EQ(exit_of(server), 0);
	CHECK_EQ(tell(&w, file_read, PAGE, 0), 'x');
	stop();
}

TEST(stores_are_not_lost_when_the_server_calls_them_stale)
{
	start_mapped(4 * PAGE);
	store(PAGE, 'x');
	CHECK_EQ(notify_inval_inode(fs, NODE, 0, 0), 0);
	CHECK_EQ(there(PAGE), 'x');
	/* What the server changes then is seen. */
	fs->node[NODE].data[PAGE + 1] = 'y';
	CHECK_EQ(notify_inval_inode(fs, NODE, 0, 0), 0);
	CHECK_EQ(tell(&w, file_load, PAGE + 1, 0), 'y');
	CHECK_EQ(tell(&w, file_load, PAGE, 0), 'x');
	stop();
}

/* Another descriptor of this kind uses the page; it waits, and what it does is the later. */
static void writes_later(int flags, uint32_t open_flags)
{
	struct worker other;

	start_mapped(4 * PAGE);
	fs->open_flags = open_flags;
	other = another(O_RDWR | flags, "file");
	store_and_hold(PAGE, 'x');
	begin(&other, file_write, PAGE + 10, 3);
	CHECK(waits(&other));
	CHECK_EQ(fs->count[FUSE_WRITE], 1);
	go_on(&other, 3);
	CHECK_EQ(there(PAGE), 'x');
	CHECK_EQ(there(PAGE + 10), 'w');
	CHECK_EQ(tell(&w, file_load, PAGE, 0), 'x');
	CHECK_EQ(tell(&w, file_load, PAGE + 12, 0), 'w');
	dismiss(&other);
	stop();
}

TEST(a_write_into_the_same_page_waits)
{
	writes_later(0, 0);
}

TEST(a_direct_write_into_the_same_page_waits)
{
	writes_later(O_DIRECT, 0);
}

TEST(a_write_into_the_same_page_of_a_direct_file_waits)
{
	writes_later(0, FOPEN_DIRECT_IO);
}

static void reads_later(int flags, uint32_t open_flags)
{
	struct worker other;
	unsigned long before;

	start_mapped(4 * PAGE);
	fs->open_flags = open_flags;
	other = another(O_RDWR | flags, "file");
	store_and_hold(PAGE, 'x');
	before = fs->count[FUSE_READ];
	begin(&other, file_read, PAGE, 0);
	CHECK(waits(&other));
	CHECK_EQ(fs->count[FUSE_READ], before);
	go_on(&other, 'x');
	dismiss(&other);
	stop();
}

TEST(a_direct_read_of_the_same_page_waits)
{
	reads_later(O_DIRECT, 0);
}

TEST(a_read_of_the_same_page_of_a_direct_file_waits)
{
	reads_later(0, FOPEN_DIRECT_IO);
}

/* A page that was stored to, and is not with the server yet. */
static void direct_io_and_stores(int flags, uint32_t open_flags)
{
	struct worker other;

	start_mapped(4 * PAGE);
	fs->open_flags = open_flags;
	other = another(O_RDWR | flags, "file");
	store(PAGE, 'x');
	CHECK_EQ(tell(&other, file_read, PAGE, 0), 'x');
	store(PAGE + 1, 'y');
	CHECK_EQ(tell(&other, file_write, PAGE + 10, 3), 3);
	CHECK_EQ(there(PAGE + 1), 'y');
	CHECK_EQ(there(PAGE + 10), 'w');
	CHECK_EQ(tell(&w, file_load, PAGE + 1, 0), 'y');
	CHECK_EQ(tell(&w, file_load, PAGE + 10, 0), 'w');
	CHECK_EQ(tell(&w, file_msync, MS_SYNC, 0), 0);
	CHECK_EQ(there(PAGE + 1), 'y');
	CHECK_EQ(there(PAGE + 10), 'w');
	dismiss(&other);
	stop();
}

TEST(direct_reads_and_writes_see_stores)
{
	direct_io_and_stores(O_DIRECT, 0);
}

TEST(reads_and_writes_of_a_direct_file_see_stores)
{
	direct_io_and_stores(0, FOPEN_DIRECT_IO);
}

TEST(a_page_can_be_sent_again)
{
	char *again;

	start_mapped(4 * PAGE);
	store_and_hold(PAGE, 'x');
	CHECK_EQ(tell(&w, file_unfault, 0, 0), 0);
	CHECK_EQ(tell(&w, file_uncache, 0, 0), 0);
	CHECK_EQ(notify(fs, FUSE_NOTIFY_RESEND, NULL, 0, NULL, 0), 0);
	EVENTUALLY(held() == 2);
	again = held_body(1);
	CHECK_EQ(again[sizeof(struct fuse_write_in)], 'x');
	CHECK_EQ(again[sizeof(struct fuse_write_in) + 1], old(PAGE));
	let_all_go(fs);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	CHECK_EQ(there(PAGE), 'x');
	stop();
}

/* It waits for the WRITE, and FSYNC follows it. */
static void syncs(step sync, long how)
{
	start_mapped(4 * PAGE);
	store_and_hold(PAGE, 'x');
	begin(&w, sync, how, 0);
	CHECK(waits(&w));
	CHECK_EQ(fs->count[FUSE_FSYNC], 0);
	go_on(&w, 0);
	CHECK_EQ(fs->count[FUSE_FSYNC], 1);
	stop();
}

TEST(fsync_waits)
{
	syncs(file_fsync, 0);
}

TEST(msync_waits)
{
	syncs(file_msync, MS_SYNC);
}

TEST(asynchronous_msync_does_not_wait)
{
	start_mapped(4 * PAGE);
	store_and_hold(PAGE, 'x');
	CHECK_EQ(tell(&w, file_msync, MS_ASYNC, 0), 0);
	let_all_go(fs);
	stop();
}

TEST(a_kill_ends_an_fsync_that_waits)
{
	struct worker other;

	RS_ONLY("waits for folios cannot be ended");
	start_mapped(4 * PAGE);
	other = another(O_RDWR, "file");
	store_and_hold(PAGE, 'x');
	begin(&other, file_fsync, 0, 0);
	CHECK(waits(&other));
	kill_worker(&other);
	let_all_go(fs);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	stop();
}

/* A page whose WRITE the server answers with an error. */
static void store_in_vain(int error)
{
	store_and_hold(PAGE, 'x');
	hold(0);
	let_go(fs, 0, error);
}

TEST(an_error_is_told_once_by_fsync_of_each_descriptor)
{
	struct worker other, third;

	start_mapped(4 * PAGE);
	other = another(O_RDONLY, "file");
	store_in_vain(EDQUOT);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), -EDQUOT);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	third = another(O_RDWR, "file");
	CHECK_EQ(tell(&other, file_fsync, 0, 0), -EDQUOT);
	CHECK_EQ(tell(&other, file_fsync, 0, 0), 0);
	CHECK_EQ(tell(&third, file_fsync, 0, 0), 0);
	store_in_vain(EIO);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), -EIO);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	dismiss(&other);
	dismiss(&third);
	stop();
}

TEST(an_error_is_told_by_msync)
{
	start_mapped(4 * PAGE);
	store_in_vain(ENOSPC);
	CHECK_EQ(tell(&w, file_msync, MS_SYNC, 0), -ENOSPC);
	CHECK_EQ(tell(&w, file_msync, MS_SYNC, 0), 0);
	CHECK_EQ(tell(&w, file_close, 0, 0), 0);
	stop();
}

TEST(an_error_is_told_by_close)
{
	start_mapped(4 * PAGE);
	store_in_vain(ENOSPC);
	CHECK_EQ(tell(&w, file_close, 0, 0), -ENOSPC);
	stop();
}

TEST(an_error_does_not_keep_other_pages_from_the_server)
{
	start_mapped(8 * PAGE);
	store_in_vain(EIO);
	store(PAGE + 1, 'y');
	store(4 * PAGE, 'z');
	CHECK_EQ(tell(&w, file_msync, MS_SYNC, 0), -EIO);
	CHECK_EQ(there(PAGE + 1), 'y');
	CHECK_EQ(there(4 * PAGE), 'z');
	stop();
}

static bool take_less(struct rawfs *server, struct rawfs_req *req)
{
	struct fuse_write_out out = { .size = PAGE - 1 };

	if (req->in.opcode != FUSE_WRITE)
		return false;
	return reply(server, req, 0, &out, sizeof(out));
}

TEST(pages_that_the_server_takes_in_part_are_an_error)
{
	RS_ONLY("does not look at how much the server took");
	start_mapped(4 * PAGE);
	unheld = take_less;
	store(PAGE, 'x');
	CHECK_EQ(tell(&w, file_fsync, 0, 0), -EIO);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	stop();
}
