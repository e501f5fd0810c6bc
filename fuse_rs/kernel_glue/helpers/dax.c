// SPDX-License-Identifier: GPL-2.0

#include <linux/ioport.h>
#include <linux/mm.h>
#include "dax.h"

bool fuse_rs_helper_request_memory(u64 start, u64 len, const char *name)
{
	return request_mem_region(start, len, name);
}

void fuse_rs_helper_release_memory(u64 start, u64 len)
{
	release_mem_region(start, len);
}

void *fuse_rs_helper_map_dax_memory(struct dev_pagemap *map, u64 start, u64 len)
{
	map->type = MEMORY_DEVICE_FS_DAX;
	map->range = (struct range) { .start = start, .end = start + len - 1 };
	map->nr_range = 1;
	return memremap_pages(map, NUMA_NO_NODE);
}

bool fuse_rs_helper_is_dax_page_used(u64 address)
{
	return page_ref_count(pfn_to_page(PHYS_PFN(address))) || pfn_to_page(PHYS_PFN(address))->mapping;
}

void fuse_rs_helper_flush_dax(struct dax_device *device, void *address, size_t len)
{
	dax_flush(device, address, len);
}

void fuse_rs_helper_break_layout_final(struct inode *inode)
{
	dax_break_layout_final(inode);
}

void fuse_rs_helper_start_pagefault(struct super_block *sb)
{
	sb_start_pagefault(sb);
}

void fuse_rs_helper_end_pagefault(struct super_block *sb)
{
	sb_end_pagefault(sb);
}

void fuse_rs_helper_set_dax_mapping(struct vm_area_struct *vma)
{
	vm_flags_set(vma, VM_MIXEDMAP | VM_HUGEPAGE);
}
