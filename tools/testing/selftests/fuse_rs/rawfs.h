/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A small FUSE server on the raw protocol, for tests: a tree in memory, and hooks by which a
 * test answers late, wrongly or never.
 *
 * FUSE_DEV (default /dev/fuse) and FUSE_FSTYPE (default fuse) choose the driver.
 */
#ifndef RAWFS_H
#define RAWFS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/stat.h>
#include <linux/fuse.h>
#include "ktap.h"

#define RAWFS_NODES 512
#define RAWFS_DATA (256 * 1024)
#define RAWFS_BUFFER ((1 << 20) + 8192)

struct rawfs_req {
	struct fuse_in_header in;
	char body[RAWFS_BUFFER];
	size_t len; /* of the body */
};

struct rawfs_node {
	bool used;
	uint64_t parent;
	uint32_t mode;
	uint32_t nlink;
	uint32_t uid, gid;
	char name[256];
	char *data;
	size_t size;
	uint64_t nlookup;
	uint64_t mtime;
};

struct rawfs {
	int fd;
	char mnt[64];
	pthread_t thread;
	bool running;
	/* Sees a request before it is counted. */
	void (*witness)(struct rawfs *fs, struct rawfs_req *req);
	/* Handles a request instead of the tree: returns true if it did. */
	bool (*hook)(struct rawfs *fs, struct rawfs_req *req);
	void *arg;
	struct fuse_init_in init_in;
	struct fuse_init_out init_out; /* answer to INIT; minor 0 for the default */
	size_t init_len;
	uint64_t entry_valid, attr_valid; /* seconds */
	uint32_t open_flags;
	bool no_opendir; /* OPENDIR gives ENOSYS */
	atomic_ulong count[64]; /* requests by opcode */
	atomic_ulong forgotten;
	atomic_ulong looked_up;
	pthread_mutex_t lock;
	struct rawfs_node node[RAWFS_NODES];
};

const char *rawfs_device(void);
const char *rawfs_type(void);
/* Opens the device; the case fails if it cannot. */
int rawfs_open(void);
/* mount(2) with the usual options and `more` (with a leading comma, or ""). Returns its result. */
int rawfs_mount(int fd, const char *mnt, const char *more);
/* Makes a mount point unique to the process. */
void rawfs_mountpoint(char mnt[64]);
/* A server that is not mounted yet. */
struct rawfs *rawfs_new(void);
/* Opens, mounts, starts the server thread; the tree has file, dir, link. */
void rawfs_start(struct rawfs *fs, const char *more);
/* As rawfs_start, without the thread: the test reads the device itself. */
void rawfs_start_manual(struct rawfs *fs, const char *more);
/* Starts the server thread. */
void rawfs_serve(struct rawfs *fs);
/* Mounts again what was started and stopped, as fuseblk on rawfs_disk(), and starts the thread. */
void rawfs_restart_on_disk(struct rawfs *fs, const char *more);
/* Unmounts and waits for the thread. */
void rawfs_stop(struct rawfs *fs);
/* Reads one request, waiting; false at the end of the connection. */
bool rawfs_read(int fd, struct rawfs_req *req);
/* Reads requests until one has this opcode; others are answered by the tree. */
void rawfs_expect(struct rawfs *fs, struct rawfs_req *req, uint32_t opcode);
/* Answers. Returns what write gave. */
ssize_t rawfs_reply(int fd, uint64_t unique, int error, const void *body, size_t len);
/* Answers a request from the tree. */
void rawfs_default(struct rawfs *fs, struct rawfs_req *req);
/* Answers INIT. */
void rawfs_init(struct rawfs *fs, struct rawfs_req *req);
/* The same, with names and attributes that stay valid and these flags (FUSE_*) in INIT. */
struct rawfs *rawfs_wanting(uint64_t flags);
/* Reads INIT and answers it, for a server without a thread. */
void rawfs_handshake(struct rawfs *fs);
/* The entry of a node, and its attributes. */
void rawfs_entry(struct rawfs *fs, uint64_t node, struct fuse_entry_out *out);
/* Answers with an entry, and counts the lookup of its node. */
void rawfs_reply_entry(struct rawfs *fs, uint64_t unique, const struct fuse_entry_out *out);
/* A path under the mount; from a ring of buffers. */
const char *rawfs_path(struct rawfs *fs, const char *name);
/* The path of a block device of a megabyte, which goes away with the case; skips it without one. */
const char *rawfs_disk(void);
/* Unmounts whatever the cases of this program left mounted. */
void rawfs_cleanup(void);
/* A child that calls stat on a name under the mount; its exit status is the errno. */
pid_t stat_in_child(struct rawfs *fs, const char *name);
/* Writes `what` to /proc/sys/vm/drop_caches: "1" pages, "2" dentries and inodes, "3" both. */
void drop_caches(const char *what);
/* Sets a number in /proc/sys/fs/fuse; returns what it was, or -1 if it may not be that. */
unsigned int set_limit(const char *name, unsigned int value);
/* Writes a text to a file that is there. */
void write_file(const char *path, const char *text);
/* Enters a user namespace and a mount namespace of its own; user and group ids are mapped so. */
void enter_namespace(const char *map);
/* An address at which there is never memory. */
extern void *volatile nowhere;
/* Waits up to 5 s (ktap_ms) until the condition holds. */
#define EVENTUALLY(cond)                                                                           \
	do {                                                                                       \
		int ev_left = ktap_ms(5000) / 10;                                                  \
		while (!(cond) && ev_left-- > 0)                                                   \
			usleep(10000);                                                             \
		CHECK(cond);                                                                       \
	} while (0)

#endif
