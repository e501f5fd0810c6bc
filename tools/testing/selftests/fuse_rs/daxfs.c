// SPDX-License-Identifier: GPL-2.0
#include <fcntl.h>
#include <setjmp.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include "daxfs.h"

#define NAME_LEN 20

static const char *shared, *counters;
static struct count {
	char name[NAME_LEN + 1];
	unsigned long before;
} counts[128];
static int ncounts;

const char *dax_host(const char *name)
{
	static char paths[4][256];
	static int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", shared, name);
	return path;
}

/* Calls `see` with each line. */
static void read_counters(void (*see)(const char *name, unsigned long value))
{
	FILE *f = fopen(counters, "r");
	char name[NAME_LEN + 1];
	unsigned long value;

	CHECK(f != NULL);
	while (fscanf(f, "%20s %lu", name, &value) == 2)
		see(name, value);
	fclose(f);
}

static void count_anew(const char *name, unsigned long value)
{
	CHECK(ncounts < 128);
	strcpy(counts[ncounts].name, name);
	counts[ncounts++].before = value;
}

void dax_recount(void)
{
	ncounts = 0;
	read_counters(count_anew);
	CHECK(ncounts > 0);
}

static const char *wanted;
static unsigned long found;

static void find(const char *name, unsigned long value)
{
	if (!strcmp(name, wanted))
		found = value;
}

unsigned long dax_count(const char *counter)
{
	wanted = counter;
	read_counters(find);
	for (int i = 0; i < ncounts; i++)
		if (!strcmp(counts[i].name, counter))
			return found - counts[i].before;
	FAIL("there is no counter %s", counter);
}

void dax_mount(const char *options)
{
	const char *tag = getenv("FUSE_DAX_TAG"), *type = getenv("FUSE_VIRTIOFS_TYPE");

	shared = getenv("FUSE_DAX_SHARED");
	counters = getenv("FUSE_DAX_COUNTERS");
	if (!tag || !shared || !counters)
		SKIP("no device with DAX: FUSE_DAX_TAG, FUSE_DAX_SHARED, FUSE_DAX_COUNTERS");
	if (!fs) {
		fs = calloc(1, sizeof(*fs));
		fs->fd = -1;
		rawfs_mountpoint(fs->mnt);
	}
	if (mount(tag, fs->mnt, type ?: "virtiofs", 0, options))
		FAIL("mount with '%s'", options);
	dax_recount();
}

void dax_umount(void)
{
	CHECK_EQ(umount(fs->mnt), 0);
}

/* A new file on the host. */
static int make(const char *name)
{
	int fd;

	shared = getenv("FUSE_DAX_SHARED");
	if (!shared)
		SKIP("no device with DAX: FUSE_DAX_SHARED");
	unlink(dax_host(name));
	fd = open(dax_host(name), O_CREAT | O_RDWR, 0644);
	CHECK(fd >= 0);
	return fd;
}

bool dax_has_data(size_t at, size_t size)
{
	size_t page = at / PAGE, pages = PIECE / 4 / PAGE;

	return (page + 2) % pages < 6 || page == (size - 1) / PAGE;
}

void dax_file(const char *name, size_t size)
{
	int fd = make(name);
	char page[PAGE];

	CHECK_EQ(ftruncate(fd, size), 0);
	for (size_t at = 0; at < size; at += PAGE) {
		size_t len = size - at < PAGE ? size - at : PAGE;

		if (!dax_has_data(at, size))
			continue;
		for (size_t i = 0; i < len; i++)
			page[i] = old(at + i);
		CHECK_EQ(pwrite(fd, page, len, at), len);
	}
	close(fd);
}

void dax_sparse(const char *name, off_t size)
{
	int fd = make(name);

	CHECK_EQ(ftruncate(fd, size), 0);
	close(fd);
}

static void start_dax(void)
{
	dax_mount("dax=always");
	w = another(O_RDWR, "file");
	dax_recount();
}

void dax_start(size_t size)
{
	dax_file("file", size);
	start_dax();
}

void dax_start_mapped(size_t size, int prot)
{
	dax_start(size);
	CHECK_EQ(tell(&w, file_map, (size + PAGE - 1) / PAGE, prot), 0);
}

void dax_start_large(int pieces)
{
	dax_sparse("file", (off_t)pieces * PIECE);
	start_dax();
	CHECK_EQ(tell(&w, file_map, (long)pieces * PIECE / PAGE, RW), 0);
}

void dax_stop(void)
{
	dismiss(&w);
	dax_umount();
}

char on_host(const char *name, off_t at)
{
	int fd = open(dax_host(name), O_RDONLY);
	char byte;

	CHECK(fd >= 0);
	CHECK_EQ(pread(fd, &byte, 1, at), 1);
	close(fd);
	return byte;
}

void put_on_host(const char *name, off_t at, char byte)
{
	int fd = open(dax_host(name), O_WRONLY);

	CHECK(fd >= 0);
	CHECK_EQ(pwrite(fd, &byte, 1, at), 1);
	CHECK_EQ(fsync(fd), 0);
	close(fd);
}

void dax_order(const char *kind, const char *opcode)
{
	char name[64];
	struct stat st;

	snprintf(name, sizeof(name), "misbehave,%s,%s", kind, opcode);
	CHECK_ERR(stat(rawfs_path(fs, name), &st), ENOENT);
}

static sigjmp_buf no_memory;

static void on_sigbus(int sig)
{
	siglongjmp(no_memory, 1);
}

long dax_load(long at, long b)
{
	signal(SIGBUS, on_sigbus);
	if (sigsetjmp(no_memory, 1)) {
		errno = EFAULT;
		return -1;
	}
	return the_map[at];
}

long dax_store(long at, long byte)
{
	signal(SIGBUS, on_sigbus);
	if (sigsetjmp(no_memory, 1)) {
		errno = EFAULT;
		return -1;
	}
	the_map[at] = byte;
	return 0;
}

static int pins[RANGES + 1][2];
static int npins;

long dax_pin(long at, long b)
{
	struct iovec iov = { (char *)the_map + at, 1 };
	long got;

	if (pipe(pins[npins]))
		return -1;
	got = vmsplice(pins[npins][1], &iov, 1, 0);
	if (got == 1)
		npins++;
	return got;
}

long dax_unpin(long a, long b)
{
	npins--;
	return close(pins[npins][0]) | close(pins[npins][1]);
}
