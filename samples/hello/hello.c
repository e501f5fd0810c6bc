// SPDX-License-Identifier: GPL-2.0
/*
 * hello: the smallest FUSE server that is of use to a reader. It speaks the protocol itself,
 * without a library: a directory with one file, /hello.
 *
 *   hello MOUNTPOINT        (as root; FUSE_DEV and FUSE_FSTYPE choose another driver)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static const char text[] = "Hello, world!\n";
enum { ROOT = FUSE_ROOT_ID, HELLO = 2 };

static int dev;

/* Every answer is a header with the request's number and an error, and then the reply. */
static void answer(const struct fuse_in_header *in, int error, const void *body, size_t len)
{
	struct fuse_out_header out = { .len = sizeof(out) + len, .error = -error, .unique = in->unique };
	char message[8192];

	memcpy(message, &out, sizeof(out));
	if (len)
		memcpy(message + sizeof(out), body, len);
	if (write(dev, message, out.len) < 0 && errno != ENOENT)
		perror("answer");
}

static struct fuse_attr attributes(uint64_t node)
{
	struct fuse_attr attr = { .ino = node, .nlink = 1 };

	if (node == ROOT) {
		attr.mode = S_IFDIR | 0555;
	} else {
		attr.mode = S_IFREG | 0444;
		attr.size = sizeof(text) - 1;
	}
	return attr;
}

/* Puts one entry of a directory at `at` and returns its length. */
static size_t entry(char *at, const char *name, uint64_t node, uint64_t next)
{
	struct fuse_dirent *d = (void *)at;

	d->ino = node;
	d->off = next;
	d->namelen = strlen(name);
	d->type = node == ROOT ? S_IFDIR >> 12 : S_IFREG >> 12;
	memcpy(d->name, name, d->namelen);
	return FUSE_DIRENT_SIZE(d);
}

static void serve(const struct fuse_in_header *in, const void *body)
{
	switch (in->opcode) {
	case FUSE_INIT: {
		/* Agree on the protocol: the kernel's version or ours, whichever is older. */
		struct fuse_init_out out = { .major = 7, .minor = 31, .max_write = 4096 };

		answer(in, 0, &out, sizeof(out));
		break;
	}
	case FUSE_LOOKUP: {
		struct fuse_entry_out out = { .nodeid = HELLO, .attr = attributes(HELLO) };

		if (in->nodeid == ROOT && !strcmp(body, "hello"))
			answer(in, 0, &out, sizeof(out));
		else
			answer(in, ENOENT, NULL, 0);
		break;
	}
	case FUSE_GETATTR: {
		struct fuse_attr_out out = { .attr = attributes(in->nodeid) };

		answer(in, 0, &out, sizeof(out));
		break;
	}
	case FUSE_OPEN:
	case FUSE_OPENDIR: {
		struct fuse_open_out out = { .fh = 0 };

		answer(in, 0, &out, sizeof(out));
		break;
	}
	case FUSE_READ: {
		const struct fuse_read_in *read = body;
		size_t size = sizeof(text) - 1;
		size_t from = read->offset < size ? read->offset : size;
		size_t len = size - from < read->size ? size - from : read->size;

		answer(in, 0, text + from, len);
		break;
	}
	case FUSE_READDIR: {
		const struct fuse_read_in *read = body;
		char entries[256] = "";
		size_t len = 0;

		if (read->offset < 1)
			len += entry(entries + len, ".", ROOT, 1);
		if (read->offset < 2)
			len += entry(entries + len, "hello", HELLO, 2);
		answer(in, 0, entries, len);
		break;
	}
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		answer(in, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break; /* these are not answered */
	default:
		answer(in, ENOSYS, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	static char message[65536] __attribute__((aligned(8)));
	const char *name = getenv("FUSE_DEV"), *type = getenv("FUSE_FSTYPE");
	char options[64];

	if (argc != 2) {
		fprintf(stderr, "usage: hello MOUNTPOINT\n");
		return 2;
	}
	dev = open(name ? name : "/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40555,user_id=0,group_id=0", dev);
	if (dev < 0 || mount("hello", argv[1], type ? type : "fuse", MS_NOSUID | MS_NODEV, options)) {
		perror("hello: mount");
		return 1;
	}
	/* The device hands out one request at a time, until the file system is unmounted. */
	while (read(dev, message, sizeof(message)) > 0)
		serve((void *)message, message + sizeof(struct fuse_in_header));
	return 0;
}
