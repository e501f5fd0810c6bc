// SPDX-License-Identifier: GPL-2.0

//! Taking ranges back, by a worker before they are needed, else by who needs one.
//!
//! Nobody is waited for meanwhile: a file of which somebody maps pages, or keeps others from that, is
//! passed over, and so are ranges that are used or pinned. A range is free again when the server has
//! answered that it shows nothing there.

use super::window::Window;
use crate::connection::call::Envelope;
use crate::connection::node::ServerNode;
use crate::connection::post::Post;
use crate::connection::post::Urgency;
use crate::connection::reply::Reply;
use crate::connection::request::Completion;
use crate::connection::Connection;
use crate::filesystem::inode;
use crate::filesystem::mount::Mount;
use crate::filesystem::Inode;
use crate::prelude::*;
use fuse_pure::abi::ids::NodeId;
use fuse_pure::logic::dax_window::Batch;
use fuse_pure::logic::dax_window::RangeId;
use fuse_pure::logic::dax_window::Ranges;
use fuse_pure::logic::dax_window::RANGE;
use fuse_pure::op::dax::RemoveMapping;
use kernel_glue::sync::periodic::Look;
use kernel_glue::sync::periodic::Periodic;

/// How many files may be passed over in a row.
const TRIES: u32 = 8;

/// Milliseconds until the worker has a look, and between looks.
const INTERVAL: u32 = 1;

/// Says when to reclaim ranges before they are needed.
pub(super) struct Reclaimer(Arc<Connection>);

impl Reclaimer {
    pub(super) fn new(connection: &Arc<Connection>) -> Result<Pin<KBox<Periodic<Self>>>> {
        Periodic::new(INTERVAL, Self(connection.clone()))
    }
}

impl Look for Reclaimer {
    fn look(&self) -> bool {
        self.0.make_room()
    }
}

/// Reclaims ranges of a mount's window, if there are few; whether to look again soon.
pub(crate) fn make_room(mount: &Mount) -> bool {
    let Some(window) = &mount.window else {
        return false;
    };
    if mount.connection.has_ended() {
        window.give_up();
        return false;
    }
    let goes_on = reclaim_some(mount, window);
    window.has_waiters() || goes_on && window.missing() > 0
}

/// A free range, which is the caller's to give back.
///
/// # Errors
///
/// `EINTR` when the caller is killed, `ENOTCONN` when there is no server any more.
pub(super) fn take(inode: &Inode, window: &Arc<Window>) -> Result<RangeId> {
    let connection = inode::connection(inode);
    loop {
        if let Some(range) = window.take() {
            return Ok(range);
        }
        if connection.has_ended() {
            return Err(ENOTCONN);
        }
        let reclaim = || {
            reclaim_some(inode::mount(inode), window);
        };
        window.wait_for_free(reclaim, || connection.has_ended())?;
    }
}

/// Reclaims some of the ranges that are missing; whether it has.
fn reclaim_some(mount: &Mount, window: &Arc<Window>) -> bool {
    let missing = window.missing();
    if missing == 0 {
        return false;
    }
    for _ in 0..TRIES {
        match window.choose(missing) {
            Some(batch) if reclaim(mount, window, &batch) => return true,
            Some(_) => {}
            None => break,
        }
    }
    false
}

/// Reclaims of a batch what can be; whether that is anything.
fn reclaim(mount: &Mount, window: &Arc<Window>, batch: &Batch) -> bool {
    let some = NodeId::from_server(batch.inode())
        .ok_or(ENOENT)
        .and_then(|node| {
            mount
                .supers
                .with_inode(node, |inode| Ok(reclaim_of(inode, window, batch)))
        });
    some.unwrap_or_else(|_| {
        for (range, _) in batch.ranges() {
            window.spare(*range);
        }
        false
    })
}

/// As [`reclaim`], from the inode.
fn reclaim_of(inode: &Inode, window: &Arc<Window>, batch: &Batch) -> bool {
    let mut back = Back::new(window);
    let mut faults = inode.try_block_faults();
    for (range, index) in batch.ranges() {
        let start = index.saturating_mul(RANGE);
        let taken = faults.as_mut().is_some_and(|faults| {
            window.is_unused(*range)
                && faults.unmap(start..start.saturating_add(RANGE))
                && take_out(inode, window, *range, *index)
        });
        if taken {
            back.push(*range);
        } else {
            window.spare(*range);
        }
    }
    drop(faults);
    let some = !back.is_empty();
    if let Ok(node) = inode::node(inode) {
        back.send(inode::connection(inode), node);
    }
    some
}

/// Takes a range out of the map of its file, unless it is used; nobody has it mapped or pinned. Whether
/// it was there.
fn take_out(inode: &Inode, window: &Window, range: RangeId, index: u64) -> bool {
    let mut pieces = inode.data().pieces.lock();
    let place = if window.is_unused(range) {
        pieces.remove(index, range)
    } else {
        None
    };
    drop(pieces);
    place.is_some()
}

/// The inode goes, and nobody uses its memory any more: gives its ranges back.
pub(crate) fn evicted(inode: &Inode, node: &Arc<ServerNode>) {
    let Ok(window) = super::window(inode) else {
        return;
    };
    while !inode.data().pieces.lock().is_empty() {
        let mut back = Back::new(window);
        while !back.ranges.is_full() {
            let first = inode.data().pieces.lock().take_first();
            let Some((range, _place)) = first else {
                break;
            };
            back.push(range);
        }
        back.send(inode::connection(inode), node);
    }
}

/// Ranges that are in no map any more. Dropped when the server shows nothing there, or is not asked:
/// then they are free.
struct Back {
    window: Arc<Window>,
    ranges: Ranges,
}

impl Back {
    fn new(window: &Arc<Window>) -> Self {
        Self {
            window: window.clone(),
            ranges: Ranges::new(),
        }
    }

    fn push(&mut self, range: RangeId) {
        self.window.unmap(range);
        self.window.expect_back(1);
        self.ranges.push(range);
    }

    fn is_empty(&self) -> bool {
        self.ranges.as_slice().is_empty()
    }

    /// Asks the server to show nothing there. If it cannot be asked, it will be when something else is
    /// to be shown.
    fn send(self, connection: &Arc<Connection>, node: &Arc<ServerNode>) {
        if self.is_empty() || connection.has_ended() {
            return;
        }
        let ranges = self.ranges.clone();
        let op = RemoveMapping {
            ranges: ranges.as_slice(),
        };
        if let Ok(done) = KBox::new(self, GFP_KERNEL) {
            let post = Post::new(Urgency::Foreground, done);
            let _ = connection.post(&op, Envelope::by_kernel(node), post);
        }
    }
}

impl Completion for Back {
    fn complete(&mut self, _: &Arc<Connection>, _: Result<Reply>) {}
}

impl Drop for Back {
    fn drop(&mut self) {
        self.window.have_back(self.ranges.as_slice());
    }
}
