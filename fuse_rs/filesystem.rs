// SPDX-License-Identifier: GPL-2.0

//! What the kernel asks of a mounted file system.

pub(crate) mod attributes;
pub(crate) mod birth;
pub(crate) mod dentry;
pub(crate) mod directory;
pub(crate) mod expiry;
pub(crate) mod export;
pub(crate) mod extension;
pub(crate) mod handle;
pub(crate) mod inode;
pub(crate) mod ioctl;
pub(crate) mod kept;
pub(crate) mod late;
mod listing;
pub(crate) mod lock;
pub(crate) mod mount;
pub(crate) mod notify;
pub(crate) mod options;
pub(crate) mod permission;
pub(crate) mod poll;
pub(crate) mod range;
pub(crate) mod readdir;
pub(crate) mod set_ids;
pub(crate) mod submount;
pub(crate) mod super_block;
pub(crate) mod supers;
pub(crate) mod xattr;

use crate::control::Control;
use crate::prelude::*;
use kernel_glue::vfs::inode_cache::InodeCache;
use kernel_glue::vfs::FileSystem;

/// Inodes of all mounts.
pub(crate) static INODES: InodeCache<Fuse> = InodeCache::new();

/// The file system.
pub(crate) struct Fuse;

/// An inode of ours.
pub(crate) type Inode = kernel_glue::vfs::inode::Inode<Fuse>;
/// A directory entry of ours.
pub(crate) type Dentry = kernel_glue::vfs::dentry::Dentry<Fuse>;
/// A super block of ours.
pub(crate) type SuperBlock = kernel_glue::vfs::super_block::SuperBlock<Fuse>;
/// An open file of ours.
pub(crate) type OpenFile<'a> = kernel_glue::vfs::file::OpenFileRef<'a, Fuse>;

impl FileSystem for Fuse {
    type Shared = Control;
    type Config = options::Config;
    type Super = mount::SuperData;
    type Inode = inode::InodeData;
    type Entry = expiry::Place;
    type Handle = handle::Handle;

    fn inode_cache() -> &'static InodeCache<Self> {
        &INODES
    }

    fn new_inode() -> impl PinInit<inode::InodeData, Error> {
        inode::InodeData::new()
    }

    fn set_key(inode: &inode::InodeData, key: u64) {
        inode.set_key(key);
    }

    fn key(inode: &inode::InodeData) -> u64 {
        inode.key()
    }
}
