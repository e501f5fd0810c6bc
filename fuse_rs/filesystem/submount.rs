// SPDX-License-Identifier: GPL-2.0

//! Submounts: what the server says is the root of another file system (FUSE_ATTR_SUBMOUNT) is mounted as
//! one, with a device number of its own, when somebody goes there.
//!
//! The connection is the same. The directory on which it is mounted and the root of what is mounted
//! are two inodes of one node, which is given back when both are gone. The directory is not found by its
//! node: whoever looks for that means the root.

use super::inode;
use super::mount;
use super::mount::Mount;
use super::mount::SuperData;
use super::Fuse;
use super::Inode;
use crate::prelude::*;
use fuse_pure::abi::flags::AttrFlags;
use fuse_pure::op::Entry;
use fuse_pure::op::FileType;
use kernel_glue::vfs::context::MountLog;
use kernel_glue::vfs::submount::SubmountOperations;
use kernel_glue::vfs::super_block::FilledSuper;
use kernel_glue::vfs::super_block::NewSuper;

/// Whether an entry is a directory on which another file system is to be mounted.
pub(crate) fn is_announced(mount: &Mount, entry: &Entry) -> bool {
    mount.mounts_submounts()
        && entry.attr.kind == FileType::Directory
        && entry.attr.flags.contains(AttrFlags::SUBMOUNT)
}

/// The number by which users see a mount point on which nothing is mounted. That of the server is its
/// root's, of which there may be another in the file system it is in: two directories would seem one.
pub(crate) fn number(point: &Inode) -> u64 {
    /// No file system counts as far as that.
    const ELSEWHERE: u64 = 1 << 63;
    point.data().key() | ELSEWHERE
}

impl SubmountOperations for Fuse {
    fn new_submount(point: &Inode) -> Result<KBox<SuperData>> {
        inode::node(point)?;
        SuperData::new(point.super_block().data().mount.clone(), true)
    }

    fn fill_submount<'a>(
        sb: NewSuper<'a, Self>,
        point: &Inode,
        log: &MountLog<'_>,
    ) -> Result<FilledSuper<'a, Self>> {
        let mount = inode::mount(point);
        let terms = mount.connection.wait_ready()?;
        let settings = sb.data().settings(None);
        let sb = sb.set_up(&settings, log)?;
        let root = inode::make_submounted_root(sb.super_block(), point)?;
        let filled = sb.set_root(root.clone())?;
        mount::apply(filled.super_block(), terms);
        filled.super_block().data().start(&root)?;
        Ok(filled)
    }
}
