// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include "faults.h"

#define SLAB "/sys/kernel/debug/failslab/"
#define PAGES "/sys/kernel/debug/fail_page_alloc/"

static int nth_fd, here_fd;
static int wanted;

static void set(const char *name, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), SLAB "%s", name);
	write_file(path, value);
	snprintf(path, sizeof(path), PAGES "%s", name);
	write_file(path, value);
}

/* Allocations that may sleep fail, too, those of pages as well as those of objects, silently. */
void faults_prepare(void)
{
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR);
	if (nth_fd < 0)
		SKIP("a kernel without fault injection");
	here_fd = open("/proc/thread-self/make-it-fail", O_RDWR);
	CHECK(here_fd >= 0);
	set("ignore-gfp-wait", "N");
	set("verbose", "0");
	write_file(PAGES "ignore-gfp-highmem", "N");
	write_file(PAGES "min-order", "0");
	/* Of the call only: not of memory this program touches. */
	CHECK_EQ(mlockall(MCL_CURRENT), 0);
}

/* The n-th allocation of this thread from here on fails; none for 0. */
static void fail_nth(int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", n);

	CHECK_EQ(pwrite(nth_fd, text, len, 0), len);
}

/* Whether the allocation has failed. */
static bool has_failed(void)
{
	char text[16] = "";

	CHECK(pread(nth_fd, text, sizeof(text) - 1, 0) > 0);
	return atoi(text) == 0;
}

void at_every_allocation(struct rawfs *fs, struct work work)
{
	for (int n = 1; n < 500; n++) {
		bool failed;
		int got, error;

		if (work.before)
			work.before(fs);
		fail_nth(n);
		got = work.call(fs);
		error = errno;
		failed = has_failed();
		fail_nth(0);
		if (got == -1 && (!failed || (error != ENOMEM && error != work.error))) {
			errno = error;
			FAIL("with allocation %d failing", n);
		}
		if (work.after)
			work.after(fs);
		if (!failed) {
			printf("# %d allocations\n", n - 1);
			return;
		}
	}
	FAIL("allocations without end");
}

static void set_number(const char *name, int value)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", value);
	set(name, text);
}

static int left(const char *path)
{
	int times;
	FILE *f = fopen(path, "r");

	CHECK(f && fscanf(f, "%d", &times) == 1);
	fclose(f);
	return times;
}

/* So many of objects, and so many of pages. */
void faults_begin(int times)
{
	wanted = times;
	set("task-filter", "Y");
	set_number("times", times);
	set("probability", "100");
}

int faults_so_far(void)
{
	return 2 * wanted - left(SLAB "times") - left(PAGES "times");
}

int faults_end(void)
{
	set("probability", "0");
	return faults_so_far();
}

void faults_here(bool on)
{
	CHECK_EQ(pwrite(here_fd, on ? "1" : "0", 1, 0), 1);
}

/* One that is gone does not matter. */
static void switch_kworker(const char *pid, bool on)
{
	char path[300];
	int file;

	snprintf(path, sizeof(path), "/proc/%s/make-it-fail", pid);
	file = open(path, O_WRONLY);
	if (file < 0)
		return;
	CHECK(write(file, on ? "1" : "0", 1) == 1 || errno == ESRCH);
	close(file);
}

static bool is_kworker(const char *pid)
{
	char path[300], name[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(name, sizeof(name), f))
		name[0] = 0;
	fclose(f);
	return !strncmp(name, "kworker/", strlen("kworker/"));
}

void faults_of_kworkers(bool on)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	CHECK(dir);
	while ((entry = readdir(dir)))
		if (atoi(entry->d_name) && is_kworker(entry->d_name))
			switch_kworker(entry->d_name, on);
	closedir(dir);
}
