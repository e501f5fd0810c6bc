// SPDX-License-Identifier: GPL-2.0

//! What the server tells without being asked.

use super::attributes;
use super::directory;
use super::listing;
use super::Fuse;
use super::Inode;
use crate::connection::notify::Audience;
use crate::dax;
use crate::page_cache;
use crate::page_cache::stale;
use crate::prelude::*;
use fuse_pure::abi::ids::NodeId;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::logic::belief::Belief;
use fuse_pure::op::notify::Notice;
use fuse_pure::op::notify::Range;
use kernel::sync::aref::ARef;
use kernel_glue::mem::pages::PageData;
use kernel_glue::vfs::dentry::KnownChild;

/// A mount that hears of its server.
pub(crate) struct Ears {
    /// Any inode of it.
    pub(crate) root: ARef<Inode>,
}

impl Ears {
    fn inode(&self, node: NodeId) -> Result<ARef<Inode>> {
        let sb = self.root.super_block();
        sb.find_inode(node.get()).ok_or(ENOENT)
    }
}

impl Audience for Ears {
    fn notify(&self, notice: Notice<'_>, data: Option<&PageData>) -> Result {
        match notice {
            Notice::Ready { kh } => {
                super::inode::mount(&self.root).polled.wake(kh);
                Ok(())
            }
            Notice::InvalidInode { node, data } => invalid_inode(&*self.inode(node)?, data),
            Notice::InvalidEntry {
                parent,
                name,
                expire_only,
            } => {
                let dir = self.inode(parent)?;
                directory::changed(&dir);
                dir.with_cached_child(name.as_bytes(), |entry| {
                    expired(&entry, expire_only);
                    Ok(())
                })
            }
            Notice::Deleted {
                parent,
                child,
                name,
            } => {
                let dir = self.inode(parent)?;
                directory::changed(&dir);
                dir.with_cached_child(name.as_bytes(), |entry| {
                    expired(&entry, false);
                    match entry.dentry().inode() {
                        Some(_) => entry.remove(|inode| inode.data().key() == child.get()),
                        None => Ok(()),
                    }
                })
            }
            Notice::Store { node, offset, .. } => {
                let inode = self.inode(node)?;
                if !inode.is_regular() {
                    return Err(EINVAL);
                }
                page_cache::write::store(&inode, offset, data.ok_or(EINVAL)?)
            }
            Notice::Retrieve {
                unique,
                node,
                offset,
                len,
            } => {
                let inode = self.inode(node)?;
                if !inode.is_regular() {
                    return Err(EINVAL);
                }
                page_cache::retrieve::retrieve(&inode, unique, offset, len)
            }
            Notice::NewEpoch => {
                let mount = super::inode::mount(&self.root);
                mount.connection.begin_epoch();
                if mount.expiry.is_some() {
                    // The time of all names is over.
                    self.root.super_block().drop_unused_names();
                }
                Ok(())
            }
            // The connection's own.
            Notice::Resend | Notice::Prune => Ok(()),
        }
    }

    fn prune(&self, node: NodeId) {
        if let Ok(inode) = self.inode(node) {
            inode.drop_unused_names();
        }
    }

    fn make_room(&self) -> bool {
        dax::reclaim::make_room(self.root.super_block())
    }

    fn leave_window(&self) {
        self.root.super_block().unmap_memory();
    }

    fn look_after(&self) {
        let mount = super::inode::mount(&self.root);
        if let Some(expiry) = &mount.expiry {
            expiry.drop_over(&mount.connection);
        }
    }
}

fn invalid_inode(inode: &Inode, data: Option<Range>) -> Result {
    inode.data().state.lock().version = super::inode::connection(inode).next_attr_version();
    attributes::invalidate(inode);
    if super::inode::connection(inode).has(InitFlags::POSIX_ACL) {
        inode.forget_acls();
    }
    match data {
        Some(_) if inode.is_directory() => {
            listing::forget(inode);
            Ok(())
        }
        Some(_) if inode.is_symlink() => stale::drop_behind(inode, 0),
        Some(range) => {
            stale::drop_range(inode, range.start, range.end - range.start)?;
            // What was dirty is with the server when that is told that all is dropped.
            inode.data().in_flight.wait(range.start..range.end)
        }
        None => Ok(()),
    }
}

fn expired(entry: &KnownChild<Fuse>, only: bool) {
    entry.dentry().set_belief(Belief::NONE.bits());
    if !only {
        entry.invalidate();
    }
}
