// SPDX-License-Identifier: GPL-2.0

//! Inodes: which one a node id means, and what we hold of it.

use super::attributes;
use super::mount::Mount;
use super::Inode;
use super::SuperBlock;
use crate::connection::forget::ForgetNode;
use crate::connection::forget::LookupRef;
use crate::connection::Connection;
use crate::prelude::*;
use fuse_pure::abi::ids::NodeId;
use fuse_pure::logic::attr_version::AttrVersion;
use fuse_pure::op::Entry;
use kernel::sync::aref::ARef;
use kernel_glue::vfs::inode::Got;

/// What changes together under the inode's own lock.
pub(crate) struct InodeState {
    /// How new the attributes are.
    pub(crate) version: AttrVersion,
    /// Lookups the server has counted.
    nlookup: u64,
    /// Memory to give them back.
    forget: Option<Arc<ForgetNode>>,
}

/// Data of an inode.
#[pin_data]
pub(crate) struct InodeData {
    node: Atomic<u64>,
    bad: Atomic<bool>,
    attr_deadline: Atomic<u64>,
    ino: Atomic<u64>,
    block_size: Atomic<u32>,
    #[pin]
    pub(crate) state: SpinLock<InodeState>,
}

impl InodeData {
    /// Data of an inode without a node id yet.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            node: Atomic::new(0),
            bad: Atomic::new(false),
            attr_deadline: Atomic::new(0),
            ino: Atomic::new(0),
            block_size: Atomic::new(0),
            state <- new_spinlock!(
                InodeState {
                    version: AttrVersion(0),
                    nlookup: 0,
                    forget: None,
                },
                "fuse_rs::InodeData::state"
            ),
        })
    }

    /// Sets the node id, once.
    pub(crate) fn set_node(&self, node: u64) {
        self.node.store(node, Relaxed);
    }

    /// The node id as a number.
    pub(crate) fn raw_node(&self) -> u64 {
        self.node.load(Relaxed)
    }

    /// The server has contradicted itself about the inode: it is of no use any more.
    pub(crate) fn set_bad(&self) {
        self.bad.store(true, Relaxed);
    }

    /// Whether the inode is of no use any more.
    pub(crate) fn is_bad(&self) -> bool {
        self.bad.load(Relaxed)
    }

    /// The moment until which the attributes may be believed.
    pub(crate) fn attr_deadline(&self) -> u64 {
        self.attr_deadline.load(Relaxed)
    }

    /// Stores it; zero is "not at all".
    pub(crate) fn set_attr_deadline(&self, deadline: u64) {
        self.attr_deadline.store(deadline, Relaxed);
    }

    /// Inode number for users.
    pub(crate) fn ino(&self) -> u64 {
        self.ino.load(Relaxed)
    }

    /// Preferred block size as the server gave it.
    pub(crate) fn block_size(&self) -> u32 {
        self.block_size.load(Relaxed)
    }

    /// Stores what the kernel's inode has no place for.
    pub(crate) fn set_identity(&self, ino: u64, block_size: u32) {
        self.ino.store(ino, Relaxed);
        self.block_size.store(block_size, Relaxed);
    }

    fn adopt(&self, lookup: LookupRef) {
        let memory = lookup.adopt();
        let mut state = self.state.lock();
        state.nlookup = state.nlookup.saturating_add(1);
        let spare = if state.forget.is_none() {
            state.forget = memory;
            None
        } else {
            memory
        };
        drop(state);
        drop(spare);
    }
}

/// The inode's mount.
pub(crate) fn mount(inode: &Inode) -> &Mount {
    inode.super_block().data()
}

/// The inode's connection.
pub(crate) fn connection(inode: &Inode) -> &Arc<Connection> {
    &mount(inode).connection
}

/// The inode's node id.
///
/// # Errors
///
/// `EIO` for an inode the server has contradicted itself about.
pub(crate) fn node(inode: &Inode) -> Result<NodeId> {
    if inode.data().is_bad() {
        return Err(EIO);
    }
    NodeId::from_server(inode.data().raw_node()).ok_or(EIO)
}

/// The root of a mount. The server has not looked it up for us, so nothing is given back.
pub(crate) fn make_root(sb: &SuperBlock, mode: u16) -> Result<ARef<Inode>> {
    match sb.inode(NodeId::ROOT.get())? {
        Got::New(new) => {
            new.set_number(NodeId::ROOT.get());
            new.data().set_identity(NodeId::ROOT.get(), 0);
            let attr = attributes::of_root(&sb.data().connection.user_ns, mode);
            new.set_attributes(&attr);
            let inode = new.finish(mode, 0);
            Ok(inode)
        }
        Got::Existing(_) => Err(EBUSY),
    }
}

/// How often an inode may turn out to be something else while we look.
const MAX_TRIES: u32 = 4;

/// The inode of an entry; the lookup becomes part of its count.
///
/// `version` is the version of attributes when the request was made.
pub(crate) fn from_entry(
    sb: &SuperBlock,
    entry: &Entry,
    lookup: LookupRef,
    version: AttrVersion,
) -> Result<ARef<Inode>> {
    for _ in 0..MAX_TRIES {
        match sb.inode(entry.node.get())? {
            Got::New(new) => {
                new.set_generation(entry.generation.0 as u32);
                attributes::initialise(&new, entry);
                new.data().adopt(lookup);
                return Ok(new.finish(entry.attr.mode(), entry.attr.rdev));
            }
            Got::Existing(inode) => {
                if is_other(&inode, entry) {
                    // The server uses the node id for something else now.
                    make_bad(&inode);
                    continue;
                }
                inode.data().adopt(lookup);
                attributes::update(&inode, &entry.attr, entry.attr_valid, version)?;
                return Ok(inode);
            }
        }
    }
    Err(EIO)
}

/// Whether `entry` is about another inode than the one we know under its node id.
pub(crate) fn is_other(inode: &Inode, entry: &Entry) -> bool {
    inode.data().is_bad()
        || inode.generation() != entry.generation.0 as u32
        || inode.differs_in_type(entry.attr.mode())
}

/// Adds a lookup to the count of an inode that turned out to be the same as before.
pub(crate) fn adopt(inode: &Inode, lookup: LookupRef) {
    inode.data().adopt(lookup);
}

/// Makes an inode of no use, and its node id free for another.
pub(crate) fn make_bad(inode: &Inode) {
    inode.unhash();
    inode.data().set_bad();
}

/// Gives the lookups of an inode back that nobody uses any more.
pub(crate) fn forget(inode: &Inode) {
    let (count, memory) = {
        let mut state = inode.data().state.lock();
        (
            core::mem::replace(&mut state.nlookup, 0),
            state.forget.take(),
        )
    };
    let node = NodeId::from_server(inode.data().raw_node());
    if let (Some(memory), Some(node), true) = (memory, node, count > 0) {
        connection(inode).forget(memory, node, count);
    }
}
