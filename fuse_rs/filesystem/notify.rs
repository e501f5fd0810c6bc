// SPDX-License-Identifier: GPL-2.0

//! What the server tells without being asked.

use super::attributes;
use super::directory;
use super::listing;
use super::mount::Mount;
use super::Fuse;
use super::Inode;
use super::SuperBlock;
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
use kernel_glue::mem::pages::PageData;
use kernel_glue::vfs::dentry::KnownChild;

/// A mount that hears of its server. Lives until the mount stops listening.
pub(crate) struct Ears(pub(crate) Arc<Mount>);

impl Audience for Ears {
    fn notify(&self, notice: Notice<'_>, data: Option<&PageData>) -> Result {
        let supers = &self.0.supers;
        match notice {
            Notice::Ready { kh } => {
                self.0.polled.wake(kh);
                Ok(())
            }
            Notice::InvalidInode { node, data } => {
                supers.with_inode(node, |inode| invalid_inode(inode, data))
            }
            Notice::InvalidEntry {
                parent,
                name,
                expire_only,
            } => supers.with_inode(parent, |dir| {
                directory::changed(dir);
                dir.with_cached_child(name.as_bytes(), |entry| {
                    expired(&entry, expire_only);
                    Ok(())
                })
            }),
            Notice::Deleted {
                parent,
                child,
                name,
            } => supers.with_inode(parent, |dir| {
                directory::changed(dir);
                dir.with_cached_child(name.as_bytes(), |entry| {
                    expired(&entry, false);
                    match entry.dentry().inode() {
                        Some(_) => entry.remove(|inode| inode.data().key() == child.get()),
                        None => Ok(()),
                    }
                })
            }),
            Notice::Store { node, offset, .. } => supers.with_inode(node, |inode| {
                if !inode.is_regular() {
                    return Err(EINVAL);
                }
                page_cache::write::store(inode, offset, data.ok_or(EINVAL)?)
            }),
            Notice::Retrieve {
                unique,
                node,
                offset,
                len,
            } => supers.with_inode(node, |inode| {
                if !inode.is_regular() {
                    return Err(EINVAL);
                }
                page_cache::retrieve::retrieve(inode, unique, offset, len)
            }),
            Notice::NewEpoch => {
                self.0.connection.begin_epoch();
                supers.each(|sb| {
                    if sb.data().expiry.is_some() {
                        // The time of all names is over.
                        sb.drop_unused_names();
                    }
                });
                Ok(())
            }
            // The connection's own.
            Notice::Resend | Notice::Prune => Ok(()),
        }
    }

    fn prune(&self, node: NodeId) {
        // What is not known need not be given back.
        let _ = self.0.supers.with_inode(node, |inode| {
            inode.drop_unused_names();
            Ok(())
        });
    }

    fn make_room(&self) -> bool {
        dax::reclaim::make_room(&self.0)
    }

    fn leave_window(&self) {
        self.0.supers.each(SuperBlock::unmap_memory);
    }

    fn look_after(&self) {
        self.0.supers.each(|sb| {
            if let Some(expiry) = &sb.data().expiry {
                expiry.drop_over(&self.0.connection);
            }
        });
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
