/* SPDX-License-Identifier: GPL-2.0 */
/* Inline functions of the DAX headers as functions that Rust can call. */
#ifndef FUSE_RS_HELPERS_DAX_H
#define FUSE_RS_HELPERS_DAX_H

#include <linux/dax.h>
#include <linux/iomap.h>
#include <linux/memremap.h>

bool fuse_rs_helper_request_memory(u64 start, u64 len, const char *name);
void fuse_rs_helper_release_memory(u64 start, u64 len);
void *fuse_rs_helper_map_dax_memory(struct dev_pagemap *map, u64 start, u64 len);
bool fuse_rs_helper_is_dax_page_used(u64 address);
void fuse_rs_helper_flush_dax(struct dax_device *device, void *address, size_t len);
void fuse_rs_helper_break_layout_final(struct inode *inode);
void fuse_rs_helper_start_pagefault(struct super_block *sb);
void fuse_rs_helper_end_pagefault(struct super_block *sb);
void fuse_rs_helper_set_dax_mapping(struct vm_area_struct *vma);

#endif
