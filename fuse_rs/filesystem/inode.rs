// SPDX-License-Identifier: GPL-2.0

//! Inodes: which one a node id means, and what we hold of it.

use super::attributes;
use super::birth::Birth;
use super::mount::Mount;
use super::submount;
use super::Fuse;
use super::Inode;
use super::SuperBlock;
use crate::connection::node::NodePin;
use crate::connection::node::ServerNode;
use crate::connection::Connection;
use crate::connection::Turn;
use crate::dax;
use crate::dax::Pieces;
use crate::page_cache::in_flight::InFlight;
use crate::prelude::*;
use fuse_pure::abi::ids::NodeId;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::logic::attr_version::AttrVersion;
use fuse_pure::logic::freshness::Fields;
use fuse_pure::logic::listing::Listing;
use fuse_pure::logic::negotiate::Negotiated;
use fuse_pure::op::Entry;
use fuse_pure::op::FileType;
use kernel::sync::aref::ARef;
use kernel::sync::SetOnce;
use kernel_glue::vfs::inode::Got;
use kernel_glue::vfs::inode::NewInode;

/// What changes together under the inode's own lock.
pub(crate) struct InodeState {
    /// How new the attributes are.
    pub(crate) version: AttrVersion,
    /// When the inode was made.
    pub(crate) birth: Birth,
}

/// Data of an inode.
#[pin_data]
pub(crate) struct InodeData {
    key: Atomic<u64>,
    /// Set before anybody else sees the inode.
    node: SetOnce<Arc<ServerNode>>,
    bad: Atomic<bool>,
    /// Somebody asks about the directory, see [`Connection::wait_turn`].
    busy: Atomic<bool>,
    /// What is in the directory is looked at: READDIRPLUS would have paid.
    wants_plus: Atomic<bool>,
    /// READs into the page cache that are not answered.
    reads: Atomic<u64>,
    /// Cached pages should have been dropped, but who was to do it was killed.
    undone: Atomic<bool>,
    /// How often cached pages have been dropped as stale.
    drops: Atomic<u64>,
    /// How many changes of the directory have been heard of.
    changes: Atomic<u64>,
    attr_deadline: Atomic<u64>,
    /// Attributes that are not to be believed whatever the deadline.
    stale_fields: Atomic<u32>,
    ino: Atomic<u64>,
    perm: Atomic<u32>,
    block_size: Atomic<u32>,
    #[pin]
    pub(crate) state: SpinLock<InodeState>,
    /// Data on its way to the server.
    #[pin]
    pub(crate) in_flight: InFlight,
    /// Which pieces of the file the server shows in the DAX window.
    #[pin]
    pub(crate) pieces: SpinLock<Pieces>,
    /// What of the directory's listing is in its page cache.
    #[pin]
    pub(crate) listing: SpinLock<Listing>,
}

impl InodeData {
    /// Data of an inode without a node id yet.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            key: Atomic::new(0),
            node: SetOnce::new(),
            bad: Atomic::new(false),
            busy: Atomic::new(false),
            wants_plus: Atomic::new(false),
            reads: Atomic::new(0),
            undone: Atomic::new(false),
            drops: Atomic::new(0),
            changes: Atomic::new(0),
            attr_deadline: Atomic::new(0),
            stale_fields: Atomic::new(0),
            ino: Atomic::new(0),
            perm: Atomic::new(0),
            block_size: Atomic::new(0),
            state <- new_spinlock!(
                InodeState {
                    version: AttrVersion(0),
                    birth: Birth::Unknown,
                },
                "fuse_rs::InodeData::state"
            ),
            in_flight <- InFlight::new(),
            pieces <- new_spinlock!(Pieces::new(), "fuse_rs::InodeData::pieces"),
            listing <- new_spinlock!(Listing::new(), "fuse_rs::InodeData::listing"),
        })
    }

    /// Sets the node id under which the inode is found, once.
    pub(crate) fn set_key(&self, key: u64) {
        self.key.store(key, Relaxed);
    }

    /// The node id under which the inode is found.
    pub(crate) fn key(&self) -> u64 {
        self.key.load(Relaxed)
    }

    /// The server has contradicted itself about the inode: it is of no use any more.
    pub(crate) fn set_bad(&self) {
        self.bad.store(true, Relaxed);
    }

    /// Whether the inode is of no use any more.
    pub(crate) fn is_bad(&self) -> bool {
        self.bad.load(Relaxed)
    }

    /// READs into the page cache that are not answered.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Acquire)
    }

    /// Somebody looks at what is in the directory.
    pub(crate) fn advise_plus(&self) {
        if !self.wants_plus.load(Relaxed) {
            self.wants_plus.store(true, Relaxed);
        }
    }

    /// Whether somebody has looked since this was asked last.
    pub(crate) fn take_plus_advice(&self) -> bool {
        self.wants_plus.load(Relaxed) && self.wants_plus.xchg(false, Relaxed)
    }

    /// A READ into the page cache is about to be made.
    pub(crate) fn add_read(&self) {
        self.reads.fetch_add(1, Full);
    }

    /// A READ into the page cache is over, and its folios are unlocked.
    pub(crate) fn remove_read(&self) {
        self.reads.fetch_sub(1, Full);
    }

    /// How often cached pages have been dropped as stale: who has data from before the number
    /// changed must not cache it after.
    pub(crate) fn drops(&self) -> u64 {
        self.drops.load(Acquire)
    }

    /// Cached pages are about to be dropped.
    pub(crate) fn count_drop(&self) {
        self.drops.fetch_add(1, Full);
    }

    /// How many changes of the directory have been heard of.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Acquire)
    }

    /// Names in the directory have changed, or may have.
    pub(crate) fn count_change(&self) {
        self.changes.fetch_add(1, Full);
    }

    /// Cached pages should have been dropped and are still there.
    pub(crate) fn set_undone(&self) {
        self.undone.store(true, Release);
    }

    /// Whether that is so; it is then up to the caller.
    pub(crate) fn take_undone(&self) -> bool {
        self.undone.load(Acquire) && self.undone.xchg(false, Full)
    }

    /// The moment until which the attributes may be believed.
    pub(crate) fn attr_deadline(&self) -> u64 {
        self.attr_deadline.load(Relaxed)
    }

    /// Stores it; zero is "not at all".
    pub(crate) fn set_attr_deadline(&self, deadline: u64) {
        self.attr_deadline.store(deadline, Relaxed);
    }

    /// Attributes that are not to be believed whatever the deadline.
    pub(crate) fn stale_fields(&self) -> Fields {
        Fields::from_bits(self.stale_fields.load(Relaxed))
    }

    /// Stores them. The caller has locked `state`.
    pub(crate) fn set_stale_fields(&self, stale: Fields) {
        self.stale_fields.store(stale.bits(), Relaxed);
    }

    /// Inode number for users.
    pub(crate) fn ino(&self) -> u64 {
        self.ino.load(Relaxed)
    }

    /// Permission bits as the server gave them.
    pub(crate) fn perm(&self) -> u16 {
        self.perm.load(Relaxed) as u16
    }

    /// Preferred block size as the server gave it.
    pub(crate) fn block_size(&self) -> u32 {
        self.block_size.load(Relaxed)
    }

    /// Stores what users are shown and the kernel's inode has no place for.
    pub(crate) fn set_shown(&self, ino: u64, perm: u16, block_size: u32) {
        self.ino.store(ino, Relaxed);
        self.perm.store(perm.into(), Relaxed);
        self.block_size.store(block_size, Relaxed);
    }
}

/// The inode's mount.
pub(crate) fn mount(inode: &Inode) -> &Mount {
    &inode.super_block().data().mount
}

/// The inode's connection.
pub(crate) fn connection(inode: &Inode) -> &Arc<Connection> {
    &mount(inode).connection
}

/// The inode as the server knows it.
///
/// # Errors
///
/// `EIO` for an inode the server has contradicted itself about.
pub(crate) fn node(inode: &Inode) -> Result<&Arc<ServerNode>> {
    if inode.data().is_bad() {
        return Err(EIO);
    }
    inode.data().node.as_ref().ok_or(EIO)
}

/// Waits until this directory may be asked about.
///
/// # Errors
///
/// `EINTR` when the caller is killed, `ENOTCONN` when there is nobody to ask.
pub(crate) fn turn(dir: &Inode) -> Result<Option<Turn<'_>>> {
    let connection = connection(dir);
    connection.wait_ready()?;
    connection.wait_turn(&dir.data().busy)
}

/// The root of a mount. The server has not looked it up for us, so nothing is given back.
pub(crate) fn make_root(sb: &SuperBlock, mode: u16) -> Result<ARef<Inode>> {
    let node = ServerNode::root()?;
    match sb.inode(NodeId::ROOT.get())? {
        Got::New(new) => {
            new.data().node.populate(node);
            new.set_number(NodeId::ROOT.get());
            new.data().set_shown(NodeId::ROOT.get(), mode & 0o7777, 0);
            let mount = &sb.data().mount;
            let mode = attributes::judged_mode(mount, mode);
            let attr = attributes::of_root(&mount.connection.user_ns, mode);
            new.set_attributes(&attr);
            let inode = new.finish(mode, 0);
            Ok(inode)
        }
        Got::Existing(_) => Err(EBUSY),
    }
}

/// The root of what is mounted on `point`: another inode of the same node. Its attributes are asked for
/// when somebody wants them.
pub(crate) fn make_submounted_root(sb: &SuperBlock, point: &Inode) -> Result<ARef<Inode>> {
    let node = node(point)?;
    match sb.inode(node.id().get())? {
        Got::New(new) => {
            let connection = connection(point);
            new.set_generation(point.generation());
            new.data().node.populate(node.pin(connection).into_node());
            new.set_number(node.id().get());
            new.data()
                .set_shown(node.id().get(), point.data().perm(), 0);
            new.set_attributes(&attributes::of_root(&connection.user_ns, point.mode()));
            Ok(new.finish(point.mode(), 0))
        }
        Got::Existing(_) => Err(EBUSY),
    }
}

/// How often an inode may turn out to be something else while we look.
const MAX_TRIES: u32 = 4;

/// Most bytes of a folio: it is read, or written, in one request.
fn most_of_a_folio(terms: &Negotiated) -> usize {
    /// A folio that is dirty in part counts as a whole against the limit for dirty pages, so larger
    /// ones would have small writes wait for write-back.
    const WRITTEN_BACK: u32 = 16 << 10;
    let most = if terms.features.contains(InitFlags::WRITEBACK_CACHE) {
        WRITTEN_BACK
    } else {
        u32::MAX
    };
    terms.max_read.min(terms.max_write).min(most) as usize
}

/// The inode of an entry; the lookup becomes part of its count.
///
/// `version` is the version of attributes when the request was made.
pub(crate) fn from_entry(
    sb: &SuperBlock,
    entry: &Entry,
    lookup: NodePin,
    version: AttrVersion,
) -> Result<ARef<Inode>> {
    if submount::is_announced(&sb.data().mount, entry) {
        let new = sb.new_mount_point(entry.node.get())?;
        return Ok(initialised(sb, new, entry, lookup, version));
    }
    for _ in 0..MAX_TRIES {
        match sb.inode(entry.node.get())? {
            Got::New(new) => return Ok(initialised(sb, new, entry, lookup, version)),
            Got::Existing(inode) => {
                if is_other(&inode, entry) {
                    // The server uses the node id for something else now.
                    make_bad(&inode);
                    continue;
                }
                adopt(&inode, lookup);
                attributes::update(&inode, &entry.attr, entry.attr_valid, version)?;
                return Ok(inode);
            }
        }
    }
    Err(EIO)
}

/// Makes a new inode that of an entry.
fn initialised(
    sb: &SuperBlock,
    new: NewInode<Fuse>,
    entry: &Entry,
    lookup: NodePin,
    version: AttrVersion,
) -> ARef<Inode> {
    let mount = &sb.data().mount;
    new.set_generation(entry.generation.0 as u32);
    attributes::initialise(&new, entry, version);
    new.data().node.populate(lookup.into_node());
    if let Some(terms) = mount.connection.terms() {
        let regular = entry.attr.kind == FileType::Regular;
        if regular && dax::is_wanted(&new, entry.attr.flags) {
            new.use_memory();
        } else {
            new.allow_large_folios(most_of_a_folio(terms));
            new.spare_reclaim();
        }
    }
    let mode = attributes::judged_mode(mount, entry.attr.mode());
    new.finish(mode, entry.attr.rdev)
}

/// Whether `entry` is about another inode than the one we know under its node id.
pub(crate) fn is_other(inode: &Inode, entry: &Entry) -> bool {
    inode.data().is_bad()
        || inode.generation() != entry.generation.0 as u32
        || inode.differs_in_type(entry.attr.mode())
        || inode.is_mount_point() != submount::is_announced(mount(inode), entry)
}

/// Adds a lookup to the count of an inode that turned out to be the same as before.
pub(crate) fn adopt(inode: &Inode, lookup: NodePin) {
    if let Some(node) = inode.data().node.as_ref() {
        lookup.merge_into(node);
    }
}

/// Counts a lookup of an inode that is known and whose node is not another.
pub(crate) fn count_lookup(inode: &Inode) {
    if let Some(node) = inode.data().node.as_ref() {
        node.count_lookup();
    }
}

/// Makes an inode of no use, and its node id free for another.
pub(crate) fn make_bad(inode: &Inode) {
    // First: nobody is to find the inode missing and yet have it work.
    inode.data().set_bad();
    inode.unhash();
}

/// Nobody uses the inode any more: the server may forget it, once it has done what it was asked.
pub(crate) fn forget(inode: &Inode) {
    if inode.has_links() {
        connection(inode).evicted();
    }
    if let Some(node) = inode.data().node.as_ref() {
        dax::reclaim::evicted(inode, node);
        node.unpin(connection(inode));
    }
}
