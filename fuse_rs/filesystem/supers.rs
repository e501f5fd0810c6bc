// SPDX-License-Identifier: GPL-2.0

//! The super blocks of a connection: that of the mount, and those of its submounts.
//!
//! All of them have inodes, so whoever looks for one by what the server knows it as has to look in
//! each. A super block is not shut down while it is looked at; when it is, it is not found any more.

use super::Inode;
use super::SuperBlock;
use crate::connection::Connection;
use crate::connection::End;
use crate::prelude::*;
use fuse_pure::abi::ids::NodeId;
use kernel::rbtree::RBTree;
use kernel::rbtree::RBTreeNode;
use kernel::sync::aref::ARef;
use kernel_glue::sync::wait::WaitQueue;

struct Member {
    root: ARef<Inode>,
    visitors: usize,
    /// It is being shut down.
    leaves: bool,
}

/// The super blocks of a connection.
#[pin_data]
pub(crate) struct Supers {
    /// By their device numbers.
    #[pin]
    members: SpinLock<RBTree<u32, Member>>,
    /// Woken when one that is being shut down has no visitors.
    #[pin]
    wait: WaitQueue,
}

/// Keeps a super block from being shut down.
struct Visit<'a> {
    supers: &'a Supers,
    number: u32,
    /// Taken before the visit ends.
    root: Option<ARef<Inode>>,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        drop(self.root.take());
        let wakes = {
            let mut members = self.supers.members.lock();
            members.get_mut(&self.number).is_some_and(|member| {
                member.visitors = member.visitors.saturating_sub(1);
                member.leaves && member.visitors == 0
            })
        };
        if wakes {
            self.supers.wait.wake_all();
        }
    }
}

impl Supers {
    /// None yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            members <- new_spinlock!(RBTree::new(), "fuse_rs::Supers::members"),
            wait <- new_wait_queue!("fuse_rs::Supers::wait"),
        })
    }

    /// From now on the super block of `root` is one of them.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn add(&self, root: &Inode) -> Result {
        let member = Member {
            root: root.into(),
            visitors: 0,
            leaves: false,
        };
        let number = root.super_block().device_number();
        let node = RBTreeNode::new(number, member, GFP_KERNEL)?;
        let old = self.members.lock().insert(node);
        drop(old);
        Ok(())
    }

    /// The first with at least this number.
    fn visit(&self, number: u32) -> Option<Visit<'_>> {
        let mut members = self.members.lock();
        let mut cursor = members.cursor_lower_bound_mut(&number)?;
        while cursor.current().1.leaves {
            cursor = cursor.move_next()?;
        }
        let (number, member) = cursor.current_mut();
        member.visitors = member.visitors.saturating_add(1);
        Some(Visit {
            supers: self,
            number: *number,
            root: Some(member.root.clone()),
        })
    }

    /// What the first makes of it from which `find` returns something. What that is has to do without
    /// the super block.
    pub(crate) fn find<R>(&self, mut find: impl FnMut(&SuperBlock) -> Option<R>) -> Option<R> {
        let mut next = 0;
        loop {
            let visit = self.visit(next)?;
            let found = find(visit.root.as_ref()?.super_block());
            if found.is_some() {
                return found;
            }
            next = visit.number.checked_add(1)?;
        }
    }

    /// Lets `with` have each.
    pub(crate) fn each(&self, mut with: impl FnMut(&SuperBlock)) {
        self.find::<()>(|sb| {
            with(sb);
            None
        });
    }

    /// Lets `with` have the inode of a node.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none.
    pub(crate) fn with_inode<R>(
        &self,
        node: NodeId,
        with: impl FnOnce(&Inode) -> Result<R>,
    ) -> Result<R> {
        let mut with = Some(with);
        self.find(|sb| {
            let inode = sb.find_inode(node.get())?;
            with.take().map(|with| with(&inode))
        })
        .unwrap_or(Err(ENOENT))
    }

    /// A super block is being shut down: it is none of them any more. Returns whether it was the last.
    /// Another waits until nobody looks at it any more.
    pub(crate) fn remove(&self, sb: &SuperBlock, connection: &Arc<Connection>) -> bool {
        let number = sb.device_number();
        let (others, visited) = {
            let mut members = self.members.lock();
            let mut visited = false;
            if let Some(member) = members.get_mut(&number) {
                member.leaves = true;
                visited = member.visitors > 0;
            }
            let others = members.keys().any(|other| *other != number);
            (others, visited)
        };
        // Who looks at the last may wait for what ends with the connection.
        if others && visited {
            wait_or_end(&self.wait, connection, || {
                let mut members = self.members.lock();
                members
                    .get_mut(&number)
                    .is_none_or(|member| member.visitors == 0)
            });
        }
        let (removed, is_last) = {
            let mut members = self.members.lock();
            let removed = members.remove_node(&number);
            (removed, members.is_empty())
        };
        drop(removed);
        is_last
    }
}

/// Waits until `over`, which only the server can delay. If the caller is killed, the connection ends,
/// and with it the wait.
pub(super) fn wait_or_end(
    queue: &WaitQueue,
    connection: &Arc<Connection>,
    mut over: impl FnMut() -> bool,
) {
    if queue
        .wait(Signals::Killable, Wake::Shared, &mut over)
        .is_err()
    {
        connection.break_off(End::Aborted);
        queue.wait_uninterruptible(over);
    }
}
