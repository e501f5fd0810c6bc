// SPDX-License-Identifier: GPL-2.0

//! Locks that the server keeps, and giving back those nobody waits for any more.

use super::call::Envelope;
use super::node::NodePin;
use super::node::ServerNode;
use super::opened::ServerOpen;
use super::post::Ignore;
use super::request::GiveBack;
use super::Connection;
use crate::prelude::*;
use fuse_pure::op::lock::Lock;
use fuse_pure::op::lock::Setlk;

/// A lock that the server may still grant when the caller has been killed.
pub(crate) struct LateLock {
    /// What gives it back.
    unlock: Setlk<false>,
    node: NodePin,
    open: Option<Arc<ServerOpen>>,
}

impl LateLock {
    /// The server has granted it.
    ///
    /// Its owner has closed its files already, so nothing else would end the lock.
    pub(super) fn give_back(&self, connection: &Arc<Connection>) {
        let envelope = Envelope::by_kernel(self.node.node()).with(self.open.as_ref());
        let posted =
            Ignore::the_answer().and_then(|post| connection.post(&self.unlock, envelope, post));
        if posted.is_err() {
            warn_ratelimited!("out of memory: a lock is not given back\n");
        }
    }
}

impl Connection {
    /// Asks for a lock on `node`, or gives it back, and waits for the answer.
    pub(crate) fn call_lock<const WAIT: bool>(
        self: &Arc<Self>,
        op: &Setlk<WAIT>,
        node: &Arc<ServerNode>,
        open: Option<&Arc<ServerOpen>>,
    ) -> Result {
        let mut give_back = GiveBack::default();
        if op.0.kind.is_some() {
            let late = LateLock {
                unlock: Setlk(Lock {
                    kind: None,
                    pid: 0,
                    ..op.0
                }),
                node: node.pin(self),
                open: open.cloned(),
            };
            give_back.lock = Some(KBox::new(late, GFP_KERNEL)?);
        }
        let envelope = Envelope::by_caller(node).with(open);
        self.call_giving(op, envelope, give_back).map(|((), _)| ())
    }
}
