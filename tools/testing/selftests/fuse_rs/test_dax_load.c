// SPDX-License-Identifier: GPL-2.0
/* A DAX window that is too small, or goes away, under load: see daxfs.h. */
#include <dirent.h>
#include <fcntl.h>
#include <time.h>
#include "daxfs.h"

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Opens a file under the mount and maps so many pieces of it. */
static void use_file(const char *name, int pieces)
{
	the_file = open(rawfs_path(fs, name), O_RDWR);
	CHECK(the_file >= 0);
	the_map = mmap(NULL, (size_t)pieces * PIECE, RW, MAP_SHARED, the_file, 0);
	CHECK(the_map != MAP_FAILED);
}

#define WORKERS 4
#define PIECES 16 /* of each worker: together eight times the window */
#define STEPS 250

static struct stall {
	long worst;
} *stalls;

/*
 * Changes bytes of its own pieces, each time one that it has not changed before, by all ways, and
 * checks others that it has changed.
 */
static void use_pieces(int which)
{
	unsigned char wanted[PIECES][STEPS] = {};
	unsigned int seed = which;
	char name[16];

	snprintf(name, sizeof(name), "load%d", which);
	use_file(name, PIECES);
	for (int i = 0; i < STEPS; i++) {
		int piece = rand_r(&seed) % PIECES, other = rand_r(&seed) % PIECES;
		size_t start = (size_t)piece * PIECE + i * 5000;
		unsigned char byte = 1 + rand_r(&seed) % 255, found;
		long began = now_ms();

		wanted[piece][i] = byte;
		if (i % 2)
			the_map[start] = byte;
		else
			CHECK_EQ(pwrite(the_file, &byte, 1, start), 1);
		for (int back = i; back >= 0; back -= 97) {
			size_t at = (size_t)other * PIECE + back * 5000;

			if (back % 2)
				CHECK_EQ(pread(the_file, &found, 1, at), 1);
			else
				found = the_map[at];
			CHECK_EQ(found, wanted[other][back]);
		}
		if (now_ms() - began > stalls[which].worst)
			stalls[which].worst = now_ms() - began;
	}
	for (int piece = 0; piece < PIECES; piece++)
		for (int i = 0; i < STEPS; i++)
			CHECK_EQ((unsigned char)the_map[(size_t)piece * PIECE + i * 5000],
				 wanted[piece][i]);
}

TEST(a_working_set_of_eight_windows_is_served)
{
	pid_t pids[WORKERS];
	long worst = 0;
	char name[16];

	stalls = ktap_shared(WORKERS * sizeof(*stalls));
	for (int i = 0; i < WORKERS; i++) {
		snprintf(name, sizeof(name), "load%d", i);
		dax_sparse(name, (off_t)PIECES * PIECE);
	}
	dax_mount("dax=always");
	for (int i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			use_pieces(i);
			_exit(0);
		}
	}
	for (int i = 0; i < WORKERS; i++) {
		CHECK_EQ(exit_of(pids[i]), 0);
		if (stalls[i].worst > worst)
			worst = stalls[i].worst;
	}
	printf("# %d steps: SETUPMAPPING %lu, REMOVEMAPPING %lu, ranges unmapped %lu, worst step %ld ms\n",
	       WORKERS * STEPS, dax_count("SETUPMAPPING"), dax_count("REMOVEMAPPING"),
	       dax_count("RANGES_UNMAPPED"), worst);
	CHECK_EQ(dax_count("READ"), 0);
	CHECK_EQ(dax_count("WRITE"), 0);
	CHECK(dax_count("RANGES_UNMAPPED") > WORKERS * PIECES);
	CHECK(worst < ktap_ms(5000));
	dax_umount();
}

/* Workers that each hold a piece pinned: together the whole window. */
static struct worker pinner;

static void pin_the_window(void)
{
	dax_start_large(RANGES + 1);
	pinner = another(O_RDWR, "file");
	CHECK_EQ(tell(&pinner, file_map, RANGES * PIECE / PAGE, RW), 0);
	for (int i = 0; i < RANGES; i++)
		CHECK_EQ(tell(&pinner, dax_pin, i * PIECE, 0), 1);
}

TEST(who_needs_a_range_waits_while_all_are_pinned)
{
	RS_ONLY("the end of a pin wakes nobody");
	pin_the_window();
	begin(&w, file_read, RANGES * PIECE, 0);
	CHECK(waits(&w));
	CHECK_EQ(tell(&pinner, dax_load, 1, 0), 0);
	CHECK_EQ(tell(&pinner, dax_unpin, 0, 0), 0);
	CHECK_EQ(result(&w), 0);
	dismiss(&pinner);
	dax_stop();
}

TEST(who_faults_waits_while_all_are_pinned)
{
	RS_ONLY("the end of a pin wakes nobody");
	pin_the_window();
	begin(&w, dax_load, RANGES * PIECE, 0);
	CHECK(waits(&w));
	CHECK_EQ(tell(&pinner, dax_unpin, 0, 0), 0);
	CHECK_EQ(result(&w), 0);
	dismiss(&pinner);
	dax_stop();
}

TEST(a_kill_ends_the_wait_for_a_range)
{
	RS_ONLY("a fault waits until there is one");
	pin_the_window();
	begin(&w, dax_load, RANGES * PIECE, 0);
	CHECK(waits(&w));
	kill_worker(&w);
	w = another(O_RDWR, "file");
	begin(&w, file_write, RANGES * PIECE, 1);
	CHECK(waits(&w));
	kill_worker(&w);
	dismiss(&pinner);
	dax_umount();
}

/* Copies from a piece into the next one, through a mapping in which that is not there yet. */
static void copy_into_mapping(int which)
{
	for (int i = 0; i < 5; i++) {
		volatile char *map = mmap(NULL, PIECE, RW, MAP_SHARED, the_file,
					  (off_t)(2 * which + 1) * PIECE);

		CHECK(map != MAP_FAILED);
		CHECK_EQ(pread(the_file, (char *)map, 2 * PAGE, (off_t)2 * which * PIECE), 2 * PAGE);
		CHECK_EQ(pwrite(the_file, (char *)map + PIECE / 2, PAGE, (off_t)2 * which * PIECE), PAGE);
		CHECK_EQ(munmap((void *)map, PIECE), 0);
	}
}

TEST(copies_into_mappings_do_not_wait_for_each_other)
{
	const int copiers = 2 * RANGES;
	pid_t pids[copiers];

	RS_ONLY("who copies keeps a range while it waits for another");
	dax_sparse("file", (off_t)2 * copiers * PIECE);
	dax_mount("dax=always");
	for (int i = 0; i < copiers; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			the_file = open(rawfs_path(fs, "file"), O_RDWR);
			CHECK(the_file >= 0);
			copy_into_mapping(i);
			_exit(0);
		}
	}
	for (int i = 0; i < copiers; i++)
		CHECK_EQ(exit_of(pids[i]), 0);
	CHECK_EQ(dax_count("READ"), 0);
	dax_umount();
}

/* The name of the virtio device. */
static char device[64];

static void find_device(void)
{
	char path[512], tag[64] = "", target[256];
	DIR *dir = opendir("/sys/fs/virtiofs");
	struct dirent *entry;

	CHECK(dir != NULL);
	while ((entry = readdir(dir))) {
		ssize_t len;
		FILE *f;

		snprintf(path, sizeof(path), "/sys/fs/virtiofs/%s/tag", entry->d_name);
		f = fopen(path, "r");
		if (!f || fscanf(f, "%63s", tag) != 1)
			tag[0] = 0;
		if (f)
			fclose(f);
		if (strcmp(tag, getenv("FUSE_DAX_TAG")))
			continue;
		snprintf(path, sizeof(path), "/sys/fs/virtiofs/%s/device", entry->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		CHECK(len > 0);
		target[len] = 0;
		snprintf(device, sizeof(device), "%s", strrchr(target, '/') + 1);
	}
	closedir(dir);
	CHECK(device[0]);
}

/* Of the bus, so that no driver that is loaded later finds it. */
static long unplug(long a, long b)
{
	char path[160];

	snprintf(path, sizeof(path), "/sys/bus/virtio/devices/%s/../remove", device);
	write_file(path, "1");
	return 0;
}

/* Until there is an error: reads and writes. */
static long read_and_write(long at, long b)
{
	char buf[PAGE];

	for (;;)
		if (pread(the_file, buf, PAGE, at) != PAGE || pwrite(the_file, buf, PAGE, at) != PAGE)
			return -1;
}

/* Until there is an error: loads and stores. */
static long load_and_store(long at, long b)
{
	for (;;)
		for (long i = 0; i < 2 * RANGES; i++)
			if (dax_load(i * PIECE + at, 0) < 0 || dax_store(i * PIECE + at, i))
				return -1;
}

static bool is_end(long error)
{
	return error == -EIO || error == -ENOTCONN || error == -ECONNABORTED;
}

/*
 * The last case, and only for a VM that ends afterwards (FUSE_DAX_UNPLUG): QEMU 11.1 crashes when a
 * driver takes a device whose window showed something when another left it.
 */
TEST(a_device_that_is_taken_away_leaves_no_memory)
{
	struct worker remover, idle, mapper, reader;

	RS_ONLY("its pages go while they are mapped and pinned");
	if (!getenv("FUSE_DAX_UNPLUG"))
		SKIP("the device may be used afterwards: no FUSE_DAX_UNPLUG");
	dax_start_large(2 * RANGES);
	find_device();
	CHECK_EQ(tell(&w, dax_pin, 0, 0), 1);
	idle = another(O_RDWR, "file");
	CHECK_EQ(tell(&idle, file_map, 1, RW), 0);
	CHECK_EQ(tell(&idle, dax_load, 0, 0), 0);
	mapper = another(O_RDWR, "file");
	CHECK_EQ(tell(&mapper, file_map, 2 * RANGES * PIECE / PAGE, RW), 0);
	reader = another(O_RDWR, "file");
	begin(&mapper, load_and_store, 0, 0);
	begin(&reader, read_and_write, 3 * PIECE, 0);
	CHECK(waits(&reader));
	remover = another(O_RDONLY, "file");
	begin(&remover, unplug, 0, 0);
	CHECK_EQ(result(&mapper), -EFAULT);
	CHECK(is_end(result(&reader)));
	CHECK_EQ(tell(&w, dax_load, 0, 0), -EFAULT);
	CHECK_EQ(tell(&idle, dax_load, 0, 0), -EFAULT);
	/* Whoever has pinned it must not find something else there. */
	CHECK(waits(&remover));
	CHECK_EQ(tell(&w, dax_unpin, 0, 0), 0);
	CHECK_EQ(result(&remover), 0);
	CHECK_EQ(tell(&idle, dax_load, 0, 0), -EFAULT);
	CHECK(is_end(tell(&w, file_read, 0, 0)));
	CHECK(is_end(tell(&w, file_write, 0, 1)));
	CHECK(is_end(tell(&w, file_fsync, 0, 0)));
	dismiss(&remover);
	dismiss(&mapper);
	dismiss(&reader);
	dismiss(&idle);
	dax_stop();
}
