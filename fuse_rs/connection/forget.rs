// SPDX-License-Identifier: GPL-2.0

//! Lookups and giving them back.
//!
//! The server counts how often it has told us of an inode, and keeps it until as many lookups
//! have been given back. Here a lookup is a value, [`LookupRef`]: it becomes part of an inode's
//! count, or is given back when it is dropped. The message for that is allocated before the
//! lookup is sent, so that giving back cannot fail.

use super::Connection;
use crate::prelude::*;
use fuse_pure::abi::ids::NodeId;
use fuse_pure::op::forget::Forget;
use kernel_glue::list::Link;
use kernel_glue::list::Linked;

/// A FORGET waiting to be sent, or the memory for one.
pub(crate) struct ForgetNode {
    link: Link<Self>,
    node: Atomic<u64>,
    count: Atomic<u64>,
}

impl Linked for ForgetNode {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl ForgetNode {
    /// Memory for a FORGET.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                link: Link::new(),
                node: Atomic::new(0),
                count: Atomic::new(0),
            },
            GFP_KERNEL,
        )?)
    }

    /// What is given back.
    pub(crate) fn forget(&self) -> Option<Forget> {
        Some(Forget {
            node: NodeId::from_server(self.node.load(Relaxed))?,
            nlookup: self.count.load(Relaxed),
        })
    }
}

/// One lookup of an inode.
#[must_use]
pub(crate) struct LookupRef {
    connection: Arc<Connection>,
    node: NodeId,
    memory: Option<Arc<ForgetNode>>,
}

impl LookupRef {
    pub(super) fn new(connection: Arc<Connection>, node: NodeId, memory: Arc<ForgetNode>) -> Self {
        Self {
            connection,
            node,
            memory: Some(memory),
        }
    }

    /// The lookup becomes part of an inode's count; the inode gets the memory to give it back.
    pub(crate) fn adopt(mut self) -> Option<Arc<ForgetNode>> {
        self.memory.take()
    }
}

impl Drop for LookupRef {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.connection.forget(memory, self.node, 1);
        }
    }
}

impl Connection {
    /// Gives `count` lookups of `node` back. Does not sleep.
    pub(crate) fn forget(&self, memory: Arc<ForgetNode>, node: NodeId, count: u64) {
        memory.node.store(node.get(), Relaxed);
        memory.count.store(count, Relaxed);
        self.queue_forget(memory);
    }
}
