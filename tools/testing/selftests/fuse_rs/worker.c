// SPDX-License-Identifier: GPL-2.0
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include "worker.h"

int the_file = -1;
volatile char *the_map;
static size_t mapped;
static struct rawfs *server;

struct order {
	step what;
	long a, b;
};

static void obey(int from, int to)
{
	struct order order;

	while (read(from, &order, sizeof(order)) == sizeof(order) && order.what) {
		long got = order.what(order.a, order.b);

		if (got == -1)
			got = -errno;
		CHECK_EQ(write(to, &got, sizeof(got)), sizeof(got));
	}
}

struct worker worker(struct rawfs *fs)
{
	struct worker w;
	int there[2], back[2];

	server = fs;
	CHECK_EQ(pipe(there), 0);
	CHECK_EQ(pipe(back), 0);
	w.pid = fork();
	if (w.pid == 0) {
		close(fs->fd);
		obey(there[0], back[1]);
		_exit(0);
	}
	close(there[0]);
	close(back[1]);
	w.to = there[1];
	w.from = back[0];
	return w;
}

void begin(struct worker *w, step what, long a, long b)
{
	struct order order = { what, a, b };

	CHECK_EQ(write(w->to, &order, sizeof(order)), sizeof(order));
}

static bool done_within(struct worker *w, int ms)
{
	struct pollfd p = { .fd = w->from, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

bool waits(struct worker *w)
{
	return !done_within(w, 300);
}

long result(struct worker *w)
{
	long got;

	if (!done_within(w, ktap_ms(5000)))
		FAIL("worker %d does not get on", w->pid);
	CHECK_EQ(read(w->from, &got, sizeof(got)), sizeof(got));
	return got;
}

long tell(struct worker *w, step what, long a, long b)
{
	begin(w, what, a, b);
	return result(w);
}

static int end_of(struct worker *w)
{
	bool gone = false;
	int status = 0;

	EVENTUALLY(gone || (gone = waitpid(w->pid, &status, WNOHANG) == w->pid));
	close(w->to);
	close(w->from);
	return status;
}

void dismiss(struct worker *w)
{
	begin(w, NULL, 0, 0);
	CHECK_EQ(end_of(w), 0);
}

void kill_worker(struct worker *w)
{
	CHECK_EQ(kill(w->pid, SIGKILL), 0);
	CHECK(WIFSIGNALED(end_of(w)));
}

long file_open(long flags, long name)
{
	the_file = open(rawfs_path(server, (const char *)name), flags, 0644);
	return the_file < 0 ? -1 : 0;
}

long file_close(long a, long b)
{
	return close(the_file);
}

long file_map(long pages, long prot)
{
	mapped = pages * PAGE;
	the_map = mmap(NULL, mapped, prot, MAP_SHARED, the_file, 0);
	return the_map == MAP_FAILED ? -1 : 0;
}

long file_unmap(long a, long b)
{
	return munmap((void *)the_map, mapped);
}

long file_unfault(long a, long b)
{
	return madvise((void *)the_map, mapped, MADV_DONTNEED);
}

long file_store(long at, long byte)
{
	the_map[at] = byte;
	return 0;
}

long file_load(long at, long b)
{
	return the_map[at];
}

long file_msync(long flags, long b)
{
	return msync((void *)the_map, mapped, flags);
}

long file_fsync(long a, long b)
{
	return fsync(the_file);
}

long file_start(long a, long b)
{
	return sync_file_range(the_file, 0, 0, SYNC_FILE_RANGE_WRITE);
}

long file_truncate(long size, long b)
{
	return ftruncate(the_file, size);
}

long file_write(long at, long len)
{
	char *buf = malloc(len);
	long wrote;

	memset(buf, 'w', len);
	wrote = pwrite(the_file, buf, len, at);
	free(buf);
	return wrote;
}

long file_read(long at, long b)
{
	char byte;
	ssize_t got = pread(the_file, &byte, 1, at);

	return got == 1 ? byte : got;
}

long file_size(long a, long b)
{
	struct stat st;

	return fstat(the_file, &st) ? -1 : st.st_size;
}

long file_mtime(long a, long b)
{
	struct stat st;

	return fstat(the_file, &st) ? -1 : st.st_mtime;
}

long file_uncache(long a, long b)
{
	errno = posix_fadvise(the_file, 0, 0, POSIX_FADV_DONTNEED);
	return errno ? -1 : 0;
}
