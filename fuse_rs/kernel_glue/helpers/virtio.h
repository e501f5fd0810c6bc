/* SPDX-License-Identifier: GPL-2.0 */
/* Inline functions of virtio's headers as functions that Rust can call. */
#ifndef FUSE_RS_HELPERS_VIRTIO_H
#define FUSE_RS_HELPERS_VIRTIO_H

#include <linux/scatterlist.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>

struct virtio_driver *fuse_rs_helper_virtio_driver_of(struct virtio_device *device);
void *fuse_rs_helper_virtio_private(struct virtio_device *device);
void fuse_rs_helper_virtio_set_private(struct virtio_device *device, void *data);
void fuse_rs_helper_virtio_get(struct virtio_device *device);
void fuse_rs_helper_virtio_put(struct virtio_device *device);
void fuse_rs_helper_virtio_lock(struct virtio_device *device);
void fuse_rs_helper_virtio_unlock(struct virtio_device *device);
void fuse_rs_helper_virtio_read(struct virtio_device *device, unsigned int offset, void *to,
				size_t len);
bool fuse_rs_helper_virtio_shared_memory(struct virtio_device *device, u8 id, u64 *start, u64 *len);
int fuse_rs_helper_virtio_find_queues(struct virtio_device *device, unsigned int count,
				      struct virtqueue **queues, struct virtqueue_info *infos,
				      struct irq_affinity *affinity);
void fuse_rs_helper_virtio_delete_queues(struct virtio_device *device);
void fuse_rs_helper_virtio_ready(struct virtio_device *device);
struct virtio_device *fuse_rs_helper_virtqueue_device(struct virtqueue *queue);
unsigned int fuse_rs_helper_virtqueue_index(struct virtqueue *queue);
bool fuse_rs_helper_virtqueue_is_for(struct virtio_device *device, int index, unsigned int cpu);
int fuse_rs_helper_virtio_index(const struct virtio_device *device);
struct kobject *fuse_rs_helper_virtio_object(struct virtio_device *device);
void fuse_rs_helper_sg_set_buf(struct scatterlist *entry, const void *buf, unsigned int len);
void fuse_rs_helper_sg_set_page(struct scatterlist *entry, struct page *page, unsigned int len,
				unsigned int offset);
void fuse_rs_helper_sg_mark_end(struct scatterlist *entry);
bool fuse_rs_helper_is_vmalloc(const void *address);
struct page *fuse_rs_helper_folio_page(struct folio *folio, size_t offset);

#endif
