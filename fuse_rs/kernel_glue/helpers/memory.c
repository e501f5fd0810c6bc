// SPDX-License-Identifier: GPL-2.0

#include <linux/backing-dev.h>
#include <linux/highmem.h>
#include <linux/sched/mm.h>
#include <linux/uaccess.h>
#include "helpers.h"

void fuse_rs_helper_folio_get(struct folio *folio)
{
	folio_get(folio);
}

void fuse_rs_helper_folio_put(struct folio *folio)
{
	folio_put(folio);
}

void fuse_rs_helper_folio_unlock(struct folio *folio)
{
	folio_unlock(folio);
}

size_t fuse_rs_helper_folio_size(struct folio *folio)
{
	return folio_size(folio);
}

loff_t fuse_rs_helper_folio_pos(struct folio *folio)
{
	return folio_pos(folio);
}

bool fuse_rs_helper_folio_uptodate(struct folio *folio)
{
	return folio_test_uptodate(folio);
}

void fuse_rs_helper_folio_mark_uptodate(struct folio *folio)
{
	folio_mark_uptodate(folio);
}

size_t fuse_rs_helper_copy_folio_from_iter(struct folio *folio, size_t offset, size_t bytes,
					   struct iov_iter *i)
{
	return copy_folio_from_iter(folio, offset, bytes, i);
}

void fuse_rs_helper_folio_zero_segment(struct folio *folio, size_t start, size_t end)
{
	folio_zero_segment(folio, start, end);
}

void fuse_rs_helper_memcpy_to_folio(struct folio *folio, size_t offset, const char *from,
				    size_t len)
{
	memcpy_to_folio(folio, offset, from, len);
}

void fuse_rs_helper_memcpy_from_folio(char *to, struct folio *folio, size_t offset, size_t len)
{
	memcpy_from_folio(to, folio, offset, len);
}

struct folio *fuse_rs_helper_readahead_folio(struct readahead_control *rac)
{
	return __readahead_folio(rac);
}

struct folio *fuse_rs_helper_lock_cached_folio(struct address_space *mapping, pgoff_t index,
					       bool create)
{
	return __filemap_get_folio(mapping, index, FGP_LOCK | FGP_WRITE | (create ? FGP_CREAT : 0),
				   mapping_gfp_mask(mapping));
}

struct folio *fuse_rs_helper_get_cached_folio(struct address_space *mapping, pgoff_t index)
{
	return __filemap_get_folio(mapping, index, FGP_ACCESSED, 0);
}

struct folio *fuse_rs_helper_folio_for_write(struct address_space *mapping, pgoff_t index,
					     size_t len)
{
	return __filemap_get_folio(mapping, index, FGP_WRITEBEGIN | fgf_set_order(len),
				   mapping_gfp_mask(mapping));
}

struct folio *fuse_rs_helper_make_low_folio(struct address_space *mapping, pgoff_t index)
{
	return __filemap_get_folio(mapping, index, FGP_LOCK | FGP_ACCESSED | FGP_CREAT,
				   mapping_gfp_constraint(mapping, ~__GFP_HIGHMEM));
}

int fuse_rs_helper_folio_lock_killable(struct folio *folio)
{
	return folio_lock_killable(folio);
}

struct folio *fuse_rs_helper_alloc_folio(gfp_t gfp, unsigned int order)
{
	return folio_alloc(gfp, order);
}

void *fuse_rs_helper_folio_address(struct folio *folio)
{
	return folio_address(folio);
}

int fuse_rs_helper_folio_ref_count(struct folio *folio)
{
	return folio_ref_count(folio);
}

int fuse_rs_helper_add_folio(struct address_space *mapping, struct folio *folio, pgoff_t index)
{
	return filemap_add_folio(mapping, folio, index, mapping_gfp_mask(mapping) | __GFP_WRITE);
}

unsigned int fuse_rs_helper_max_folio_order(struct address_space *mapping)
{
	return mapping_max_folio_order(mapping);
}

void fuse_rs_helper_set_max_folio_order(struct address_space *mapping, unsigned int order)
{
	mapping_set_folio_order_range(mapping, 0, order);
}

void fuse_rs_helper_keep_reclaim_from_waiting(struct address_space *mapping)
{
	mapping_set_writeback_may_deadlock_on_reclaim(mapping);
}

size_t fuse_rs_helper_copy_folio_to_iter(struct folio *folio, size_t offset, size_t len,
					 struct iov_iter *to)
{
	return copy_to_iter(folio_address(folio) + offset, len, to);
}

void fuse_rs_helper_forbid_large_folios(struct address_space *mapping)
{
	atomic_long_andnot(AS_FOLIO_ORDER_MASK, (atomic_long_t *)&mapping->flags);
}

size_t fuse_rs_helper_readahead_length(struct readahead_control *rac)
{
	return readahead_length(rac);
}

int fuse_rs_helper_get_user_u32(u32 *value, unsigned long address)
{
	return get_user(*value, (u32 __user *)address);
}

void fuse_rs_helper_set_delayed_folio_put(struct delayed_call *done, struct folio *folio)
{
	set_delayed_call(done, page_put_link, folio);
}

struct address_space *fuse_rs_helper_folio_mapping(struct folio *folio)
{
	return folio->mapping;
}

size_t fuse_rs_helper_pipe_room(const struct pipe_inode_info *pipe)
{
	return pipe->max_usage - pipe_occupancy(pipe->head, pipe->tail);
}

ssize_t fuse_rs_helper_add_page_to_pipe(struct pipe_inode_info *pipe, void *address,
					unsigned int len)
{
	return add_to_pipe(pipe, &(struct pipe_buffer){ .page = virt_to_page(address), .len = len,
							 .ops = &nosteal_pipe_buf_ops });
}

void fuse_rs_helper_get_page(void *address)
{
	get_page(virt_to_page(address));
}

void fuse_rs_helper_put_page(void *address)
{
	put_page(virt_to_page(address));
}

unsigned long fuse_rs_helper_totalram_pages(void)
{
	return totalram_pages();
}

bool fuse_rs_helper_user_backed(const struct iov_iter *iter)
{
	return user_backed_iter(iter);
}

void fuse_rs_helper_memcpy_from_page(char *to, struct page *page, size_t offset, size_t len)
{
	memcpy_from_page(to, page, offset, len);
}

void fuse_rs_helper_copy_page(void *to, struct page *page)
{
	copy_highpage(virt_to_page(to), page);
}

void fuse_rs_helper_pagefault_disable(void)
{
	pagefault_disable();
}

void fuse_rs_helper_pagefault_enable(void)
{
	pagefault_enable();
}

struct pipe_buffer *fuse_rs_helper_pipe_buffer(struct pipe_inode_info *pipe, unsigned int n)
{
	return n < pipe_buf_usage(pipe) ? pipe_buf(pipe, pipe->tail + n) : NULL;
}

void fuse_rs_helper_pipe_drop_buffer(struct pipe_inode_info *pipe)
{
	pipe->tail++;
}

bool fuse_rs_helper_pipe_buf_get(struct pipe_inode_info *pipe, struct pipe_buffer *buf)
{
	return pipe_buf_get(pipe, buf);
}

int fuse_rs_helper_pipe_buf_confirm(struct pipe_inode_info *pipe, struct pipe_buffer *buf)
{
	return pipe_buf_confirm(pipe, buf);
}

void fuse_rs_helper_pipe_buf_release(struct pipe_inode_info *pipe, struct pipe_buffer *buf)
{
	pipe_buf_release(pipe, buf);
}

void fuse_rs_helper_pipe_wake_writers(struct pipe_inode_info *pipe)
{
	wake_up_interruptible(&pipe->wr_wait);
}

int fuse_rs_helper_folio_batch_wait(struct folio_batch *batch, unsigned int n)
{
	return folio_wait_locked_killable(batch->folios[n]);
}

void fuse_rs_helper_folio_batch_release(struct folio_batch *batch)
{
	folio_batch_release(batch);
}

unsigned long fuse_rs_helper_folio_private(struct folio *folio)
{
	return (unsigned long)folio_get_private(folio);
}

void fuse_rs_helper_folio_set_private(struct folio *folio, unsigned long value)
{
	if (folio_test_private(folio))
		folio_detach_private(folio);
	if (value)
		folio_attach_private(folio, (void *)value);
}

bool fuse_rs_helper_folio_is_dirty(struct folio *folio)
{
	return folio_test_dirty(folio);
}

bool fuse_rs_helper_folio_is_pinned(struct folio *folio)
{
	return folio_maybe_dma_pinned(folio);
}

unsigned int fuse_rs_helper_memalloc_nofs_save(void)
{
	return memalloc_nofs_save();
}

void fuse_rs_helper_memalloc_nofs_restore(unsigned int flags)
{
	memalloc_nofs_restore(flags);
}

bool fuse_rs_helper_mapping_is_dirty(struct address_space *mapping)
{
	return mapping_tagged(mapping, PAGECACHE_TAG_DIRTY);
}

void fuse_rs_helper_mapping_set_error(struct address_space *mapping, int error)
{
	mapping_set_error(mapping, error);
}

void fuse_rs_helper_count_writeback(struct inode *inode, long pages)
{
	bdi_wb_stat_mod(inode, WB_WRITEBACK, pages);
}

struct folio *fuse_rs_helper_page_folio(struct page *page)
{
	return page_folio(page);
}
