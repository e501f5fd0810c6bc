// SPDX-License-Identifier: GPL-2.0
/* Trace events: of requests, in the words of both drivers, and of copies of dirty pages. */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include "mapped.h"

#define INSTANCE "fuse_rs_selftest"

/* A buffer of our own for events; its mount goes with those of the case. */
static char tracing[64], text[1 << 16];

static const char *in_instance(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/instances/%s/%s", tracing, INSTANCE, name);
	return path;
}

static void enable(const char *event, const char *how)
{
	char name[128];

	snprintf(name, sizeof(name), "events/%s/%s/enable", ktap_is_rs() ? "fuse_rs" : "fuse",
		 event);
	write_file(in_instance(name), how);
}

static const char *const events[] = { "fuse_request_send", "fuse_request_sent", "fuse_request_end" };

static void trace_requests(const char *how)
{
	for (int i = 0; i < 3; i++)
		enable(events[i], how);
}

static void begin_tracing(void)
{
	snprintf(tracing, sizeof(tracing), "/tmp/rawfs-%d-tracing%d", getppid(), getpid());
	CHECK_EQ(mkdir(tracing, 0755), 0);
	if (mount("none", tracing, "tracefs", 0, NULL))
		SKIP("the kernel has no trace events");
	/* What a case left behind that has failed. */
	rmdir(in_instance(""));
	CHECK_EQ(mkdir(in_instance(""), 0700), 0);
}

static void end_tracing(void)
{
	CHECK_EQ(rmdir(in_instance("")), 0);
}

static void read_trace(void)
{
	int fd = open(in_instance("trace"), O_RDONLY);
	size_t len = 0;
	ssize_t got;

	CHECK(fd >= 0);
	while ((got = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += got;
	text[len] = '\0';
	close(fd);
}

struct event {
	unsigned int connection, opcode, len;
	unsigned long long unique;
	char name[32];
	int error;
};

/* What the line says of this event of this request; false if it is another. */
static bool parse(const char *line, const char *event, struct event *out)
{
	const char *at = strstr(line, event);

	if (!at || at > strchrnul(line, '\n') || at[strlen(event)] != ':')
		return false;
	at += strlen(event) + 2;
	*out = (struct event){};
	if (!strcmp(event, "fuse_request_end"))
		return sscanf(at, "connection %u req %llu len %u error %d", &out->connection,
			      &out->unique, &out->len, &out->error) == 4;
	return sscanf(at, "connection %u req %llu opcode %u (%31[^)]) len %u", &out->connection,
		      &out->unique, &out->opcode, out->name, &out->len) >= 4;
}

/* The only such event of a request; the case fails if there are more, or none. */
static struct event only(const char *event, uint64_t unique)
{
	struct event one, found = {};
	int count = 0;

	read_trace();
	for (const char *line = text; *line; line = strchrnul(line, '\n') + 1) {
		if (parse(line, event, &one) && one.unique == unique) {
			found = one;
			count++;
		}
		if (!*strchrnul(line, '\n'))
			break;
	}
	if (count != 1)
		FAIL("%d times %s of %llu in:\n%s", count, event, (unsigned long long)unique, text);
	return found;
}

static unsigned int number(void)
{
	struct statx st;

	CHECK_EQ(statx(AT_FDCWD, fs->mnt, AT_STATX_DONT_SYNC, 0, &st), 0);
	return st.stx_dev_minor;
}

static void serve(void)
{
	fs = holding(rawfs_new());
	rawfs_start(fs, "");
	begin_tracing();
	trace_requests("1");
}

static void finish(void)
{
	end_tracing();
	rawfs_stop(fs);
}

TEST(a_request_is_traced_from_its_sending_to_its_end)
{
	struct fuse_in_header in;
	struct event event;
	struct stat st;

	serve();
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	in = last_request(FUSE_LOOKUP)->in;
	for (int i = 0; i < 2; i++) {
		event = only(events[i], in.unique);
		CHECK_EQ(event.connection, number());
		CHECK_EQ(event.opcode, FUSE_LOOKUP);
		CHECK(!strcmp(event.name, "FUSE_LOOKUP"));
	}
	CHECK_EQ(only("fuse_request_send", in.unique).len, in.len);
	event = only("fuse_request_end", in.unique);
	CHECK_EQ(event.connection, number());
	CHECK_EQ(event.len, sizeof(struct fuse_out_header) + sizeof(struct fuse_entry_out));
	CHECK_EQ(event.error, 0);
	finish();
}

TEST(the_end_has_the_error_of_the_server)
{
	struct event event;
	struct stat st;

	serve();
	CHECK_ERR(stat(rawfs_path(fs, "nothing"), &st), ENOENT);
	event = only("fuse_request_end", last_request(FUSE_LOOKUP)->in.unique);
	CHECK_EQ(event.len, sizeof(struct fuse_out_header));
	CHECK_EQ(event.error, -ENOENT);
	finish();
}

TEST(a_request_without_an_answer_has_an_end)
{
	struct event event;
	pid_t pid;

	serve();
	hold(FUSE_LOOKUP);
	pid = stat_in_child(fs, "file");
	EVENTUALLY(held() == 1);
	umount2(fs->mnt, MNT_FORCE);
	CHECK_EQ(exit_of(pid), ECONNABORTED);
	event = only("fuse_request_end", last_request(FUSE_LOOKUP)->in.unique);
	CHECK_EQ(event.len, 0);
	CHECK_EQ(event.error, -ECONNABORTED);
	end_tracing();
}

TEST(nothing_is_traced_that_nobody_wants)
{
	struct stat st;

	serve();
	trace_requests("0");
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	read_trace();
	CHECK(!strstr(text, "fuse_request"));
	finish();
}

/* The latest count of temporary pages that was traced, and the sum of all changes. */
static void look_at_pages(long *pages, long *sum)
{
	const char *event = "fuse_temporary_pages: ";
	unsigned int connection;
	long change;

	*pages = *sum = 0;
	read_trace();
	for (const char *at = text; (at = strstr(at, event)); at++) {
		CHECK_EQ(sscanf(at + strlen(event), "connection %u change %ld pages %ld",
				&connection, &change, pages), 3);
		CHECK_EQ(connection, number());
		*sum += change;
	}
}

static bool pages_came(void)
{
	long pages, sum;

	look_at_pages(&pages, &sum);
	return pages > 0 && sum == pages;
}

static bool pages_went(void)
{
	long pages, sum;

	look_at_pages(&pages, &sum);
	return !pages && !sum && strstr(text, "pages 0");
}

TEST(copies_of_dirty_pages_are_traced_when_they_come_and_go)
{
	RS_ONLY("the C driver makes no copies");
	prepare(0);
	/* So that one WRITE waits until the server has answered the other. */
	fs->init_out.max_background = 1;
	start(4 * PAGE, O_RDWR);
	CHECK_EQ(tell(&w, file_map, 4, RW), 0);
	begin_tracing();
	enable("fuse_temporary_pages", "1");
	store_and_hold(0, 'x');
	store(2 * PAGE, 'y');
	CHECK_EQ(tell(&w, file_start, 0, 0), 0);
	EVENTUALLY(pages_came());
	let_all_go(fs);
	EVENTUALLY(pages_went());
	end_tracing();
	stop();
}
