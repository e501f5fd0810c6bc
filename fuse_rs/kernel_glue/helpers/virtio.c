// SPDX-License-Identifier: GPL-2.0

#include <linux/interrupt.h>
#include <linux/mm.h>
#include "virtio.h"

struct virtio_driver *fuse_rs_helper_virtio_driver_of(struct virtio_device *device)
{
	return drv_to_virtio(device->dev.driver);
}

void *fuse_rs_helper_virtio_private(struct virtio_device *device)
{
	return device->priv;
}

void fuse_rs_helper_virtio_set_private(struct virtio_device *device, void *data)
{
	device->priv = data;
}

void fuse_rs_helper_virtio_get(struct virtio_device *device)
{
	get_device(&device->dev);
}

void fuse_rs_helper_virtio_put(struct virtio_device *device)
{
	put_device(&device->dev);
}

void fuse_rs_helper_virtio_lock(struct virtio_device *device)
{
	device_lock(&device->dev);
}

void fuse_rs_helper_virtio_unlock(struct virtio_device *device)
{
	device_unlock(&device->dev);
}

void fuse_rs_helper_virtio_read(struct virtio_device *device, unsigned int offset, void *to,
				size_t len)
{
	virtio_cread_bytes(device, offset, to, len);
}

bool fuse_rs_helper_virtio_shared_memory(struct virtio_device *device, u8 id, u64 *start, u64 *len)
{
	struct virtio_shm_region region = {};
	bool found = virtio_get_shm_region(device, &region, id);

	*start = region.addr;
	*len = region.len;
	return found;
}

int fuse_rs_helper_virtio_find_queues(struct virtio_device *device, unsigned int count,
				      struct virtqueue **queues, struct virtqueue_info *infos,
				      struct irq_affinity *affinity)
{
	return virtio_find_vqs(device, count, queues, infos, affinity);
}

void fuse_rs_helper_virtio_delete_queues(struct virtio_device *device)
{
	device->config->del_vqs(device);
}

void fuse_rs_helper_virtio_ready(struct virtio_device *device)
{
	virtio_device_ready(device);
}

struct virtio_device *fuse_rs_helper_virtqueue_device(struct virtqueue *queue)
{
	return queue->vdev;
}

unsigned int fuse_rs_helper_virtqueue_index(struct virtqueue *queue)
{
	return queue->index;
}

bool fuse_rs_helper_virtqueue_is_for(struct virtio_device *device, int index, unsigned int cpu)
{
	return device->config->get_vq_affinity &&
	       cpumask_test_cpu(cpu, device->config->get_vq_affinity(device, index) ?: cpu_none_mask);
}

int fuse_rs_helper_virtio_index(const struct virtio_device *device)
{
	return device->index;
}

struct kobject *fuse_rs_helper_virtio_object(struct virtio_device *device)
{
	return &device->dev.kobj;
}

void fuse_rs_helper_sg_set_buf(struct scatterlist *entry, const void *buf, unsigned int len)
{
	sg_set_buf(entry, buf, len);
}

void fuse_rs_helper_sg_set_page(struct scatterlist *entry, struct page *page, unsigned int len,
				unsigned int offset)
{
	sg_set_page(entry, page, len, offset);
}

void fuse_rs_helper_sg_mark_end(struct scatterlist *entry)
{
	sg_mark_end(entry);
}

bool fuse_rs_helper_is_vmalloc(const void *address)
{
	return is_vmalloc_or_module_addr(address);
}

struct page *fuse_rs_helper_folio_page(struct folio *folio, size_t offset)
{
	return folio_page(folio, offset / PAGE_SIZE);
}
