// SPDX-License-Identifier: GPL-2.0
/* Files in the DAX window of a virtio-fs device: see daxfs.h. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/resource.h>
#include "daxfs.h"

static int open_file(int flags)
{
	int fd = open(rawfs_path(fs, "file"), flags, 0644);

	CHECK(fd >= 0);
	return fd;
}

/* Nothing was sent for data but what shows it in the window, so often. */
static void shown(unsigned long times)
{
	CHECK_EQ(dax_count("READ"), 0);
	CHECK_EQ(dax_count("WRITE"), 0);
	CHECK_EQ(dax_count("SETUPMAPPING"), times);
}

static char load(size_t at)
{
	return tell(&w, dax_load, at, 0);
}

static void store_there(size_t at, char byte)
{
	CHECK_EQ(tell(&w, dax_store, at, byte), 0);
}

static void no_memory_at(size_t at)
{
	CHECK_EQ(tell(&w, dax_load, at, 0), -EFAULT);
	CHECK_EQ(tell(&w, dax_store, at, 'x'), -EFAULT);
}

TEST(reads_within_the_size_ask_for_no_data)
{
	char *buf = malloc(2 * PIECE + 300);
	int fd;

	dax_start(2 * PIECE + 100);
	fd = open_file(O_RDONLY);
	CHECK_EQ(pread(fd, buf, 2 * PIECE + 300, 0), 2 * PIECE + 100);
	for (size_t at = 0; at < 2 * PIECE + 100; at += 50)
		CHECK_EQ(buf[at], dax_has_data(at, 2 * PIECE + 100) ? old(at) : 0);
	CHECK_EQ(pread(fd, buf, 4000, PIECE - 2000), 4000);
	CHECK_EQ(buf[0], old(PIECE - 2000));
	CHECK_EQ(buf[3999], old(PIECE + 1999));
	shown(3);
	close(fd);
	dax_stop();
}

TEST(writes_within_the_size_send_no_data)
{
	dax_start(2 * PIECE);
	CHECK_EQ(tell(&w, file_write, PIECE - 2000, 4000), 4000);
	CHECK_EQ(tell(&w, file_write, 2 * PIECE - 1, 1), 1);
	shown(2);
	CHECK_EQ(on_host("file", PIECE - 2001), old(PIECE - 2001));
	CHECK_EQ(on_host("file", PIECE - 2000), 'w');
	CHECK_EQ(on_host("file", PIECE + 1999), 'w');
	CHECK_EQ(on_host("file", PIECE + 2000), old(PIECE + 2000));
	CHECK_EQ(on_host("file", 2 * PIECE - 1), 'w');
	CHECK_EQ(tell(&w, file_size, 0, 0), 2 * PIECE);
	dax_stop();
}

TEST(mappings_send_no_data)
{
	dax_start_mapped(2 * PIECE, RW);
	CHECK_EQ(load(PIECE + 5), old(PIECE + 5));
	store_there(5, 'x');
	shown(2);
	CHECK_EQ(on_host("file", 5), 'x');
	CHECK_EQ(tell(&w, file_read, 5, 0), 'x');
	CHECK_EQ(tell(&w, file_write, 6, 1), 1);
	CHECK_EQ(load(6), 'w');
	shown(2);
	dax_stop();
}

TEST(what_makes_a_file_longer_is_sent)
{
	dax_start(100);
	CHECK_EQ(tell(&w, file_write, 90, 20), 20);
	CHECK_EQ(dax_count("WRITE"), 1);
	CHECK_EQ(tell(&w, file_size, 0, 0), 110);
	CHECK_EQ(on_host("file", 89), old(89));
	CHECK_EQ(on_host("file", 90), 'w');
	CHECK_EQ(on_host("file", 109), 'w');
	CHECK_EQ(tell(&w, file_read, 109, 0), 'w');
	CHECK_EQ(tell(&w, file_write, 90, 20), 20);
	CHECK_EQ(dax_count("WRITE"), 1);
	CHECK_EQ(dax_count("READ"), 0);
	dax_stop();
}

/* Until the file has this size: whatever size is seen, all of that is data, also in a mapping. */
static long check_growth(long size, long b)
{
	static char buf[256 * 1024];
	struct stat st;

	do {
		if (fstat(the_file, &st))
			return -1;
		if (st.st_size > 0 && dax_load(st.st_size - 1, 0) != 'w')
			return 1;
		if (pread(the_file, buf, st.st_size, 0) != st.st_size)
			return 2;
		for (off_t at = 0; at < st.st_size; at++)
			if (buf[at] != 'w')
				return 3;
	} while (st.st_size < size);
	return 0;
}

TEST(size_and_data_change_together)
{
	const int steps = 100, step_len = 1000;
	struct worker reader;

	RS_ONLY("WARNING fs/dax.c:452 in the kernel log");
	dax_start(0);
	reader = another(O_RDONLY, "file");
	CHECK_EQ(tell(&reader, file_map, steps * step_len / PAGE + 1, PROT_READ), 0);
	begin(&reader, check_growth, steps * step_len, 0);
	for (int i = 0; i < steps; i++)
		CHECK_EQ(tell(&w, file_write, i * step_len, step_len), step_len);
	CHECK_EQ(result(&reader), 0);
	CHECK_EQ(dax_count("WRITE"), steps);
	dismiss(&reader);
	dax_stop();
}

TEST(holes_are_zeroes_until_they_are_written)
{
	dax_start(0);
	CHECK_EQ(tell(&w, file_truncate, 2 * PIECE, 0), 0);
	CHECK_EQ(tell(&w, file_map, 2 * PIECE / PAGE, RW), 0);
	CHECK_EQ(load(PIECE), 0);
	CHECK_EQ(tell(&w, file_read, PIECE + 1, 0), 0);
	store_there(PIECE, 'x');
	CHECK_EQ(tell(&w, file_write, PIECE + PAGE, 1), 1);
	CHECK_EQ(on_host("file", PIECE), 'x');
	CHECK_EQ(on_host("file", PIECE + PAGE), 'w');
	CHECK_EQ(on_host("file", PIECE + 1), 0);
	shown(2);
	dax_stop();
}

TEST(nothing_is_read_or_written_where_there_is_nothing)
{
	char buf[10];
	int fd;

	dax_start(100);
	fd = open_file(O_RDWR);
	CHECK_EQ(pread(fd, buf, 0, 0), 0);
	CHECK_EQ(pwrite(fd, buf, 0, 0), 0);
	CHECK_EQ(pwrite(fd, buf, 0, 1000), 0);
	CHECK_EQ(pread(fd, buf, 10, 100), 0);
	CHECK_EQ(pread(fd, buf, 10, 1000), 0);
	CHECK_EQ(pread(fd, buf, 10, (off_t)1 << 40), 0);
	shown(0);
	CHECK_EQ(pread(fd, buf, 10, 95), 5);
	CHECK_EQ(tell(&w, file_size, 0, 0), 100);
	close(fd);
	dax_stop();
}

TEST(pages_behind_the_end_cannot_be_used)
{
	dax_start_mapped(PAGE + 100, RW);
	CHECK_EQ(tell(&w, file_map, 4, RW), 0);
	CHECK_EQ(load(PAGE + 99), old(PAGE + 99));
	no_memory_at(2 * PAGE);
	no_memory_at(3 * PAGE);
	dax_stop();
}

TEST(behind_the_end_the_last_page_is_zero)
{
	dax_start_mapped(2 * PAGE, RW);
	CHECK_EQ(load(1), old(1));
	CHECK_EQ(tell(&w, file_truncate, 100, 0), 0);
	CHECK_EQ(load(99), old(99));
	CHECK_EQ(load(100), 0);
	CHECK_EQ(load(PAGE - 1), 0);
	no_memory_at(PAGE);
	CHECK_EQ(tell(&w, file_truncate, 2 * PAGE, 0), 0);
	CHECK_EQ(load(100), 0);
	CHECK_EQ(load(PAGE), 0);
	dax_stop();
}

TEST(a_truncation_takes_mapped_pages_away)
{
	dax_start_mapped(2 * PIECE, RW);
	for (size_t at = 0; at < 2 * PIECE; at += PIECE / 2)
		store_there(at, 'x');
	CHECK_EQ(tell(&w, file_truncate, PAGE, 0), 0);
	CHECK_EQ(load(0), 'x');
	for (size_t at = PIECE / 2; at < 2 * PIECE; at += PIECE / 2)
		no_memory_at(at);
	CHECK_EQ(tell(&w, file_truncate, 2 * PIECE, 0), 0);
	CHECK_EQ(load(PIECE), 0);
	store_there(PIECE, 'y');
	CHECK_EQ(on_host("file", PIECE), 'y');
	dax_stop();
}

TEST(an_open_that_truncates_takes_mapped_pages_away)
{
	dax_start_mapped(2 * PAGE, RW);
	store_there(PAGE, 'x');
	close(open_file(O_WRONLY | O_TRUNC));
	no_memory_at(0);
	no_memory_at(PAGE);
	dax_stop();
}

TEST(a_truncation_on_the_host_is_seen_when_the_size_is_asked_for)
{
	struct stat st;

	RS_ONLY("WARNING mm/truncate.c:89 in the kernel log");
	dax_start_mapped(2 * PIECE, RW);
	store_there(PIECE, 'x');
	CHECK_EQ(truncate(dax_host("file"), 100), 0);
	EVENTUALLY(!stat(rawfs_path(fs, "file"), &st) && st.st_size == 100);
	no_memory_at(PIECE);
	CHECK_EQ(load(0), old(0));
	dax_stop();
}

static long punch(long at, long len)
{
	return fallocate(the_file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len);
}

TEST(a_hole_is_seen_by_who_has_mapped_it)
{
	dax_start_mapped(PIECE, RW);
	store_there(PAGE, 'x');
	store_there(3 * PAGE, 'y');
	CHECK_EQ(tell(&w, punch, PAGE, 2 * PAGE), 0);
	CHECK_EQ(dax_count("FALLOCATE"), 1);
	CHECK_EQ(load(PAGE - 1), old(PAGE - 1));
	CHECK_EQ(load(PAGE), 0);
	CHECK_EQ(load(3 * PAGE - 1), 0);
	CHECK_EQ(load(3 * PAGE), 'y');
	CHECK_EQ(tell(&w, file_read, PAGE, 0), 0);
	store_there(PAGE, 'z');
	CHECK_EQ(on_host("file", PAGE), 'z');
	CHECK_EQ(on_host("file", 2 * PAGE), 0);
	dax_stop();
}

/* While a page is pinned. */
static void waits_for_pins(step what, long a, long b, const char *request)
{
	struct worker pinner;

	dax_start_mapped(2 * PIECE, RW);
	pinner = another(O_RDWR, "file");
	CHECK_EQ(tell(&pinner, file_map, 2 * PIECE / PAGE, RW), 0);
	CHECK_EQ(tell(&pinner, dax_pin, PIECE, 0), 1);
	dax_recount();
	begin(&w, what, a, b);
	CHECK(waits(&w));
	CHECK_EQ(dax_count(request), 0);
	CHECK_EQ(tell(&pinner, dax_unpin, 0, 0), 0);
	CHECK_EQ(result(&w), 0);
	CHECK_EQ(dax_count(request), 1);
	dismiss(&pinner);
	dax_stop();
}

TEST(a_truncation_waits_for_who_has_pinned_pages)
{
	waits_for_pins(file_truncate, PAGE, 0, "SETATTR");
}

TEST(a_hole_waits_for_who_has_pinned_pages)
{
	waits_for_pins(punch, PIECE, PAGE, "FALLOCATE");
}

TEST(a_kill_ends_the_wait_for_pins)
{
	struct worker pinner;

	dax_start_mapped(PIECE, RW);
	pinner = another(O_RDWR, "file");
	CHECK_EQ(tell(&pinner, file_map, 1, RW), 0);
	CHECK_EQ(tell(&pinner, dax_pin, 0, 0), 1);
	begin(&w, file_truncate, 0, 0);
	CHECK(waits(&w));
	kill_worker(&w);
	CHECK_EQ(dax_count("SETATTR"), 0);
	CHECK_EQ(tell(&pinner, dax_load, 0, 0), old(0));
	dismiss(&pinner);
	dax_umount();
}

static long map_private(long pages, long b)
{
	the_map = mmap(NULL, pages * PAGE, RW, MAP_PRIVATE, the_file, 0);
	return the_map == MAP_FAILED ? -1 : 0;
}

TEST(a_private_mapping_keeps_its_changes)
{
	dax_start(PIECE);
	CHECK_EQ(tell(&w, map_private, PIECE / PAGE, 0), 0);
	CHECK_EQ(load(PAGE), old(PAGE));
	store_there(PAGE, 'x');
	store_there(2 * PAGE, 'x');
	CHECK_EQ(load(PAGE), 'x');
	CHECK_EQ(load(PAGE + 1), old(PAGE + 1));
	CHECK_EQ(on_host("file", PAGE), old(PAGE));
	CHECK_EQ(on_host("file", 2 * PAGE), old(2 * PAGE));
	CHECK_EQ(tell(&w, file_read, PAGE, 0), old(PAGE));
	put_on_host("file", 3 * PAGE, 'h');
	CHECK_EQ(load(3 * PAGE), 'h');
	shown(1);
	dax_stop();
}

static long store_in_child(long at, long byte)
{
	return IN_CHILD((the_map[at] = byte, 0));
}

TEST(children_have_the_same_mapping)
{
	dax_start_mapped(PIECE, RW);
	store_there(PAGE, 'p');
	CHECK_EQ(tell(&w, store_in_child, PAGE + 1, 'c'), 0);
	CHECK_EQ(tell(&w, store_in_child, 9 * PAGE, 'd'), 0);
	CHECK_EQ(load(PAGE), 'p');
	CHECK_EQ(load(PAGE + 1), 'c');
	CHECK_EQ(load(9 * PAGE), 'd');
	CHECK_EQ(on_host("file", 9 * PAGE), 'd');
	shown(1);
	dax_stop();
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

/*
 * How many faults it takes to store to each page of a piece that is mapped so many bytes behind where it
 * would be aligned.
 */
static long count_faults(long behind, long b)
{
	char *room = mmap(NULL, 3 * PIECE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *start = (char *)(((uintptr_t)room + PIECE - 1) & -PIECE) + behind;
	volatile char *map = mmap(start, PIECE, RW, MAP_SHARED | MAP_FIXED, the_file, PIECE);
	long before;

	if (map == MAP_FAILED)
		return -1;
	before = faults();
	for (size_t at = 0; at < PIECE; at += PAGE)
		map[at] = 'x';
	return faults() - before;
}

TEST(a_piece_that_is_mapped_aligned_takes_one_fault)
{
	const int pages = PIECE / PAGE;
	long got;

	dax_start_large(2);
	got = tell(&w, count_faults, 0, 0);
	printf("# aligned: %ld faults\n", got);
	CHECK(got >= 1 && got < pages / 8);
	got = tell(&w, count_faults, PAGE, 0);
	printf("# not aligned: %ld faults\n", got);
	CHECK(got >= pages && got < pages + pages / 8);
	CHECK_EQ(on_host("file", PIECE), 'x');
	CHECK_EQ(on_host("file", 2 * PIECE - PAGE), 'x');
	shown(1);
	dax_stop();
}

static long map_somewhere(long pages, long b)
{
	the_map = mmap(NULL, pages * PAGE, RW, MAP_SHARED, the_file, 0);
	return the_map == MAP_FAILED ? -1 : (long)((uintptr_t)the_map % PIECE);
}

TEST(mappings_are_aligned)
{
	dax_start(2 * PIECE);
	CHECK_EQ(tell(&w, map_somewhere, 2 * PIECE / PAGE, 0), 0);
	dax_stop();
}

TEST(the_first_store_asks_for_what_can_be_written)
{
	dax_start_mapped(2 * PIECE, RW);
	CHECK_EQ(load(0), old(0));
	CHECK_EQ(load(PAGE), old(PAGE));
	shown(1);
	store_there(0, 'x');
	store_there(5 * PAGE, 'x');
	CHECK_EQ(tell(&w, file_write, 7 * PAGE, 1), 1);
	shown(2);
	CHECK_EQ(on_host("file", 0), 'x');
	CHECK_EQ(load(PAGE), old(PAGE));
	CHECK_EQ(tell(&w, file_read, PIECE, 0), old(PIECE));
	shown(3);
	CHECK_EQ(tell(&w, file_write, PIECE, 1), 1);
	shown(4);
	dax_stop();
}

TEST(an_eviction_gives_all_back_at_once)
{
	dax_start_large(6);
	for (int i = 0; i < 6; i++)
		CHECK_EQ(tell(&w, file_read, i * PIECE, 0), 0);
	shown(6);
	dismiss(&w);
	drop_caches("2");
	EVENTUALLY(dax_count("RANGES_UNMAPPED") == 6);
	CHECK_EQ(dax_count("REMOVEMAPPING"), 1);
	dax_umount();
}

TEST(a_file_that_is_removed_stays_until_nobody_uses_it)
{
	dax_start_mapped(PIECE, RW);
	CHECK_EQ(unlink(rawfs_path(fs, "file")), 0);
	store_there(0, 'x');
	CHECK_EQ(tell(&w, file_close, 0, 0), 0);
	CHECK_EQ(load(0), 'x');
	CHECK_EQ(dax_count("RANGES_UNMAPPED"), 0);
	CHECK_EQ(tell(&w, file_unmap, 0, 0), 0);
	EVENTUALLY(dax_count("RANGES_UNMAPPED") == dax_count("RANGES_MAPPED"));
	dax_stop();
}

TEST(fsync_and_msync_ask_the_server)
{
	dax_start_mapped(PIECE, RW);
	store_there(0, 'x');
	CHECK_EQ(tell(&w, file_msync, MS_ASYNC, 0), 0);
	CHECK_EQ(dax_count("FSYNC"), 0);
	CHECK_EQ(tell(&w, file_msync, MS_SYNC, 0), 0);
	CHECK_EQ(dax_count("FSYNC"), 1);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	CHECK_EQ(dax_count("FSYNC"), 2);
	shown(1);
	dax_stop();
}

TEST(an_error_of_fsync_is_told_once)
{
	RS_ONLY("it believes any error of a device");
	dax_start_mapped(PIECE, RW);
	store_there(0, 'x');
	dax_order("error-huge", "FSYNC");
	CHECK_EQ(tell(&w, file_msync, MS_SYNC, 0), -EIO);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	CHECK_EQ(tell(&w, file_msync, MS_SYNC, 0), 0);
	dax_stop();
}

TEST(what_the_server_does_not_show_is_no_memory)
{
	RS_ONLY("it believes any error of a device");
	dax_start_mapped(PIECE, RW);
	dax_order("error-huge", "SETUPMAPPING");
	CHECK_EQ(tell(&w, dax_load, 0, 0), -EFAULT);
	CHECK_EQ(tell(&w, dax_load, 0, 0), old(0));
	dax_order("error-huge", "SETUPMAPPING");
	CHECK_EQ(tell(&w, dax_store, 0, 'x'), -EFAULT);
	CHECK_EQ(tell(&w, dax_load, 0, 0), old(0));
	store_there(0, 'x');
	dax_stop();
}

TEST(two_mappings_and_the_host_agree)
{
	struct worker other;

	dax_start_mapped(2 * PIECE, RW);
	other = another(O_RDWR, "file");
	CHECK_EQ(tell(&other, file_map, 2 * PIECE / PAGE, RW), 0);
	for (int i = 0; i < 20; i++) {
		size_t at = i % 2 * PIECE + i * 137;

		store_there(at, 'a' + i % 26);
		CHECK_EQ(tell(&other, dax_load, at, 0), 'a' + i % 26);
		CHECK_EQ(on_host("file", at), 'a' + i % 26);
		CHECK_EQ(tell(&other, dax_store, at, 'A' + i % 26), 0);
		CHECK_EQ(load(at), 'A' + i % 26);
		put_on_host("file", at, '0' + i % 10);
		CHECK_EQ(load(at), '0' + i % 10);
		CHECK_EQ(tell(&other, file_read, at, 0), '0' + i % 10);
	}
	shown(2);
	dismiss(&other);
	dax_stop();
}

/* Whether a file of this name is in the window, and sends no data, with this option. */
static void uses_dax(const char *option, const char *name, bool dax)
{
	struct statx st;
	char byte;
	int fd;

	dax_file(name, PAGE);
	dax_mount(option);
	fd = open(rawfs_path(fs, name), O_RDONLY);
	CHECK_EQ(pread(fd, &byte, 1, 0), 1);
	CHECK_EQ(byte, old(0));
	CHECK_EQ(dax_count("SETUPMAPPING"), dax);
	CHECK_EQ(dax_count("READ"), !dax);
	CHECK_EQ(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st), 0);
	CHECK_EQ(!!(st.stx_attributes & STATX_ATTR_DAX), dax);
	close(fd);
	dax_umount();
}

TEST(the_mount_option_says_which_files_use_it)
{
	uses_dax("dax=always", "file", true);
	uses_dax("dax", "file", true);
	uses_dax("dax=never", "file.dax", false);
}

TEST(the_server_says_which_files_use_it)
{
	uses_dax("dax=inode", "file", false);
	uses_dax("dax=inode", "file.dax", true);
	uses_dax("", "file.dax", true);
}
