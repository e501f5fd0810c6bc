// SPDX-License-Identifier: GPL-2.0
/* Writes that stay in the page cache (WRITEBACK_CACHE): data, size and times are the kernel's. */
#include <fcntl.h>
#include <time.h>
#include "mapped.h"
#include "notify.h"

/* A mount with the write-back cache, and a file of so many bytes that a worker has opened so. */
static void start_wanting(uint64_t flags, size_t size, int how)
{
	prepare(FUSE_WRITEBACK_CACHE | flags);
	start(size, how);
	CHECK(fs->init_in.flags & FUSE_WRITEBACK_CACHE);
}

static void start_cached(size_t size)
{
	start_wanting(0, size, O_RDWR);
}

static void write_at(size_t at, size_t len)
{
	CHECK_EQ(tell(&w, file_write, at, len), len);
}

static void fsync_it(void)
{
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
}

static void close_it(void)
{
	CHECK_EQ(tell(&w, file_close, 0, 0), 0);
}

/* The only WRITE there has been. */
static void wrote_once(uint64_t offset, uint32_t size)
{
	look_at_writes();
	CHECK_EQ(nwrote, 1);
	was(0, offset, size);
}

TEST(a_write_is_not_sent)
{
	start_cached(4 * PAGE);
	write_at(PAGE, PAGE);
	CHECK_EQ(tell(&w, file_read, PAGE, 0), 'w');
	CHECK_EQ(fs->count[FUSE_WRITE], 0);
	fsync_it();
	wrote_once(PAGE, PAGE);
	CHECK_EQ(wrote[0].write_flags, FUSE_WRITE_CACHE);
	CHECK_EQ(wrote[0].fh, 100);
	CHECK_EQ(there(PAGE), 'w');
	CHECK_EQ(there(2 * PAGE - 1), 'w');
	CHECK_EQ(there(2 * PAGE), old(2 * PAGE));
	stop();
}

TEST(small_writes_are_sent_together)
{
	start_cached(0);
	for (int i = 0; i < 100; i++)
		write_at(i * 100, 100);
	fsync_it();
	wrote_once(0, 10000);
	CHECK_EQ(there(9999), 'w');
	CHECK_EQ(fs->node[NODE].size, 10000);
	stop();
}

TEST(a_part_of_a_page_that_is_not_cached_is_read_once)
{
	start_cached(4 * PAGE);
	write_at(PAGE + 10, 3);
	CHECK_EQ(fs->count[FUSE_READ], 1);
	CHECK_EQ(((struct fuse_read_in *)last(FUSE_READ))->offset, PAGE);
	write_at(PAGE + 100, 3);
	CHECK_EQ(fs->count[FUSE_READ], 1);
	CHECK_EQ(tell(&w, file_read, PAGE + 9, 0), old(PAGE));
	fsync_it();
	CHECK_EQ(there(PAGE + 9), old(PAGE));
	CHECK_EQ(there(PAGE + 10), 'w');
	CHECK_EQ(there(PAGE + 13), old(PAGE));
	CHECK_EQ(there(PAGE + 100), 'w');
	stop();
}

TEST(a_page_that_cannot_be_read_is_not_written_in_part)
{
	start_cached(4 * PAGE);
	hold(FUSE_READ);
	begin(&w, file_write, PAGE + 10, 3);
	EVENTUALLY(held() == 1);
	hold(0);
	let_go(fs, 0, EBADF);
	CHECK_EQ(result(&w), -EBADF);
	fsync_it();
	CHECK_EQ(fs->count[FUSE_WRITE], 0);
	stop();
}

TEST(a_whole_page_is_not_read)
{
	start_cached(4 * PAGE);
	write_at(PAGE, 2 * PAGE);
	CHECK_EQ(fs->count[FUSE_READ], 0);
	stop();
}

TEST(a_page_behind_the_end_is_not_read)
{
	start_cached(100);
	write_at(2 * PAGE + 10, 3);
	CHECK_EQ(fs->count[FUSE_READ], 0);
	CHECK_EQ(tell(&w, file_size, 0, 0), 2 * PAGE + 13);
	CHECK_EQ(fs->node[NODE].size, 100);
	/* The hole is of zeros. */
	CHECK_EQ(tell(&w, file_read, 50, 0), old(50));
	CHECK_EQ(tell(&w, file_read, 100, 0), 0);
	CHECK_EQ(tell(&w, file_read, PAGE + 5, 0), 0);
	CHECK_EQ(tell(&w, file_read, 2 * PAGE + 9, 0), 0);
	CHECK_EQ(tell(&w, file_read, 2 * PAGE + 10, 0), 'w');
	CHECK_EQ(tell(&w, file_size, 0, 0), 2 * PAGE + 13);
	fsync_it();
	CHECK_EQ(fs->node[NODE].size, 2 * PAGE + 13);
	CHECK_EQ(there(2 * PAGE + 9), 0);
	CHECK_EQ(there(2 * PAGE + 10), 'w');
	stop();
}

static long append(long len, long b)
{
	char buf[128];

	memset(buf, b, len);
	return write(the_file, buf, len);
}

TEST(appending_descriptors_share_an_end)
{
	struct worker second;

	start_wanting(0, 10, O_WRONLY | O_APPEND);
	second = another(O_WRONLY | O_APPEND, "file");
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(tell(&w, append, 5, 'a'), 5);
		CHECK_EQ(tell(&second, append, 5, 'b'), 5);
	}
	CHECK_EQ(fs->count[FUSE_WRITE], 0);
	CHECK_EQ(tell(&second, file_size, 0, 0), 40);
	fsync_it();
	CHECK_EQ(fs->node[NODE].size, 40);
	CHECK(!memcmp(fs->node[NODE].data + 10, "aaaaabbbbbaaaaabbbbbaaaaabbbbb", 30));
	dismiss(&second);
	stop();
}

TEST(a_descriptor_that_is_only_written_reads_for_parts_of_pages)
{
	start_wanting(0, 2 * PAGE, O_WRONLY);
	write_at(PAGE + 10, 3);
	CHECK_EQ(((struct fuse_read_in *)last(FUSE_READ))->fh, 100);
	fsync_it();
	CHECK_EQ(there(PAGE + 9), old(PAGE));
	CHECK_EQ(there(PAGE + 10), 'w');
	stop();
}

TEST(size_and_times_are_the_kernels)
{
	long mtime;

	start_cached(100);
	write_at(100, 50);
	mtime = tell(&w, file_mtime, 0, 0);
	CHECK(mtime > time(NULL) - 60);
	fs->node[NODE].mtime = 77;
	CHECK_EQ(notify_inval_inode(fs, NODE, -1, 0), 0);
	CHECK_EQ(tell(&w, file_size, 0, 0), 150);
	CHECK_EQ(tell(&w, file_mtime, 0, 0), mtime);
	CHECK(asked(FUSE_GETATTR));
	/* Also when nothing is dirty. */
	fsync_it();
	fs->node[NODE].mtime = 77;
	fs->node[NODE].size = 99;
	CHECK_EQ(notify_inval_inode(fs, NODE, -1, 0), 0);
	CHECK_EQ(tell(&w, file_size, 0, 0), 150);
	CHECK_EQ(tell(&w, file_mtime, 0, 0), mtime);
	stop();
}

TEST(another_mtime_is_the_same_data_even_with_auto_inval_data)
{
	unsigned long before;

	start_wanting(FUSE_AUTO_INVAL_DATA, PAGE, O_RDWR);
	CHECK_EQ(tell(&w, file_read, 0, 0), old(0));
	before = fs->count[FUSE_READ];
	fs->node[NODE].mtime = 77;
	CHECK_EQ(notify_inval_inode(fs, NODE, -1, 0), 0);
	CHECK_EQ(tell(&w, file_read, 0, 0), old(0));
	CHECK_EQ(fs->count[FUSE_READ], before);
	stop();
}

/* The latest SETATTR sets the time of modification to this. */
static void told_mtime(long mtime)
{
	struct fuse_setattr_in *in = last(FUSE_SETATTR);

	CHECK((in->valid & (FATTR_MTIME | FATTR_CTIME)) == (FATTR_MTIME | FATTR_CTIME));
	CHECK_EQ(in->mtime, mtime);
	CHECK(in->valid & FATTR_FH);
	CHECK_EQ(in->fh, 100);
}

TEST(fsync_sends_data_then_times_then_itself)
{
	start_cached(4 * PAGE);
	write_at(PAGE, PAGE);
	fsync_it();
	told_mtime(tell(&w, file_mtime, 0, 0));
	CHECK(last_request(FUSE_WRITE) < last_request(FUSE_SETATTR));
	CHECK(last_request(FUSE_SETATTR) < last_request(FUSE_FSYNC));
	/* Once. */
	fsync_it();
	CHECK_EQ(fs->count[FUSE_SETATTR], 1);
	CHECK_EQ(fs->count[FUSE_WRITE], 1);
	stop();
}

TEST(close_sends_data_and_times_before_flush)
{
	start_cached(4 * PAGE);
	write_at(PAGE, PAGE);
	close_it();
	told_mtime(fs->node[NODE].mtime);
	CHECK_EQ(there(PAGE), 'w');
	CHECK(last_request(FUSE_WRITE) < last_request(FUSE_FLUSH));
	CHECK(last_request(FUSE_SETATTR) < last_request(FUSE_FLUSH));
	CHECK_EQ(fs->count[FUSE_WRITE], 1);
	stop();
}

TEST(close_waits_for_the_data)
{
	start_cached(4 * PAGE);
	write_at(PAGE, PAGE);
	hold(FUSE_WRITE);
	begin(&w, file_close, 0, 0);
	EVENTUALLY(held() == 1);
	CHECK(waits(&w));
	CHECK_EQ(fs->count[FUSE_FLUSH], 0);
	let_all_go(fs);
	CHECK_EQ(result(&w), 0);
	CHECK_EQ(fs->count[FUSE_FLUSH], 1);
	stop();
}

static long sync_all(long a, long b)
{
	sync();
	return 0;
}

TEST(sync_starts_writing)
{
	start_cached(4 * PAGE);
	write_at(PAGE, PAGE);
	hold(FUSE_WRITE);
	CHECK_EQ(tell(&w, sync_all, 0, 0), 0);
	EVENTUALLY(held() == 1);
	let_all_go(fs);
	EVENTUALLY(asked(FUSE_SETATTR));
	CHECK(last_request(FUSE_WRITE) < last_request(FUSE_SETATTR));
	CHECK_EQ(there(PAGE), 'w');
	CHECK_EQ(fs->count[FUSE_WRITE], 1);
	CHECK_EQ(fs->count[FUSE_FSYNC], 0);
	stop();
}

/* Data of which the server answers the WRITE with an error. */
static void write_in_vain(int error)
{
	write_at(PAGE, PAGE);
	hold(FUSE_WRITE);
	CHECK_EQ(tell(&w, file_start, 0, 0), 0);
	EVENTUALLY(held() == 1);
	hold(0);
	let_go(fs, 0, error);
}

TEST(an_error_is_told_once_by_each_descriptor)
{
	struct worker second;

	start_cached(4 * PAGE);
	second = another(O_RDWR, "file");
	write_in_vain(ENOSPC);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), -ENOSPC);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	CHECK_EQ(tell(&second, file_fsync, 0, 0), -ENOSPC);
	CHECK_EQ(tell(&second, file_fsync, 0, 0), 0);
	close_it();
	dismiss(&second);
	stop();
}

TEST(an_error_is_told_by_close)
{
	start_cached(4 * PAGE);
	write_in_vain(ENOSPC);
	CHECK_EQ(tell(&w, file_close, 0, 0), -ENOSPC);
	stop();
}

TEST(a_truncation_drops_what_is_behind)
{
	start_cached(0);
	write_at(0, 3 * PAGE);
	CHECK_EQ(tell(&w, file_truncate, PAGE + 10, 0), 0);
	CHECK_EQ(tell(&w, file_size, 0, 0), PAGE + 10);
	fsync_it();
	CHECK_EQ(fs->node[NODE].size, PAGE + 10);
	look_at_writes();
	for (int i = 0; i < nwrote; i++)
		CHECK(wrote[i].offset + wrote[i].size <= PAGE + 10);
	CHECK_EQ(there(PAGE), 'w');
	CHECK_EQ(tell(&w, file_truncate, 2 * PAGE, 0), 0);
	CHECK_EQ(tell(&w, file_read, PAGE + 10, 0), 0);
	stop();
}

static long open_truncating(long a, long b)
{
	int fd = open(rawfs_path(fs, "file"), O_RDWR | O_TRUNC);

	return fd < 0 ? -1 : close(fd);
}

TEST(an_open_that_truncates_drops_all)
{
	start_cached(0);
	write_at(0, 3 * PAGE);
	/* Else an open has it written. */
	fs->open_flags = FOPEN_KEEP_CACHE;
	CHECK_EQ(tell(&w, open_truncating, 0, 0), 0);
	CHECK_EQ(tell(&w, file_size, 0, 0), 0);
	fsync_it();
	CHECK_EQ(fs->count[FUSE_WRITE], 0);
	CHECK_EQ(fs->node[NODE].size, 0);
	/* Nor is what was there seen again. */
	CHECK_EQ(tell(&w, file_truncate, 3 * PAGE, 0), 0);
	CHECK_EQ(tell(&w, file_read, PAGE, 0), 0);
	CHECK_EQ(tell(&w, file_read, 2 * PAGE + 5, 0), 0);
	stop();
}

TEST(an_open_that_truncates_at_once_waits_for_writes)
{
	struct worker second;

	start_wanting(FUSE_ATOMIC_O_TRUNC, 4 * PAGE, O_RDWR);
	second = another(O_RDWR, "file");
	write_at(PAGE, PAGE);
	hold(FUSE_WRITE);
	CHECK_EQ(tell(&w, file_start, 0, 0), 0);
	EVENTUALLY(held() == 1);
	begin(&second, open_truncating, 0, 0);
	CHECK(waits(&second));
	CHECK_EQ(fs->count[FUSE_OPEN], 2);
	let_all_go(fs);
	CHECK_EQ(result(&second), 0);
	CHECK_EQ(fs->count[FUSE_OPEN], 3);
	CHECK_EQ(tell(&w, file_size, 0, 0), 0);
	dismiss(&second);
	stop();
}

TEST(an_open_loses_nothing)
{
	struct worker second;

	start_cached(4 * PAGE);
	write_at(PAGE, PAGE);
	second = another(O_RDONLY, "file");
	CHECK_EQ(tell(&second, file_read, PAGE, 0), 'w');
	CHECK_EQ(there(PAGE), 'w');
	dismiss(&second);
	stop();
}

TEST(data_that_the_server_calls_stale_is_written_first)
{
	start_cached(4 * PAGE);
	write_at(PAGE, 10);
	CHECK_EQ(notify_inval_inode(fs, NODE, 0, 0), 0);
	CHECK_EQ(there(PAGE), 'w');
	fs->node[NODE].data[PAGE + 10] = '!';
	CHECK_EQ(notify_inval_inode(fs, NODE, 0, 0), 0);
	CHECK_EQ(tell(&w, file_read, PAGE + 10, 0), '!');
	CHECK_EQ(tell(&w, file_read, PAGE, 0), 'w');
	stop();
}

TEST(a_direct_read_sees_what_is_not_written)
{
	struct worker direct;

	start_cached(4 * PAGE);
	direct = another(O_RDWR | O_DIRECT, "file");
	write_at(PAGE, PAGE);
	CHECK_EQ(tell(&direct, file_read, PAGE, 0), 'w');
	CHECK_EQ(there(PAGE), 'w');
	dismiss(&direct);
	stop();
}

TEST(a_write_into_a_page_with_the_server_waits)
{
	struct worker second;

	RS_ONLY("writes into pages being written back");
	start_cached(4 * PAGE);
	second = another(O_RDWR, "file");
	write_at(PAGE, 10);
	hold(FUSE_WRITE);
	CHECK_EQ(tell(&w, file_start, 0, 0), 0);
	EVENTUALLY(held() == 1);
	begin(&second, file_write, PAGE + 20, 10);
	CHECK(waits(&second));
	CHECK_EQ(held(), 1);
	let_all_go(fs);
	CHECK_EQ(result(&second), 10);
	fsync_it();
	CHECK_EQ(there(PAGE + 9), 'w');
	CHECK_EQ(there(PAGE + 10), old(PAGE));
	CHECK_EQ(there(PAGE + 20), 'w');
	dismiss(&second);
	stop();
}

TEST(stores_and_writes_see_each_other)
{
	start_cached(4 * PAGE);
	CHECK_EQ(tell(&w, file_map, 4, RW), 0);
	write_at(PAGE, 10);
	CHECK_EQ(tell(&w, file_load, PAGE, 0), 'w');
	store(PAGE + 10, 'x');
	CHECK_EQ(tell(&w, file_read, PAGE + 10, 0), 'x');
	CHECK_EQ(fs->count[FUSE_WRITE], 0);
	fsync_it();
	CHECK_EQ(there(PAGE + 9), 'w');
	CHECK_EQ(there(PAGE + 10), 'x');
	stop();
}

static long set_mtime(long seconds, long b)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = seconds } };

	return futimens(the_file, times);
}

TEST(a_time_that_is_set_after_a_write_stays)
{
	start_cached(4 * PAGE);
	write_at(PAGE, 10);
	CHECK_EQ(tell(&w, set_mtime, 77, 0), 0);
	CHECK_EQ(tell(&w, file_mtime, 0, 0), 77);
	CHECK_EQ(fs->node[NODE].mtime, 77);
	CHECK(last_request(FUSE_WRITE) < last_request(FUSE_SETATTR));
	fsync_it();
	close_it();
	CHECK_EQ(fs->node[NODE].mtime, 77);
	stop();
}

static long set_mode(long mode, long b)
{
	return fchmod(the_file, mode);
}

TEST(a_mode_is_set_behind_the_data)
{
	start_cached(4 * PAGE);
	write_at(PAGE, 10);
	CHECK_EQ(tell(&w, set_mode, 0600, 0), 0);
	CHECK(last_request(FUSE_WRITE) < last_request(FUSE_SETATTR));
	CHECK_EQ(fs->node[NODE].mode & 0777, 0600);
	stop();
}

TEST(a_renamed_file_keeps_its_data)
{
	struct stat st;

	start_cached(0);
	write_at(0, PAGE);
	CHECK_EQ(rename(rawfs_path(fs, "file"), rawfs_path(fs, "dir/other")), 0);
	CHECK_EQ(stat(rawfs_path(fs, "dir/other"), &st), 0);
	CHECK_EQ(st.st_size, PAGE);
	close_it();
	CHECK_EQ(fs->node[NODE].size, PAGE);
	CHECK_EQ(there(0), 'w');
	stop();
}

TEST(an_unlinked_file_is_still_written)
{
	start_cached(0);
	write_at(0, PAGE);
	CHECK_EQ(unlink(rawfs_path(fs, "file")), 0);
	CHECK_EQ(tell(&w, file_read, 7, 0), 'w');
	fsync_it();
	CHECK_EQ(there(7), 'w');
	close_it();
	stop();
}

TEST(an_unlinked_file_whose_writer_is_killed_is_still_written)
{
	start_cached(0);
	write_at(0, PAGE);
	CHECK_EQ(unlink(rawfs_path(fs, "file")), 0);
	write_at(PAGE, PAGE);
	CHECK_EQ(fs->count[FUSE_WRITE], 0);
	kill_worker(&w);
	/* It may have other names there. */
	EVENTUALLY(asked(FUSE_FORGET));
	CHECK_EQ(there(7), 'w');
	CHECK_EQ(there(PAGE + 7), 'w');
	CHECK(last_request(FUSE_WRITE) < last_request(FUSE_RELEASE));
	CHECK(last_request(FUSE_RELEASE) < last_request(FUSE_FORGET));
	rawfs_stop(fs);
}

static long become_nobody(long a, long b)
{
	return setgid(65534) || setuid(65534) ? -1 : 0;
}

/* A file of nobody's with set-id bits, which nobody has opened. */
static void start_with_set_ids(uint64_t flags)
{
	prepare(FUSE_WRITEBACK_CACHE | flags);
	rawfs_start(fs, ",allow_other");
	fs->node[NODE].mode = S_IFREG | 06777;
	fs->node[NODE].size = 2 * PAGE;
	w = worker(fs);
	CHECK_EQ(tell(&w, become_nobody, 0, 0), 0);
	CHECK_EQ(tell(&w, file_open, O_RDWR, (long)"file"), 0);
}

TEST(the_first_write_drops_set_ids)
{
	start_with_set_ids(0);
	write_at(0, PAGE);
	CHECK(((struct fuse_setattr_in *)last(FUSE_SETATTR))->valid & FATTR_MODE);
	CHECK_EQ(fs->node[NODE].mode, S_IFREG | 0777);
	write_at(PAGE, PAGE);
	CHECK_EQ(fs->count[FUSE_SETATTR], 1);
	stop();
}

TEST(a_server_that_drops_set_ids_is_told_at_once)
{
	start_with_set_ids(FUSE_HANDLE_KILLPRIV_V2);
	write_at(0, PAGE);
	CHECK(((struct fuse_write_in *)last(FUSE_WRITE))->write_flags & FUSE_WRITE_KILL_SUIDGID);
	for (int i = 0; i < nseen; i++)
		if (seen[i].in.opcode == FUSE_SETATTR)
			CHECK(!(((struct fuse_setattr_in *)seen[i].body)->valid & FATTR_MODE));
	stop();
}
