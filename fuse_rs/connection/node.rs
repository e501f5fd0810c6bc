// SPDX-License-Identifier: GPL-2.0

//! Inodes as the server knows them.
//!
//! The server counts how often it has told us of an inode, and keeps it until as many lookups
//! have been given back. Here a lookup makes a [`ServerNode`], whose memory is allocated before the
//! lookup is sent, so that giving back cannot fail; or it is counted with a node that is pinned.
//!
//! A node is given back when nobody has it pinned any more: neither an inode of the kernel's, nor
//! a file the server has open, nor a request the server may still be working on. So no request
//! ever names a node that the server has forgotten.

use super::Connection;
use crate::prelude::*;
use fuse_pure::abi::ids::NodeId;
use fuse_pure::op::forget::Forget;
use kernel::sync::UniqueArc;
use kernel_glue::list::impl_linked;
use kernel_glue::list::Link;

/// A node the server has told us of, and the FORGET that will give it back.
pub(crate) struct ServerNode {
    link: Link<Self>,
    id: NodeId,
    lookups: Atomic<u64>,
    pins: Atomic<u64>,
}

impl_linked!(ServerNode, 0: link);

/// Memory for a node that is about to be looked up.
pub(crate) struct NodeMemory(UniqueArc<ServerNode>);

impl NodeMemory {
    /// Allocates it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(UniqueArc::new(
            ServerNode {
                link: Link::new(),
                id: NodeId::ROOT,
                lookups: Atomic::new(0),
                pins: Atomic::new(1),
            },
            GFP_KERNEL,
        )?))
    }

    fn with(mut self, id: NodeId, lookups: u64) -> Arc<ServerNode> {
        self.0.id = id;
        self.0.lookups.store(lookups, Relaxed);
        self.0.into()
    }
}

impl ServerNode {
    /// The root of a mount. Nobody looks it up, so nothing is given back.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn root() -> Result<Arc<Self>> {
        Ok(NodeMemory::new()?.with(NodeId::ROOT, 0))
    }

    /// A node that somebody asks about without having looked it up: nothing is given back.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn not_looked_up(id: NodeId) -> Result<Arc<Self>> {
        Ok(NodeMemory::new()?.with(id, 0))
    }

    /// Its id on the wire.
    pub(crate) fn id(&self) -> NodeId {
        self.id
    }

    /// What is given back.
    pub(crate) fn forget(&self) -> Forget {
        Forget {
            node: self.id,
            nlookup: self.lookups.load(Relaxed),
        }
    }

    /// Counts a lookup that the server has counted. To be used by who knows that the node is pinned.
    pub(crate) fn count_lookup(&self) {
        self.lookups.fetch_add(1, Relaxed);
    }

    /// Keeps the node. To be used by who knows that it is pinned already.
    pub(crate) fn pin(self: &Arc<Self>, connection: &Arc<Connection>) -> NodePin {
        self.pins.fetch_add(1, Relaxed);
        NodePin {
            node: self.clone(),
            connection: connection.clone(),
        }
    }

    /// Gives up a pin that [`NodePin::into_node`] has left with the caller. Does not sleep.
    pub(crate) fn unpin(self: &Arc<Self>, connection: &Connection) {
        if self.pins.fetch_sub(1, Full) == 1 && self.lookups.load(Relaxed) > 0 {
            connection.queue_forget(self.clone());
        }
    }
}

/// Keeps a node from being given back.
#[must_use]
pub(crate) struct NodePin {
    node: Arc<ServerNode>,
    connection: Arc<Connection>,
}

impl NodePin {
    /// The pin of a node that was just looked up.
    pub(super) fn looked_up(connection: &Arc<Connection>, id: NodeId, memory: NodeMemory) -> Self {
        Self {
            node: memory.with(id, 1),
            connection: connection.clone(),
        }
    }

    /// The node.
    pub(crate) fn node(&self) -> &Arc<ServerNode> {
        &self.node
    }

    /// Hands the pin over: to be given up by [`ServerNode::unpin`].
    pub(crate) fn into_node(self) -> Arc<ServerNode> {
        let node = self.node.clone();
        // One more pin for the caller, and one less for the value that is dropped.
        node.pins.fetch_add(1, Relaxed);
        node
    }

    /// Counts the lookup with `other`, which is the same node and pinned. If somebody else has
    /// pinned this one, too, it stays by itself, and is given back by itself.
    pub(crate) fn merge_into(self, other: &ServerNode) {
        // With the only pin here, nobody else can get one.
        if other.id == self.node.id && self.node.pins.load(Acquire) == 1 {
            let lookups = self.node.lookups.load(Relaxed);
            self.node.lookups.store(0, Relaxed);
            other.lookups.fetch_add(lookups, Relaxed);
        }
    }
}

impl Drop for NodePin {
    fn drop(&mut self) {
        self.node.unpin(&self.connection);
    }
}
