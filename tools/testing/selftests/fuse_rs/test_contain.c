// SPDX-License-Identifier: GPL-2.0
/* A server that holds WRITEs of pages harms nobody but those who use its files. */
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include "mapped.h"

static struct worker other;

static void begin_held(void)
{
	start_mapped(4 * PAGE);
	other = another(O_RDONLY, "file");
	store_and_hold(PAGE, 'x');
}

static void end(void)
{
	let_all_go(fs);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	CHECK_EQ(there(PAGE), 'x');
	dismiss(&other);
	stop();
}

static long sync_all(long a, long b)
{
	sync();
	return 0;
}

TEST(sync_does_not_wait)
{
	begin_held();
	CHECK_EQ(tell(&other, sync_all, 0, 0), 0);
	/* Nor with what is not with the server yet. */
	store(3 * PAGE, 'y');
	CHECK_EQ(tell(&other, sync_all, 0, 0), 0);
	end();
}

static long sync_root(long a, long b)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY), r = syncfs(fd);

	close(fd);
	return r;
}

TEST(syncfs_of_others_does_not_wait)
{
	begin_held();
	CHECK_EQ(tell(&other, sync_root, 0, 0), 0);
	end();
}

static long drop(long a, long b)
{
	drop_caches("3");
	return 0;
}

TEST(drop_caches_does_not_wait)
{
	begin_held();
	CHECK_EQ(tell(&other, drop, 0, 0), 0);
	end();
}

static long compact(long a, long b)
{
	write_file("/proc/sys/vm/compact_memory", "1");
	return 0;
}

TEST(compaction_does_not_wait)
{
	RS_ONLY("pages are under write-back until the server answers");
	if (access("/proc/sys/vm/compact_memory", W_OK))
		SKIP("no compaction");
	begin_held();
	CHECK_EQ(tell(&other, compact, 0, 0), 0);
	end();
}

TEST(munmap_does_not_wait)
{
	RS_ONLY("waits for the pages");
	begin_held();
	CHECK_EQ(tell(&w, file_unmap, 0, 0), 0);
	end();
}

/*
 * A process with nothing but the mapping has stored and is gone, and the WRITE is held. Of a
 * descriptor it would wait, as close does.
 */
static void have_stored(void)
{
	start_mapped(4 * PAGE);
	CHECK_EQ(tell(&w, file_close, 0, 0), 0);
	hold(FUSE_WRITE);
	store(2 * PAGE, 'x');
	dismiss(&w);
	EVENTUALLY(held() == 1);
}

TEST(an_exit_does_not_wait)
{
	RS_ONLY("waits for the pages");
	have_stored();
	drop_caches("3");
	CHECK_EQ(fs->count[FUSE_RELEASE], 0);
	let_all_go(fs);
	EVENTUALLY(fs->count[FUSE_RELEASE] == 1);
	CHECK_EQ(there(2 * PAGE), 'x');
	rawfs_stop(fs);
}

static bool has_ended(void)
{
	struct pollfd device = { .fd = fs->fd, .events = POLLIN };

	return poll(&device, 1, 0) == 1 && device.revents & POLLERR;
}

TEST(what_is_with_the_server_outlives_the_mount)
{
	RS_ONLY("the exit waits for the pages");
	have_stored();
	CHECK_EQ(umount(fs->mnt), 0);
	w = worker(fs);
	CHECK_EQ(tell(&w, sync_all, 0, 0), 0);
	CHECK_EQ(tell(&w, drop, 0, 0), 0);
	dismiss(&w);
	CHECK(!has_ended());
	let_all_go(fs);
	CHECK_EQ(there(2 * PAGE), 'x');
	/* Then the file system goes. */
	EVENTUALLY(has_ended());
}

static long use_another_mount(long a, long b)
{
	struct rawfs *second = rawfs_wanting(0);
	char byte = 'b';
	int fd;

	rawfs_start(second, "");
	fd = open(rawfs_path(second, "file"), O_RDWR);
	if (fd < 0 || pwrite(fd, &byte, 1, 0) != 1 || fsync(fd) || close(fd))
		return -1;
	rawfs_stop(second);
	return 0;
}

TEST(other_mounts_are_not_held_up)
{
	begin_held();
	CHECK_EQ(tell(&other, use_another_mount, 0, 0), 0);
	end();
}

static long status(long a, long b)
{
	struct statfs st;

	return statfs(fs->mnt, &st);
}

TEST(other_requests_are_not_held_up)
{
	begin_held();
	CHECK_EQ(tell(&other, status, 0, 0), 0);
	CHECK_EQ(tell(&other, file_read, 3 * PAGE, 0), old(3 * PAGE));
	end();
}

static long number_in(const char *path, const char *key)
{
	char line[128];
	long number = -1;
	FILE *f = fopen(path, "r");

	if (!f)
		FAIL("no %s", path);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			sscanf(line + strlen(key), "%ld", &number);
	fclose(f);
	return number;
}

/* Kilobytes of pages that are being written. */
static long under_writeback(const char *device)
{
	char path[96];

	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	snprintf(path, sizeof(path), "/sys/kernel/debug/bdi/%s/stats", device);
	return number_in(path, "BdiWriteback:");
}

/* Kilobytes of the pages that are held. */
static long held_kilobytes(void)
{
	long bytes = 0;

	for (int i = 0; i < held(); i++)
		bytes += ((struct fuse_write_in *)held_body(i))->size;
	return bytes / 1024;
}

/* The kernel counts on each CPU, and what it shows is up to 15 pages of each off. */
TEST(held_pages_count_as_written_back)
{
	long off = 15 * 4 * sysconf(_SC_NPROCESSORS_ONLN);
	char device[32];

	if (off >= 128)
		SKIP("too many CPUs");
	prepare(0);
	/* They may come one by one. */
	fs->init_out.max_background = fs->init_out.congestion_threshold = 100;
	start(64 * PAGE, O_RDWR);
	CHECK_EQ(tell(&w, file_map, 64, RW), 0);
	strcpy(device, bdi());
	hold(FUSE_WRITE);
	for (int page = 0; page < 64; page++)
		store(page * PAGE, 'x');
	CHECK_EQ(tell(&w, file_start, 0, 0), 0);
	EVENTUALLY(held_kilobytes() == 256);
	CHECK(under_writeback(device) >= 256 - off);
	hold(0);
	let_go(fs, 0, EIO);
	let_all_go(fs);
	EVENTUALLY(under_writeback(device) <= off);
	stop();
}

TEST(a_mount_may_have_a_hundredth_of_what_is_dirty)
{
	char path[64];

	begin_held();
	snprintf(path, sizeof(path), "/sys/class/bdi/%s/max_ratio", bdi());
	CHECK_EQ(number_in(path, ""), 1);
	snprintf(path, sizeof(path), "/sys/class/bdi/%s/strict_limit", bdi());
	CHECK_EQ(number_in(path, ""), 1);
	end();
}

/* Those who wait: a store, an fsync, a truncation. */
static struct worker storing, syncing, cutting;

static void have_three_wait(void)
{
	start_mapped(4 * PAGE);
	storing = another(O_RDWR, "file");
	syncing = another(O_RDWR, "file");
	cutting = another(O_RDWR, "file");
	CHECK_EQ(tell(&storing, file_map, 4, RW), 0);
	store_and_hold(PAGE, 'x');
	begin(&storing, file_store, PAGE + 1, 'y');
	begin(&syncing, file_fsync, 0, 0);
	CHECK(waits(&storing));
	CHECK(waits(&syncing));
	begin(&cutting, file_truncate, PAGE, 0);
	CHECK(waits(&cutting));
}

TEST(a_forced_unmount_ends_all_waits)
{
	have_three_wait();
	umount2(fs->mnt, MNT_FORCE);
	CHECK(result(&syncing) < 0);
	CHECK(result(&cutting) < 0);
	CHECK_EQ(result(&storing), 0);
	dismiss(&storing);
	dismiss(&syncing);
	dismiss(&cutting);
	dismiss(&w);
}

TEST(stores_after_the_end_are_lost_and_told)
{
	begin_held();
	umount2(fs->mnt, MNT_FORCE);
	CHECK_EQ(tell(&w, file_store, 3 * PAGE, 'y'), 0);
	CHECK(tell(&w, file_fsync, 0, 0) < 0);
	CHECK(tell(&w, file_msync, MS_SYNC, 0) < 0);
	dismiss(&w);
	dismiss(&other);
}

/* The server does not even take requests. */
static bool stalls(struct rawfs *server, struct rawfs_req *req)
{
	if (req->in.opcode != FUSE_STATFS)
		return false;
	for (;;)
		pause();
}

TEST(a_server_that_takes_nothing_holds_nobody_up)
{
	struct worker third;

	begin_held();
	let_all_go(fs);
	third = another(O_RDONLY, "dir");
	unheld = stalls;
	begin(&third, status, 0, 0);
	EVENTUALLY(fs->count[FUSE_STATFS] == 1);
	store(2 * PAGE, 'y');
	CHECK_EQ(tell(&w, file_start, 0, 0), 0);
	CHECK_EQ(tell(&other, sync_all, 0, 0), 0);
	CHECK_EQ(tell(&other, drop, 0, 0), 0);
	CHECK_EQ(tell(&other, use_another_mount, 0, 0), 0);
	umount2(fs->mnt, MNT_FORCE);
	CHECK(result(&third) < 0);
	CHECK(tell(&w, file_fsync, 0, 0) < 0);
	dismiss(&third);
	dismiss(&other);
	dismiss(&w);
}
