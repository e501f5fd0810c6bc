// SPDX-License-Identifier: GPL-2.0

//! Files the server has opened, and closing them.
//!
//! What the server has opened is a value, [`ServerOpen`], and dropping the last reference to it
//! sends RELEASE. The memory for that is allocated before OPEN is sent, so that closing cannot
//! fail, as a [`Ticket`].

use super::call::Envelope;
use super::node::NodePin;
use super::post::Ignore;
use super::request::RequestMemory;
use super::Connection;
use crate::prelude::*;
use fuse_pure::abi::ids::FileHandle;
use fuse_pure::abi::open::ReleaseIn;
use fuse_pure::op::open::Directory;
use fuse_pure::op::open::File;
use fuse_pure::op::open::Release;
use fuse_pure::op::open::Target;
use kernel::fs::file::flags;
use kernel::sync::SetOnce;
use kernel::sync::UniqueArc;
use kernel_glue::list::impl_linked;
use kernel_glue::list::Link;

/// Flags that matter only while a file is opened; an open file does not have them.
const AT_OPEN: u32 = flags::O_CREAT | flags::O_EXCL | flags::O_NOCTTY | flags::O_TRUNC;

/// What is about to be opened, and what is needed to close it. Small, since it is moved often.
pub(crate) struct Ticket(UniqueArc<ServerOpen>);

impl Ticket {
    /// For a file or directory that is opened with these `O_*` flags; `node` may be told later.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(
        connection: &Arc<Connection>,
        node: Option<NodePin>,
        directory: bool,
        flags: u32,
    ) -> Result<Self> {
        let open = ServerOpen {
            link: Link::new(),
            connection: connection.clone(),
            node,
            fh: FileHandle(0),
            opened: false,
            directory,
            flags: Atomic::new(flags & !AT_OPEN),
            flock_owner: SetOnce::new(),
            memory: Some(RequestMemory::for_body::<ReleaseIn>()?),
        };
        Ok(Self(UniqueArc::new(open, GFP_KERNEL)?))
    }

    /// Whether it is known which node is opened.
    pub(super) fn has_node(&self) -> bool {
        self.0.node.is_some()
    }

    /// It is this node that is opened.
    pub(super) fn set_node(&mut self, node: NodePin) {
        self.0.node = Some(node);
    }

    /// The server has opened the node as `fh`.
    pub(super) fn redeem(mut self, fh: FileHandle) -> Arc<ServerOpen> {
        self.0.fh = fh;
        self.0.opened = true;
        self.0.into()
    }
}

impl_linked!(ServerOpen, 0: link);

/// A file or directory the server has opened: shared by who uses it and by requests that name
/// it, so that RELEASE comes after the last of them has been answered.
pub(crate) struct ServerOpen {
    link: Link<Self>,
    connection: Arc<Connection>,
    node: Option<NodePin>,
    fh: FileHandle,
    /// The server has opened it, so it is to be closed.
    opened: bool,
    directory: bool,
    flags: Atomic<u32>,
    flock_owner: SetOnce<u64>,
    memory: Option<RequestMemory>,
}

impl ServerOpen {
    /// The server's name for it.
    pub(crate) fn fh(&self) -> FileHandle {
        self.fh
    }

    /// Whether it is in a queue. A hint, as [`Link::is_queued`].
    pub(crate) fn is_queued(&self) -> bool {
        self.link.is_queued()
    }

    /// Tells with which `O_*` flags it is closed.
    pub(crate) fn set_flags(&self, flags: u32) {
        self.flags.store(flags & !AT_OPEN, Relaxed);
    }

    /// Tells whose lock of flock(2) ends when it is closed.
    pub(crate) fn set_flock_owner(&self, owner: u64) {
        self.flock_owner.populate(owner);
    }

    fn release<T: Target>(&self, node: &NodePin, memory: RequestMemory, target: T) {
        let op = Release {
            fh: self.fh,
            flags: self.flags.load(Relaxed),
            flock_owner: self.flock_owner.copy(),
            target,
        };
        let posted = Ignore::the_answer().and_then(|post| {
            let envelope = Envelope::by_kernel(node.node());
            self.connection.post_with(&op, envelope, post, Some(memory))
        });
        if posted.is_err() {
            // Cannot happen: all memory is there, and nobody's identity has to be told.
            warn_ratelimited!("a file of the server's stays open\n");
        }
    }
}

impl Drop for ServerOpen {
    fn drop(&mut self) {
        let (Some(memory), Some(node)) = (self.memory.take(), &self.node) else {
            return;
        };
        match (self.opened, self.directory) {
            (true, true) => self.release(node, memory, Directory),
            (true, false) => self.release(node, memory, File),
            (false, _) => {}
        }
    }
}
