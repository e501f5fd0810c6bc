// SPDX-License-Identifier: GPL-2.0
/* Shared writable mappings: what of them is written, when, and with which handle. */
#include <fcntl.h>
#include "mapped.h"

static void sync_it(void)
{
	CHECK_EQ(tell(&w, file_msync, MS_SYNC, 0), 0);
}

TEST(msync_writes_the_page_that_was_stored_to)
{
	start_mapped(3 * PAGE);
	store(PAGE + 5, 'x');
	CHECK_EQ(fs->count[FUSE_WRITE], 0);
	sync_it();
	look_at_writes();
	CHECK_EQ(nwrote, 1);
	was(0, PAGE, PAGE);
	CHECK_EQ(wrote[0].write_flags, FUSE_WRITE_CACHE);
	CHECK_EQ(wrote[0].fh, 100);
	CHECK_EQ(last_request(FUSE_WRITE)->in.nodeid, NODE);
	CHECK_EQ(there(PAGE + 5), 'x');
	CHECK_EQ(there(PAGE + 4), old(PAGE));
	CHECK(last_request(FUSE_WRITE) < last_request(FUSE_FSYNC));
	stop();
}

TEST(fsync_writes_it_too)
{
	start_mapped(PAGE);
	store(0, 'x');
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	CHECK_EQ(there(0), 'x');
	CHECK(last_request(FUSE_WRITE) < last_request(FUSE_FSYNC));
	stop();
}

TEST(a_page_is_written_again_only_if_it_was_stored_to_again)
{
	start_mapped(PAGE);
	store(0, 'x');
	sync_it();
	sync_it();
	CHECK_EQ(fs->count[FUSE_WRITE], 1);
	store(0, 'y');
	sync_it();
	CHECK_EQ(fs->count[FUSE_WRITE], 2);
	CHECK_EQ(there(0), 'y');
	stop();
}

TEST(nothing_is_written_that_was_only_read)
{
	start_mapped(2 * PAGE);
	CHECK_EQ(tell(&w, file_load, PAGE, 0), old(PAGE));
	sync_it();
	CHECK_EQ(tell(&w, file_unmap, 0, 0), 0);
	CHECK_EQ(tell(&w, file_close, 0, 0), 0);
	EVENTUALLY(fs->count[FUSE_RELEASE] == 1);
	CHECK_EQ(fs->count[FUSE_WRITE], 0);
	stop();
}

TEST(what_is_written_ends_with_the_file)
{
	start_mapped(PAGE + 100);
	store(PAGE + 99, 'x');
	store(PAGE + 100, 'y');
	sync_it();
	look_at_writes();
	CHECK_EQ(nwrote, 1);
	was(0, PAGE, 100);
	CHECK_EQ(fs->node[NODE].size, PAGE + 100);
	CHECK_EQ(there(PAGE + 99), 'x');
	stop();
}

TEST(pages_side_by_side_are_one_write)
{
	start_mapped(8 * PAGE);
	for (int page = 1; page < 7; page++)
		store(page * PAGE, 'a' + page);
	sync_it();
	look_at_writes();
	CHECK_EQ(nwrote, 1);
	was(0, PAGE, 6 * PAGE);
	for (int page = 1; page < 7; page++)
		CHECK_EQ(there(page * PAGE), 'a' + page);
	stop();
}

/* Ten pages side by side take three writes of at most four. */
static void in_fours(void)
{
	start(10 * PAGE, O_RDWR);
	CHECK_EQ(tell(&w, file_map, 10, RW), 0);
	for (int page = 0; page < 10; page++)
		store(page * PAGE, 'a' + page);
	sync_it();
	look_at_writes();
	CHECK_EQ(nwrote, 3);
	was(0, 0, 4 * PAGE);
	was(1, 4 * PAGE, 4 * PAGE);
	was(2, 8 * PAGE, 2 * PAGE);
	for (int page = 0; page < 10; page++)
		CHECK_EQ(there(page * PAGE), 'a' + page);
	stop();
}

TEST(writes_are_no_larger_than_max_write)
{
	prepare(0);
	fs->init_out.max_write = 4 * PAGE;
	in_fours();
}

TEST(writes_have_no_more_than_max_pages)
{
	prepare(0);
	fs->init_out.max_pages = 4;
	in_fours();
}

TEST(pages_apart_are_writes_apart)
{
	start_mapped(8 * PAGE);
	store(0, 'a');
	store(2 * PAGE, 'b');
	store(3 * PAGE, 'c');
	store(6 * PAGE, 'd');
	sync_it();
	look_at_writes();
	CHECK_EQ(nwrote, 3);
	was(0, 0, PAGE);
	was(1, 2 * PAGE, 2 * PAGE);
	was(2, 6 * PAGE, PAGE);
	stop();
}

TEST(what_was_not_stored_to_is_not_written)
{
	start_mapped(32 * PAGE);
	/* All is cached, as it was read ahead. */
	for (int page = 0; page < 32; page++)
		CHECK_EQ(tell(&w, file_read, page * PAGE, 0), old(page * PAGE));
	/* Somebody else changes the next page, and only the server knows. */
	fs->node[NODE].data[18 * PAGE] = '!';
	store(17 * PAGE, 'x');
	sync_it();
	look_at_writes();
	CHECK_EQ(nwrote, 1);
	was(0, 17 * PAGE, PAGE);
	CHECK_EQ(there(18 * PAGE), '!');
	stop();
}

TEST(all_that_was_stored_to_is_written)
{
	size_t at;

	prepare(0);
	start(32 * PAGE, O_RDWR);
	/* What is read ahead lies in large folios. */
	for (at = 0; at < 32 * PAGE; at += PAGE)
		CHECK_EQ(tell(&w, file_read, at, 0), old(at));
	CHECK_EQ(tell(&w, file_map, 32, RW), 0);
	for (at = 16 * PAGE; at < 24 * PAGE; at += PAGE)
		store(at, 'x');
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	for (at = 16 * PAGE; at < 24 * PAGE; at += PAGE)
		CHECK_EQ(there(at), 'x');
	stop();
}

TEST(the_handle_is_that_of_a_writable_descriptor)
{
	struct worker reader;

	prepare(0);
	start(PAGE, O_RDWR);
	reader = another(O_RDONLY, "file");
	CHECK_EQ(tell(&reader, file_map, 1, PROT_READ), 0);
	CHECK_EQ(tell(&w, file_map, 1, RW), 0);
	store(0, 'x');
	/* Whoever has it written. */
	CHECK_EQ(tell(&reader, file_fsync, 0, 0), 0);
	CHECK_EQ(((struct fuse_write_in *)last(FUSE_WRITE))->fh, 100);
	CHECK_EQ(((struct fuse_fsync_in *)last(FUSE_FSYNC))->fh, 101);
	dismiss(&reader);
	stop();
}

TEST(a_handle_is_released_behind_the_data)
{
	start_mapped(2 * PAGE);
	store(0, 'x');
	CHECK_EQ(tell(&w, file_unmap, 0, 0), 0);
	CHECK_EQ(tell(&w, file_close, 0, 0), 0);
	EVENTUALLY(fs->count[FUSE_RELEASE] == 1);
	CHECK(last_request(FUSE_WRITE) < last_request(FUSE_RELEASE));
	CHECK_EQ(there(0), 'x');
	stop();
}

TEST(a_mapping_keeps_the_handle)
{
	start_mapped(2 * PAGE);
	CHECK_EQ(tell(&w, file_close, 0, 0), 0);
	store(0, 'x');
	CHECK_EQ(fs->count[FUSE_RELEASE], 0);
	CHECK_EQ(tell(&w, file_unmap, 0, 0), 0);
	EVENTUALLY(fs->count[FUSE_RELEASE] == 1);
	CHECK(last_request(FUSE_WRITE) < last_request(FUSE_RELEASE));
	CHECK_EQ(there(0), 'x');
	stop();
}

TEST(an_exit_loses_nothing)
{
	start_mapped(2 * PAGE);
	store(PAGE, 'x');
	dismiss(&w);
	EVENTUALLY(fs->count[FUSE_RELEASE] == 1);
	CHECK_EQ(there(PAGE), 'x');
	rawfs_stop(fs);
}

TEST(a_killed_process_loses_nothing)
{
	start_mapped(2 * PAGE);
	store(PAGE, 'x');
	kill_worker(&w);
	EVENTUALLY(fs->count[FUSE_RELEASE] == 1);
	CHECK_EQ(there(PAGE), 'x');
	rawfs_stop(fs);
}

TEST(an_unmount_loses_nothing)
{
	start_mapped(2 * PAGE);
	store(PAGE, 'x');
	dismiss(&w);
	rawfs_stop(fs);
	CHECK_EQ(there(PAGE), 'x');
}

static long unmap_first_page(long a, long b)
{
	return munmap((void *)the_map, PAGE);
}

TEST(what_is_left_of_a_mapping_keeps_the_handle)
{
	start_mapped(3 * PAGE);
	CHECK_EQ(tell(&w, file_close, 0, 0), 0);
	CHECK_EQ(tell(&w, unmap_first_page, 0, 0), 0);
	CHECK_EQ(fs->count[FUSE_RELEASE], 0);
	store(2 * PAGE, 'x');
	dismiss(&w);
	EVENTUALLY(fs->count[FUSE_RELEASE] == 1);
	CHECK_EQ(there(2 * PAGE), 'x');
	rawfs_stop(fs);
}

static long fork_and_store(long at, long byte)
{
	pid_t pid = fork();

	if (pid == 0) {
		the_map[at] = byte;
		_exit(0);
	}
	return exit_of(pid);
}

TEST(children_store_into_the_same)
{
	start_mapped(2 * PAGE);
	CHECK_EQ(tell(&w, fork_and_store, 5, 'x'), 0);
	CHECK_EQ(tell(&w, file_load, 5, 0), 'x');
	CHECK_EQ(tell(&w, file_read, 5, 0), 'x');
	sync_it();
	CHECK_EQ(there(5), 'x');
	stop();
}

static long make_writable(long pages, long b)
{
	return mprotect((void *)the_map, pages * PAGE, RW);
}

TEST(a_mapping_is_made_writable_later)
{
	prepare(0);
	start(2 * PAGE, O_RDWR);
	CHECK_EQ(tell(&w, file_map, 2, PROT_READ), 0);
	CHECK_EQ(tell(&w, make_writable, 2, 0), 0);
	store(0, 'x');
	sync_it();
	CHECK_EQ(there(0), 'x');
	stop();
}

static bool no_open(struct rawfs *server, struct rawfs_req *req)
{
	return req->in.opcode == FUSE_OPEN && reply(server, req, ENOSYS, NULL, 0);
}

TEST(servers_without_open_have_mappings)
{
	prepare(FUSE_NO_OPEN_SUPPORT);
	unheld = no_open;
	start(2 * PAGE, O_RDWR);
	CHECK_EQ(tell(&w, file_map, 2, RW), 0);
	store(PAGE, 'x');
	CHECK_EQ(tell(&w, file_close, 0, 0), 0);
	CHECK_EQ(tell(&w, file_unmap, 0, 0), 0);
	EVENTUALLY(there(PAGE) == 'x');
	CHECK_EQ(((struct fuse_write_in *)last(FUSE_WRITE))->fh, 0);
	CHECK(!asked(FUSE_RELEASE));
	stop();
}

/* The signal that a store ends with. */
static long signal_of_store(long at, long b)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		the_map[at] = 'x';
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST(there_is_nothing_behind_the_last_page)
{
	prepare(0);
	start(PAGE + 1, O_RDWR);
	CHECK_EQ(tell(&w, file_map, 3, RW), 0);
	CHECK_EQ(tell(&w, signal_of_store, 2 * PAGE - 1, 0), 0);
	CHECK_EQ(tell(&w, signal_of_store, 2 * PAGE, 0), SIGBUS);
	stop();
}

TEST(not_that_of_a_read_only_descriptor)
{
	prepare(0);
	start(2 * PAGE, O_RDONLY);
	CHECK_EQ(tell(&w, file_map, 2, RW), -EACCES);
	CHECK_EQ(tell(&w, file_map, 2, PROT_READ), 0);
	CHECK_EQ(tell(&w, make_writable, 2, 0), -EACCES);
	stop();
}

static long map_private(long pages, long b)
{
	the_map = mmap(NULL, pages * PAGE, RW, MAP_PRIVATE, the_file, 0);
	return the_map == MAP_FAILED ? -1 : 0;
}

TEST(stores_into_private_mappings_stay_there)
{
	prepare(0);
	start(2 * PAGE, O_RDWR);
	CHECK_EQ(tell(&w, map_private, 2, 0), 0);
	store(0, 'x');
	CHECK_EQ(tell(&w, file_load, 0, 0), 'x');
	CHECK_EQ(tell(&w, file_read, 0, 0), old(0));
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	CHECK_EQ(fs->count[FUSE_WRITE], 0);
	stop();
}

TEST(stores_and_reads_see_each_other)
{
	start_mapped(2 * PAGE);
	store(10, 'x');
	CHECK_EQ(tell(&w, file_read, 10, 0), 'x');
	CHECK_EQ(tell(&w, file_write, 10, 3), 3);
	CHECK_EQ(tell(&w, file_load, 11, 0), 'w');
	CHECK_EQ(there(12), 'w');
	/* What was stored before around it is kept. */
	store(20, 'y');
	CHECK_EQ(tell(&w, file_write, 21, 1), 1);
	sync_it();
	CHECK_EQ(there(20), 'y');
	CHECK_EQ(there(21), 'w');
	stop();
}

TEST(times_are_asked_for_after_pages_were_written)
{
	unsigned long before;

	start_mapped(PAGE);
	store(0, 'x');
	sync_it();
	before = fs->count[FUSE_GETATTR];
	CHECK_EQ(tell(&w, file_size, 0, 0), PAGE);
	CHECK_EQ(fs->count[FUSE_GETATTR], before + 1);
	stop();
}

TEST(a_direct_file_has_no_shared_mapping)
{
	prepare(0);
	fs->open_flags = FOPEN_DIRECT_IO;
	start(2 * PAGE, O_RDWR);
	CHECK_EQ(tell(&w, file_map, 2, RW), -ENODEV);
	CHECK_EQ(tell(&w, file_map, 2, PROT_READ), -ENODEV);
	CHECK_EQ(tell(&w, map_private, 2, 0), 0);
	stop();
}

TEST(a_direct_file_has_one_if_the_server_allows)
{
	prepare(FUSE_DIRECT_IO_ALLOW_MMAP);
	fs->open_flags = FOPEN_DIRECT_IO;
	start(2 * PAGE, O_RDWR);
	CHECK(((uint64_t)fs->init_in.flags2 << 32) & FUSE_DIRECT_IO_ALLOW_MMAP);
	CHECK_EQ(tell(&w, file_map, 2, RW), 0);
	store(10, 'x');
	/* Direct reads and writes see it, and are seen. */
	CHECK_EQ(tell(&w, file_read, 10, 0), 'x');
	CHECK_EQ(there(10), 'x');
	CHECK_EQ(tell(&w, file_write, 20, 3), 3);
	CHECK_EQ(tell(&w, file_load, 20, 0), 'w');
	store(30, 'y');
	CHECK_EQ(tell(&w, file_write, 40, 1), 1);
	sync_it();
	CHECK_EQ(there(30), 'y');
	CHECK_EQ(there(40), 'w');
	stop();
}
