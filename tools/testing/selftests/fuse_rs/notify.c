// SPDX-License-Identifier: GPL-2.0
#include <sys/uio.h>
#include "notify.h"

int notify(struct rawfs *fs, int code, const void *head, size_t head_len, const void *rest,
		size_t rest_len)
{
	struct fuse_out_header out = { .len = sizeof(out) + head_len + rest_len, .error = code };
	struct iovec iov[3] = { { &out, sizeof(out) },
				{ (void *)head, head_len },
				{ (void *)rest, rest_len } };

	return writev(fs->fd, iov, 3) == out.len ? 0 : errno;
}

int notify_inval_inode(struct rawfs *fs, uint64_t node, int64_t off, int64_t len)
{
	struct fuse_notify_inval_inode_out head = { .ino = node, .off = off, .len = len };

	return notify(fs, FUSE_NOTIFY_INVAL_INODE, &head, sizeof(head), NULL, 0);
}

int notify_inval_entry(struct rawfs *fs, uint64_t parent, const char *name, uint32_t flags)
{
	struct fuse_notify_inval_entry_out head = { .parent = parent,
						    .namelen = strlen(name),
						    .flags = flags };

	return notify(fs, FUSE_NOTIFY_INVAL_ENTRY, &head, sizeof(head), name, strlen(name) + 1);
}

int notify_deleted(struct rawfs *fs, uint64_t parent, uint64_t child, const char *name)
{
	struct fuse_notify_delete_out head = { .parent = parent,
					       .child = child,
					       .namelen = strlen(name) };

	return notify(fs, FUSE_NOTIFY_DELETE, &head, sizeof(head), name, strlen(name) + 1);
}

int notify_store(struct rawfs *fs, uint64_t node, uint64_t offset, const void *data, uint32_t len)
{
	struct fuse_notify_store_out head = { .nodeid = node, .offset = offset, .size = len };

	return notify(fs, FUSE_NOTIFY_STORE, &head, sizeof(head), data, len);
}
