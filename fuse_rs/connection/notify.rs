// SPDX-License-Identifier: GPL-2.0

//! What the server tells without being asked, on its way to who is concerned.

use super::Connection;
use crate::prelude::*;
use fuse_pure::abi::ids::NodeId;
use fuse_pure::op::notify::Notice;
use kernel_glue::mem::pages::PageData;

/// Whom notifications concern.
pub(crate) trait Audience: Send + Sync {
    /// Takes a notification, and the data that came with it. May wait for requests, but only
    /// for such that end with the connection.
    fn notify(&self, notice: Notice<'_>, data: Option<&PageData>) -> Result;

    /// A node had better be given back to the server, if nobody uses it. Waits as
    /// [`Audience::notify`] may.
    fn prune(&self, node: NodeId);

    /// Looks after what it keeps, from time to time. Waits as [`Audience::notify`] may.
    fn look_after(&self);

    /// Gives back of what the server shows, if there is little room for more; whether that is to be
    /// done again soon. Waits for no server.
    fn make_room(&self) -> bool;

    /// Gives up all that the server shows, as far as nobody keeps it. Waits for no server.
    fn leave_window(&self);
}

/// An [`Audience`] that can be shared.
pub(crate) struct Listener(KBox<dyn Audience>);

impl Connection {
    /// From now on `audience` is told.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn listen(&self, audience: KBox<dyn Audience>) -> Result {
        let listener = Arc::new(Listener(audience), GFP_KERNEL)?;
        let old = self.listener.lock().replace(listener);
        drop(old);
        Ok(())
    }

    /// Nobody is told any more. Who is being told is waited for by
    /// [`Connection::end_and_wait`].
    pub(crate) fn stop_listening(&self) {
        let old = self.listener.lock().take();
        drop(old);
    }

    /// Tells whom it concerns.
    ///
    /// # Errors
    ///
    /// `ENOENT` when nobody is there any more; those of [`Audience::notify`].
    pub(crate) fn tell(self: &Arc<Self>, notice: Notice<'_>, data: Option<&PageData>) -> Result {
        let _work = self.work();
        if let Notice::Resend = notice {
            self.resend();
            return Ok(());
        }
        let listener = self.listener.lock().clone().ok_or(ENOENT)?;
        listener.0.notify(notice, data)
    }

    /// These nodes had better be given back to the server.
    ///
    /// # Errors
    ///
    /// `ENOENT` when nobody is there any more.
    pub(crate) fn prune(&self, nodes: impl Iterator<Item = NodeId>) -> Result {
        let _work = self.work();
        let listener = self.listener.lock().clone().ok_or(ENOENT)?;
        for node in nodes {
            listener.0.prune(node);
        }
        Ok(())
    }

    /// Has those who are told make room for what the server is to show; whether that is to be done
    /// again soon.
    pub(crate) fn make_room(&self) -> bool {
        let _work = self.work();
        let listener = self.listener.lock().clone();
        listener.is_some_and(|listener| listener.0.make_room())
    }

    /// Has those who are told give up all that the server shows.
    pub(crate) fn leave_window(&self) {
        let _work = self.work();
        let listener = self.listener.lock().clone();
        if let Some(listener) = listener {
            listener.0.leave_window();
        }
    }

    /// Lets those who are told look after what they keep; whether that is to be done again.
    pub(crate) fn remind(&self) -> bool {
        let _work = self.work();
        if self.has_ended() {
            return false;
        }
        let listener = self.listener.lock().clone();
        listener
            .inspect(|listener| listener.0.look_after())
            .is_some()
    }
}
