// SPDX-License-Identifier: GPL-2.0

//! Attributes that the kernel keeps, with the write-back cache (WRITEBACK_CACHE): size and times of
//! change of regular files. The server hears of them later, so what it says of them does not count.

use super::inode;
use super::late;
use super::late::Late;
use super::Inode;
use crate::connection::call::Envelope;
use crate::connection::post::Post;
use crate::connection::post::Urgency;
use crate::connection::reply::Reply;
use crate::connection::request::Completion;
use crate::connection::Connection;
use crate::prelude::*;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::logic::freshness::Fields;
use fuse_pure::op::attr::SetTime;
use fuse_pure::op::attr::Setattr;
use fuse_pure::op::entry::Time;
use kernel::sync::aref::ARef;
use kernel_glue::vfs::attributes::Timestamp;

/// These attributes.
pub(crate) const FIELDS: Fields = Fields::SIZE.with(Fields::MTIME).with(Fields::CTIME);

/// Whether the kernel keeps them for this inode.
pub(crate) fn keeps(inode: &Inode) -> bool {
    inode::connection(inode).has(InitFlags::WRITEBACK_CACHE)
        && inode.is_regular()
        && !inode.is_in_memory()
}

/// A time on the wire.
pub(crate) fn wire(at: Timestamp) -> Time {
    Time {
        sec: at.sec,
        nsec: at.nsec,
    }
}

/// Data has been written into the cache up to `end`.
pub(crate) fn grown(inode: &Inode, end: u64) {
    let _state = inode.data().state.lock();
    if end > inode.size() {
        inode.set_size(end);
    }
}

/// The content has changed.
pub(crate) fn modified(inode: &Inode) {
    if keeps(inode) {
        let now = inode.present();
        inode.set_change_times(now, now);
        inode.mark_times_dirty();
    }
}

/// Something other than the content has changed.
pub(crate) fn changed(inode: &Inode) {
    if keeps(inode) {
        inode.set_change_times(inode.mtime(), inode.present());
        inode.mark_times_dirty();
    }
}

/// Ends the way of times to the server.
struct TimesSent {
    inode: ARef<Inode>,
    #[expect(dead_code, reason = "held")]
    late: Late,
}

impl Completion for TimesSent {
    fn complete(&mut self, _: &Arc<Connection>, answer: Result<Reply>) {
        if let Err(error) = answer {
            self.inode.set_write_error(error);
        }
    }
}

impl Drop for TimesSent {
    fn drop(&mut self) {
        self.inode.data().in_flight.finish_times();
    }
}

/// Sends the times to the server. Does not wait for it: who wants that waits as for data.
///
/// # Errors
///
/// `ENOMEM`, after which they are still to be sent.
pub(crate) fn send_times(inode: &Inode) -> Result {
    if !keeps(inode) {
        return Ok(());
    }
    let node = inode::node(inode)?;
    let in_flight = &inode.data().in_flight;
    if !in_flight.try_send_times() {
        // Somebody changes them.
        inode.mark_times_dirty();
        return Ok(());
    }
    let sent = TimesSent {
        inode: inode.into(),
        late: late::begin(inode),
    };
    let open = in_flight.writer();
    let op = Setattr {
        mtime: Some(SetTime::At(wire(inode.mtime()))),
        ctime: Some(wire(inode.ctime())),
        fh: open.as_ref().map(|open| open.fh()),
        ..Setattr::default()
    };
    let posted = KBox::new(sent, GFP_KERNEL)
        .map_err(Error::from)
        .and_then(|done| {
            let envelope = Envelope::by_kernel(node).with(open.as_ref());
            inode::connection(inode).post(&op, envelope, Post::new(Urgency::Background, done))
        });
    if posted.is_err() {
        inode.mark_times_dirty();
    }
    posted
}
