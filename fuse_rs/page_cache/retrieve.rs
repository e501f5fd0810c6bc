// SPDX-License-Identifier: GPL-2.0

//! Giving the server what is cached.

use crate::connection::call::Envelope;
use crate::connection::payload::Payload;
use crate::filesystem::inode;
use crate::filesystem::Inode;
use crate::prelude::*;
use fuse_pure::abi::ids::Unique;
use fuse_pure::op::notify::NotifyReply;
use kernel_glue::mem::pages::PAGE_SIZE;

/// Sends the server what is cached from `offset` on without a gap, under the id `unique`: up to
/// `len` bytes, and no more than fit into a WRITE.
pub(crate) fn retrieve(inode: &Inode, unique: Unique, offset: u64, len: u32) -> Result {
    let connection = inode::connection(inode);
    let terms = connection.terms().ok_or(EINVAL)?;
    let pages = usize::from(terms.max_pages).saturating_mul(PAGE_SIZE);
    let fits = pages.saturating_sub(offset as usize % PAGE_SIZE);
    let most = (len.min(terms.max_write) as usize).min(fits);
    let there = inode.size().saturating_sub(offset);
    let wanted = usize::try_from(there).map_or(most, |there| there.min(most));
    // A copy: what is cached may change before the server has read it.
    let data = inode.copy_cached(offset, wanted)?;
    let op = NotifyReply {
        offset,
        len: u32::try_from(data.len()).map_err(|_| EINVAL)?,
    };
    let data = Payload::Own(Arc::new(data, GFP_KERNEL)?);
    connection.tell_server(&op, Envelope::by_kernel(inode::node(inode)?), unique, data)
}
