// SPDX-License-Identifier: GPL-2.0

//! What a file system is to the kernel.
//!
//! A file system is a type that implements [`FileSystem`], which names its data types, and the
//! operation traits. The tables of C callbacks are generated from them here, once per type.

pub mod attributes;
pub mod caller;
pub mod context;
pub mod deferred;
pub mod dentry;
pub mod dir_ops;
pub mod export;
pub mod file;
pub mod file_ops;
pub mod fs_type;
pub mod inode;
pub mod inode_cache;
pub mod inode_ops;
pub mod io;
pub mod ioctl;
pub mod kept;
pub mod kept_super;
pub mod label;
pub mod lock;
pub mod page_ops;
pub mod poll;
pub mod remembered;
pub mod submount;
pub mod super_block;
pub mod sysfs;
pub mod value_tree;
pub mod xattr;

use kernel::prelude::*;

/// The types of a file system.
pub trait FileSystem: Sized + Send + Sync + 'static {
    /// What all mounts share.
    type Shared: Send + Sync;
    /// A mount that is being set up.
    type Config: Send;
    /// Data of a super block.
    type Super: Send + Sync;
    /// Data of an inode, stored together with it. What it drops must not sleep: inodes are freed
    /// in RCU callbacks.
    type Inode: Send + Sync;
    /// Data of a directory entry that is remembered, see [`remembered::Remembered`].
    type Entry: Send + Sync;
    /// Data of an open file or directory.
    type Handle: Send + Sync;

    /// Where inodes are allocated.
    fn inode_cache() -> &'static inode_cache::InodeCache<Self>;

    /// Makes the data of an inode that will have this key.
    fn new_inode() -> impl PinInit<Self::Inode, Error>;

    /// Gives a new inode its key. Called once, before anybody else sees the inode.
    fn set_key(inode: &Self::Inode, key: u64);

    /// The key of an inode.
    fn key(inode: &Self::Inode) -> u64;
}
