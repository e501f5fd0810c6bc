// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include "rawfs.h"

const char *rawfs_device(void)
{
	const char *dev = getenv("FUSE_DEV");

	return dev ? dev : "/dev/fuse";
}

const char *rawfs_type(void)
{
	const char *type = getenv("FUSE_FSTYPE");

	return type ? type : "fuse";
}

int rawfs_open(void)
{
	int fd = open(rawfs_device(), O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

void rawfs_mountpoint(char mnt[64])
{
	snprintf(mnt, 64, "/tmp/rawfs-%d-%d", getppid(), getpid());
	mkdir(mnt, 0755);
}

int rawfs_mount(int fd, const char *mnt, const char *more)
{
	char opts[256];

	snprintf(opts, sizeof(opts), "fd=%d,rootmode=40000,user_id=%d,group_id=%d%s", fd, getuid(),
		 getgid(), more);
	return mount("rawfs", mnt, rawfs_type(), MS_NOSUID | MS_NODEV, opts);
}

bool rawfs_read(int fd, struct rawfs_req *req)
{
	ssize_t n;

	do {
		n = read(fd, req, sizeof(*req));
	} while (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT));
	if (n < (ssize_t)sizeof(req->in))
		return false;
	req->len = n - sizeof(req->in);
	req->body[req->len] = 0;
	return true;
}

ssize_t rawfs_reply(int fd, uint64_t unique, int error, const void *body, size_t len)
{
	struct fuse_out_header out = { .len = sizeof(out) + len, .error = -error, .unique = unique };
	char *message = malloc(sizeof(out) + len);
	ssize_t n;

	memcpy(message, &out, sizeof(out));
	if (len)
		memcpy(message + sizeof(out), body, len);
	n = write(fd, message, sizeof(out) + len);
	free(message);
	return n;
}

static void fill_attr(struct rawfs *fs, uint64_t id, struct fuse_attr *attr)
{
	struct rawfs_node *n = &fs->node[id];

	memset(attr, 0, sizeof(*attr));
	attr->ino = id;
	attr->size = n->size;
	attr->blocks = (n->size + 511) / 512;
	attr->mode = n->mode;
	attr->nlink = n->nlink;
	attr->uid = n->uid;
	attr->gid = n->gid;
	attr->mtime = n->mtime;
	attr->blksize = 4096;
}

void rawfs_entry(struct rawfs *fs, uint64_t node, struct fuse_entry_out *out)
{
	memset(out, 0, sizeof(*out));
	out->nodeid = node;
	out->generation = 1;
	out->entry_valid = fs->entry_valid;
	out->attr_valid = fs->attr_valid;
	fill_attr(fs, node, &out->attr);
}

static uint64_t find(struct rawfs *fs, uint64_t parent, const char *name)
{
	if (!strcmp(name, "."))
		return parent < RAWFS_NODES && fs->node[parent].used ? parent : 0;
	if (!strcmp(name, ".."))
		return fs->node[parent].parent;
	for (uint64_t i = 2; i < RAWFS_NODES; i++)
		if (fs->node[i].used && fs->node[i].parent == parent && fs->node[i].name[0] &&
		    !strcmp(fs->node[i].name, name))
			return i;
	return 0;
}

static uint64_t add(struct rawfs *fs, uint64_t parent, const char *name, uint32_t mode,
		    const char *data)
{
	for (uint64_t i = 2; i < RAWFS_NODES; i++) {
		struct rawfs_node *n = &fs->node[i];

		if (n->used)
			continue;
		memset(n, 0, sizeof(*n));
		n->used = true;
		n->parent = parent;
		n->mode = mode;
		n->nlink = S_ISDIR(mode) ? 2 : 1;
		snprintf(n->name, sizeof(n->name), "%s", name);
		n->data = calloc(1, RAWFS_DATA);
		if (data) {
			n->size = strlen(data);
			memcpy(n->data, data, n->size);
		}
		return i;
	}
	return 0;
}

void rawfs_reply_entry(struct rawfs *fs, uint64_t unique, const struct fuse_entry_out *out)
{
	/* Lookups of the root are not given back. */
	if (out->nodeid > FUSE_ROOT_ID) {
		fs->node[out->nodeid].nlookup++;
		fs->looked_up++;
	}
	rawfs_reply(fs->fd, unique, 0, out, sizeof(*out));
}

static void reply_entry(struct rawfs *fs, struct rawfs_req *req, uint64_t node)
{
	struct fuse_entry_out out;

	rawfs_entry(fs, node, &out);
	rawfs_reply_entry(fs, req->in.unique, &out);
}

static void reply_attr(struct rawfs *fs, struct rawfs_req *req, uint64_t node)
{
	struct fuse_attr_out out = { .attr_valid = fs->attr_valid };

	fill_attr(fs, node, &out.attr);
	rawfs_reply(fs->fd, req->in.unique, 0, &out, sizeof(out));
}

void rawfs_init(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_init_out out = fs->init_out;

	memcpy(&fs->init_in, req->body, sizeof(fs->init_in));
	if (!out.minor) {
		out.major = 7;
		out.minor = 31;
		out.max_readahead = 131072;
		out.max_write = 131072;
		out.max_pages = 32;
		out.flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_ASYNC_READ;
	}
	rawfs_reply(fs->fd, req->in.unique, 0, &out, fs->init_len ? fs->init_len : sizeof(out));
}

static void do_readdir(struct rawfs *fs, struct rawfs_req *req, bool plus)
{
	struct fuse_read_in *in = (void *)req->body;
	size_t len = 0, max = in->size;
	char *buf = malloc(max);

	for (uint64_t i = in->offset ? in->offset : 1; i < RAWFS_NODES; i++) {
		const char *name = i == 1 ? "." : fs->node[i].name;
		size_t head = plus ? sizeof(struct fuse_entry_out) : 0;
		struct fuse_dirent *d = (void *)(buf + len + head);
		size_t need = head + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + strlen(name));

		if (i > 1 && (!fs->node[i].used || fs->node[i].parent != req->in.nodeid || !name[0]))
			continue;
		if (len + need > max)
			break;
		memset(buf + len, 0, need);
		if (plus && i > 1) {
			rawfs_entry(fs, i, (void *)(buf + len));
			fs->node[i].nlookup++;
			fs->looked_up++;
		}
		d->ino = i == 1 ? req->in.nodeid : i;
		d->off = i + 1;
		d->namelen = strlen(name);
		d->type = i == 1 ? DT_DIR : fs->node[i].mode >> 12;
		memcpy(d->name, name, d->namelen);
		len += need;
	}
	rawfs_reply(fs->fd, req->in.unique, 0, buf, len);
	free(buf);
}

static void do_setattr(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_setattr_in *in = (void *)req->body;
	struct rawfs_node *n = &fs->node[req->in.nodeid];

	if (in->valid & FATTR_MODE)
		n->mode = (n->mode & S_IFMT) | (in->mode & 07777);
	if (in->valid & FATTR_UID)
		n->uid = in->uid;
	if (in->valid & FATTR_GID)
		n->gid = in->gid;
	if (in->valid & FATTR_MTIME)
		n->mtime = in->mtime;
	if (in->valid & FATTR_SIZE) {
		if (in->size > RAWFS_DATA) {
			rawfs_reply(fs->fd, req->in.unique, EFBIG, NULL, 0);
			return;
		}
		if (in->size > n->size)
			memset(n->data + n->size, 0, in->size - n->size);
		n->size = in->size;
	}
	reply_attr(fs, req, req->in.nodeid);
}

static void forget(struct rawfs *fs, uint64_t node, uint64_t count)
{
	fs->forgotten += count;
	if (node < RAWFS_NODES)
		fs->node[node].nlookup -= count;
}

void rawfs_default(struct rawfs *fs, struct rawfs_req *req)
{
	uint64_t id = req->in.nodeid, unique = req->in.unique, node;
	int fd = fs->fd;
	struct rawfs_node *n = id < RAWFS_NODES ? &fs->node[id] : NULL;
	char *body = req->body;

	pthread_mutex_lock(&fs->lock);
	switch (req->in.opcode) {
	case FUSE_INIT:
		rawfs_init(fs, req);
		break;
	case FUSE_LOOKUP:
		node = find(fs, id, body);
		if (node)
			reply_entry(fs, req, node);
		else
			rawfs_reply(fd, unique, ENOENT, NULL, 0);
		break;
	case FUSE_FORGET:
		forget(fs, id, ((struct fuse_forget_in *)body)->nlookup);
		break;
	case FUSE_BATCH_FORGET: {
		struct fuse_batch_forget_in *in = (void *)body;
		struct fuse_forget_one *one = (void *)(in + 1);

		for (uint32_t i = 0; i < in->count; i++)
			forget(fs, one[i].nodeid, one[i].nlookup);
		break;
	}
	case FUSE_GETATTR:
		reply_attr(fs, req, id);
		break;
	case FUSE_SETATTR:
		do_setattr(fs, req);
		break;
	case FUSE_READLINK:
		rawfs_reply(fd, unique, 0, n->data, n->size);
		break;
	case FUSE_SYMLINK: {
		char *target = body + strlen(body) + 1;

		reply_entry(fs, req, add(fs, id, body, S_IFLNK | 0777, target));
		break;
	}
	case FUSE_MKNOD: {
		struct fuse_mknod_in *in = (void *)body;

		reply_entry(fs, req, add(fs, id, (char *)(in + 1), in->mode, NULL));
		break;
	}
	case FUSE_MKDIR: {
		struct fuse_mkdir_in *in = (void *)body;

		reply_entry(fs, req, add(fs, id, (char *)(in + 1), S_IFDIR | in->mode, NULL));
		break;
	}
	case FUSE_UNLINK:
	case FUSE_RMDIR:
		node = find(fs, id, body);
		if (node) {
			fs->node[node].name[0] = 0;
			fs->node[node].nlink = 0;
		}
		rawfs_reply(fd, unique, node ? 0 : ENOENT, NULL, 0);
		break;
	case FUSE_RENAME:
	case FUSE_RENAME2: {
		bool two = req->in.opcode == FUSE_RENAME2;
		char *old = body + (two ? sizeof(struct fuse_rename2_in) : sizeof(struct fuse_rename_in));
		char *new = old + strlen(old) + 1;
		uint64_t dir = *(uint64_t *)body, target = find(fs, dir, new);

		node = find(fs, id, old);
		if (target && two && (((struct fuse_rename2_in *)body)->flags & 1)) {
			rawfs_reply(fd, unique, EEXIST, NULL, 0);
			break;
		}
		if (target && two && (((struct fuse_rename2_in *)body)->flags & 2)) {
			fs->node[target].parent = id;
			strcpy(fs->node[target].name, old);
		} else if (target) {
			fs->node[target].name[0] = 0;
		}
		fs->node[node].parent = dir;
		strcpy(fs->node[node].name, new);
		rawfs_reply(fd, unique, 0, NULL, 0);
		break;
	}
	case FUSE_OPEN:
	case FUSE_OPENDIR: {
		struct fuse_open_out out = { .fh = id, .open_flags = fs->open_flags };

		if (req->in.opcode == FUSE_OPENDIR && fs->no_opendir)
			rawfs_reply(fd, unique, ENOSYS, NULL, 0);
		else
			rawfs_reply(fd, unique, 0, &out, sizeof(out));
		break;
	}
	case FUSE_CREATE: {
		struct fuse_create_in *in = (void *)body;
		struct {
			struct fuse_entry_out e;
			struct fuse_open_out o;
		} out = {};

		node = find(fs, id, (char *)(in + 1));
		if (!node)
			node = add(fs, id, (char *)(in + 1), in->mode, NULL);
		rawfs_entry(fs, node, &out.e);
		out.o.fh = node;
		out.o.open_flags = fs->open_flags;
		fs->node[node].nlookup++;
		fs->looked_up++;
		rawfs_reply(fd, unique, 0, &out, sizeof(out));
		break;
	}
	case FUSE_READ: {
		struct fuse_read_in *in = (void *)body;
		size_t len = in->offset < n->size ? n->size - in->offset : 0;

		rawfs_reply(fd, unique, 0, n->data + in->offset, len < in->size ? len : in->size);
		break;
	}
	case FUSE_WRITE: {
		struct fuse_write_in *in = (void *)body;
		struct fuse_write_out out = { .size = in->size };

		if (in->offset + in->size > RAWFS_DATA) {
			rawfs_reply(fd, unique, ENOSPC, NULL, 0);
			break;
		}
		memcpy(n->data + in->offset, in + 1, in->size);
		if (in->offset + in->size > n->size)
			n->size = in->offset + in->size;
		rawfs_reply(fd, unique, 0, &out, sizeof(out));
		break;
	}
	case FUSE_STATFS: {
		struct fuse_statfs_out out = { .st = { .blocks = 1000,
						       .bfree = 500,
						       .bavail = 400,
						       .bsize = 4096,
						       .frsize = 4096,
						       .namelen = 255 } };

		rawfs_reply(fd, unique, 0, &out, sizeof(out));
		break;
	}
	case FUSE_READDIR:
		do_readdir(fs, req, false);
		break;
	case FUSE_READDIRPLUS:
		do_readdir(fs, req, true);
		break;
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_FLUSH:
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
	case FUSE_DESTROY:
		rawfs_reply(fd, unique, 0, NULL, 0);
		break;
	case FUSE_INTERRUPT:
		break;
	default:
		rawfs_reply(fd, unique, ENOSYS, NULL, 0);
	}
	pthread_mutex_unlock(&fs->lock);
}

static void handle(struct rawfs *fs, struct rawfs_req *req)
{
	if (fs->witness)
		fs->witness(fs, req);
	if (req->in.opcode < 64)
		fs->count[req->in.opcode]++;
	if (!fs->hook || !fs->hook(fs, req))
		rawfs_default(fs, req);
}

static void *serve(void *arg)
{
	struct rawfs *fs = arg;
	struct rawfs_req *req = malloc(sizeof(*req));

	while (rawfs_read(fs->fd, req))
		handle(fs, req);
	free(req);
	return NULL;
}

void rawfs_expect(struct rawfs *fs, struct rawfs_req *req, uint32_t opcode)
{
	while (rawfs_read(fs->fd, req)) {
		if (req->in.opcode == opcode)
			return;
		handle(fs, req);
	}
	FAIL("the connection ended before opcode %u", opcode);
}

void rawfs_handshake(struct rawfs *fs)
{
	struct rawfs_req *req = malloc(sizeof(*req));

	CHECK(rawfs_read(fs->fd, req));
	CHECK_EQ(req->in.opcode, FUSE_INIT);
	rawfs_init(fs, req);
	free(req);
}

struct rawfs *rawfs_new(void)
{
	return calloc(1, sizeof(struct rawfs));
}

void rawfs_start_manual(struct rawfs *fs, const char *more)
{
	pthread_mutex_init(&fs->lock, NULL);
	fs->node[1] = (struct rawfs_node){ .used = true, .mode = S_IFDIR | 0755, .nlink = 2 };
	add(fs, 1, "file", S_IFREG | 0644, "hello world\n");
	add(fs, 1, "dir", S_IFDIR | 0755, NULL);
	add(fs, 1, "link", S_IFLNK | 0777, "file");
	rawfs_mountpoint(fs->mnt);
	fs->fd = rawfs_open();
	if (rawfs_mount(fs->fd, fs->mnt, more))
		FAIL("mount with '%s'", more);
}

void rawfs_serve(struct rawfs *fs)
{
	fs->running = true;
	CHECK(!pthread_create(&fs->thread, NULL, serve, fs));
}

void rawfs_start(struct rawfs *fs, const char *more)
{
	rawfs_start_manual(fs, more);
	rawfs_serve(fs);
}

void rawfs_stop(struct rawfs *fs)
{
	if (umount(fs->mnt))
		FAIL("umount");
	if (fs->running)
		pthread_join(fs->thread, NULL);
	close(fs->fd);
	rmdir(fs->mnt);
}

const char *rawfs_path(struct rawfs *fs, const char *name)
{
	static char ring[8][512];
	static atomic_int next;
	char *path = ring[next++ % 8];

	snprintf(path, 512, "%s/%s", fs->mnt, name);
	return path;
}

struct rawfs *rawfs_wanting(uint64_t flags)
{
	struct rawfs *fs = rawfs_new();

	fs->entry_valid = fs->attr_valid = 1000;
	flags |= FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_ASYNC_READ | FUSE_INIT_EXT;
	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = FUSE_KERNEL_MINOR_VERSION,
					       .max_readahead = 131072,
					       .max_write = 131072,
					       .max_pages = 32,
					       .flags = flags,
					       .flags2 = flags >> 32 };
	return fs;
}

void *volatile nowhere = (void *)8;

pid_t stat_in_child(struct rawfs *fs, const char *name)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct stat st;

		close(fs->fd);
		_exit(stat(rawfs_path(fs, name), &st) ? errno : 0);
	}
	return pid;
}

void drop_caches(const char *what)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	CHECK(fd >= 0 && write(fd, what, 1) == 1);
	close(fd);
}

const char *rawfs_disk(void)
{
	static char path[32];
	struct loop_config config = { .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	int control, disk, memory;

	if (access("/dev/loop-control", F_OK) && system("modprobe -q loop"))
		SKIP("no loop devices");
	control = open("/dev/loop-control", O_RDWR);
	CHECK(control >= 0);
	snprintf(path, sizeof(path), "/dev/loop%d", ioctl(control, LOOP_CTL_GET_FREE));
	/* It stays as long as it is open. */
	disk = open(path, O_RDWR | O_CLOEXEC);
	memory = memfd_create("disk", MFD_CLOEXEC);
	CHECK(disk >= 0 && memory >= 0);
	CHECK_EQ(ftruncate(memory, 1 << 20), 0);
	config.fd = memory;
	CHECK_EQ(ioctl(disk, LOOP_CONFIGURE, &config), 0);
	return path;
}

unsigned int set_limit(const char *name, unsigned int value)
{
	unsigned int before;
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/sys/fs/%s/%s", rawfs_type(), name);
	f = fopen(path, "r+");
	CHECK(f);
	CHECK_EQ(fscanf(f, "%u", &before), 1);
	rewind(f);
	setvbuf(f, NULL, _IONBF, 0);
	if (fprintf(f, "%u", value) < 0)
		before = -1;
	fclose(f);
	return before;
}

void rawfs_restart_on_disk(struct rawfs *fs, const char *more)
{
	char options[128], type[64];

	CHECK_EQ(mkdir(fs->mnt, 0755), 0);
	fs->fd = rawfs_open();
	snprintf(type, sizeof(type), "fuseblk%s", rawfs_type() + strlen("fuse"));
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0%s", fs->fd,
		 more);
	CHECK_EQ(mount(rawfs_disk(), fs->mnt, type, 0, options), 0);
	rawfs_serve(fs);
}

void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	CHECK(fd >= 0);
	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

void enter_namespace(const char *map)
{
	CHECK_EQ(unshare(CLONE_NEWUSER | CLONE_NEWNS), 0);
	write_file("/proc/self/setgroups", "deny");
	write_file("/proc/self/uid_map", map);
	write_file("/proc/self/gid_map", map);
}

void rawfs_cleanup(void)
{
	char prefix[64], line[512], mnt[256];
	FILE *f = fopen("/proc/self/mounts", "r");

	snprintf(prefix, sizeof(prefix), "/tmp/rawfs-%d-", getpid());
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %255s", mnt) == 1 && !strncmp(mnt, prefix, strlen(prefix))) {
			umount2(mnt, MNT_FORCE);
			umount2(mnt, MNT_DETACH);
			rmdir(mnt);
		}
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	return ktap_main(argv + 1, rawfs_cleanup);
}
