// SPDX-License-Identifier: GPL-2.0

//! Attributes: keeping them, fetching them, changing them.

use super::birth;
use super::handle::Handle;
use super::inode;
use super::inode::connection;
use super::kept;
use super::mount::Mount;
use super::set_ids;
use super::submount;
use super::Dentry;
use super::Fuse;
use super::Inode;
use crate::connection::call::Envelope;
use crate::dax;
use crate::page_cache::in_flight;
use crate::page_cache::stale;
use crate::page_cache::writeback;
use crate::prelude::*;
use fuse_pure::abi::ids::Opcode;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::logic::attr_version::AttrVersion;
use fuse_pure::logic::freshness::must_ask;
use fuse_pure::logic::freshness::Care;
use fuse_pure::logic::freshness::Fields;
use fuse_pure::op::attr::Getattr;
use fuse_pure::op::attr::SetTime;
use fuse_pure::op::attr::Setattr;
use fuse_pure::op::entry::Time;
use fuse_pure::op::name::Readlink;
use fuse_pure::op::Attributes;
use fuse_pure::op::Entry;
use fuse_pure::op::Timeout;
use kernel_glue::dax::layout::FaultsBlocked;
use kernel_glue::sys::monotonic_nanos;
use kernel_glue::vfs::attributes::InodeAttributes;
use kernel_glue::vfs::attributes::NewAttributes;
use kernel_glue::vfs::attributes::NewTime;
use kernel_glue::vfs::attributes::Timestamp;
use kernel_glue::vfs::caller;
use kernel_glue::vfs::caller::UserNamespace;
use kernel_glue::vfs::inode_ops::AccessMask;
use kernel_glue::vfs::inode_ops::IdMap;
use kernel_glue::vfs::inode_ops::InodeOperations;
use kernel_glue::vfs::inode_ops::StatExtra;
use kernel_glue::vfs::inode_ops::StatRequest;

/// A time of the server's.
pub(crate) fn timestamp(time: Time) -> Timestamp {
    Timestamp {
        sec: time.sec,
        nsec: time.nsec,
    }
}

const STICKY: u16 = 0o1000;

/// The mode by which the VFS is to judge.
///
/// Who may remove what from a directory with the sticky bit depends on owners. Their ids mean
/// something here only if the kernel checks permissions; else that is for the server to judge.
pub(crate) fn judged_mode(mount: &Mount, mode: u16) -> u16 {
    if mount.judges() {
        mode
    } else {
        mode & !STICKY
    }
}

fn for_inode(attr: &Attributes, mount: &Mount) -> InodeAttributes {
    let ns = &mount.connection.user_ns;
    InodeAttributes {
        perm: judged_mode(mount, attr.perm),
        nlink: attr.nlink,
        uid: ns.uid(attr.uid),
        gid: ns.gid(attr.gid),
        blocks: attr.blocks,
        atime: timestamp(attr.atime),
        mtime: timestamp(attr.mtime),
        ctime: timestamp(attr.ctime),
    }
}

/// What is known of a root before its server has been asked.
pub(crate) fn of_root(ns: &UserNamespace, mode: u16) -> InodeAttributes {
    let epoch = Timestamp { sec: 0, nsec: 0 };
    InodeAttributes {
        perm: mode & 0o7777,
        nlink: 1,
        uid: ns.uid(0),
        gid: ns.gid(0),
        blocks: 0,
        atime: epoch,
        mtime: epoch,
        ctime: epoch,
    }
}

/// Stores the attributes of an inode nobody else sees yet, from a reply to a request that was made
/// at `version`.
///
/// If inodes have gone since, this may have been one of them, and changed by us before it went:
/// the attributes are to be asked for again.
pub(crate) fn initialise(inode: &Inode, entry: &Entry, version: AttrVersion) {
    let connection = connection(inode);
    inode.set_attributes(&for_inode(&entry.attr, inode::mount(inode)));
    note_shown(inode, &entry.attr);
    inode.set_size(entry.attr.size);
    let valid = if version.is_stale_for(connection.last_eviction()) {
        Timeout::ZERO
    } else {
        entry.attr_valid
    };
    inode
        .data()
        .set_attr_deadline(valid.deadline(monotonic_nanos()));
    inode.data().state.lock().version = connection.next_attr_version();
}

/// Stores attributes; not the size, nor what the kernel keeps.
fn store(inode: &Inode, attr: &Attributes, kept: bool) {
    let mut new = for_inode(attr, inode::mount(inode));
    if kept {
        new.mtime = inode.mtime();
        new.ctime = inode.ctime();
    }
    inode.set_attributes(&new);
    note_shown(inode, attr);
}

fn note_shown(inode: &Inode, attr: &Attributes) {
    let ino = if inode.is_mount_point() {
        submount::number(inode)
    } else {
        attr.ino
    };
    inode.set_number(ino);
    inode.data().set_shown(ino, attr.perm, attr.blksize);
}

/// Takes attributes from a reply to a request that was made at `version`, unless the inode has
/// changed since.
///
/// # Errors
///
/// `EIO` when the server now calls the inode another type of file.
pub(crate) fn update(
    inode: &Inode,
    attr: &Attributes,
    valid: Timeout,
    version: AttrVersion,
) -> Result {
    if inode.differs_in_type(attr.mode()) {
        inode::make_bad(inode);
        return Err(EIO);
    }
    let connection = connection(inode);
    if connection.has(InitFlags::POSIX_ACL) {
        // They are as old as the attributes.
        inode.forget_acls();
    }
    dax::told(inode, attr.flags);
    let kept = kept::keeps(inode);
    let (old_size, old_mtime) = {
        let mut state = inode.data().state.lock();
        if version.is_stale_for(state.version) {
            return Ok(());
        }
        state.version = connection.next_attr_version();
        let old = (inode.size(), inode.mtime());
        store(inode, attr, kept);
        if !kept {
            inode.set_size(attr.size);
        }
        inode.data().set_stale_fields(Fields::empty());
        inode
            .data()
            .set_attr_deadline(valid.deadline(monotonic_nanos()));
        old
    };
    if kept {
        return Ok(());
    }
    let (resized, modified) = (attr.size != old_size, timestamp(attr.mtime) != old_mtime);
    if inode.is_symlink() && (resized || modified) {
        stale::drop_behind(inode, 0)?;
    }
    if inode.is_regular() {
        if attr.size < old_size {
            stale::drop_behind(inode, attr.size)?;
        }
        let stale = if connection.has(InitFlags::AUTO_INVAL_DATA) {
            resized || modified
        } else {
            // With the flag the server says itself what is stale.
            resized && !connection.has(InitFlags::EXPLICIT_INVAL_DATA)
        };
        if stale {
            stale::drop_all(inode)?;
        }
    }
    Ok(())
}

/// No attribute is what it was.
pub(crate) fn invalidate(inode: &Inode) {
    invalidate_some(inode, Fields::ALL);
}

/// These attributes are no longer what they were: the next who wants them asks, and replies to
/// earlier requests do not count.
pub(crate) fn invalidate_some(inode: &Inode, fields: Fields) {
    let mut state = inode.data().state.lock();
    state.version = connection(inode).next_attr_version();
    mark_stale(inode, fields);
}

/// The server has been asked for what is in the inode: its time of last access is another.
pub(crate) fn accessed(inode: &Inode) {
    if inode.is_read_only() {
        return;
    }
    let _state = inode.data().state.lock();
    mark_stale(inode, Fields::ATIME);
}

/// As [`invalidate_some`], for callers that have locked the state.
fn mark_stale(inode: &Inode, fields: Fields) {
    let stale = inode.data().stale_fields().with(fields);
    inode.data().set_stale_fields(stale);
}

/// Whether the server has to be asked.
fn must_fetch(inode: &Inode, wanted: Fields, care: Care) -> bool {
    let over = inode.data().attr_deadline() <= monotonic_nanos();
    let must = |wanted| must_ask(wanted, care, inode.data().stale_fields(), over);
    // Fewer fields are never more to ask for.
    must(wanted) && (!kept::keeps(inode) || must(wanted.without(kept::FIELDS)))
}

/// Whether these attributes may still be believed.
pub(crate) fn are_fresh(inode: &Inode, fields: Fields) -> bool {
    !must_fetch(inode, fields, Care::Usual)
}

/// Makes the attributes those of this moment.
///
/// A change of our own may overtake the answer, which then does not count: the server is asked once
/// more. If that happens again, what is known has to do.
pub(crate) fn fetch(inode: &Inode, handle: Option<&Handle>) -> Result {
    ask(inode, handle)?;
    if inode.data().stale_fields().without(Fields::ATIME) == Fields::empty() {
        return Ok(());
    }
    ask(inode, handle)
}

/// Asks the server for attributes.
fn ask(inode: &Inode, handle: Option<&Handle>) -> Result {
    let node = inode::node(inode)?;
    let connection = connection(inode);
    let version = connection.attr_version();
    let op = Getattr {
        fh: handle.map(|handle| handle.fh()),
    };
    let reply = connection.call(
        &op,
        Envelope::by_caller(node).with(handle.and_then(Handle::open_there)),
    )?;
    update(inode, &reply.attr, reply.valid, version)
}

/// Makes sure that all attributes may be believed.
pub(crate) fn refresh(inode: &Inode) -> Result {
    refresh_some(inode, Fields::ALL)
}

/// Makes sure that these attributes may be believed.
pub(crate) fn refresh_some(inode: &Inode, fields: Fields) -> Result {
    if are_fresh(inode, fields) {
        inode::node(inode).map(|_| ())
    } else {
        fetch(inode, None)
    }
}

/// Makes sure that what is asked for may be believed.
fn refresh_for(inode: &Inode, request: StatRequest) -> Result {
    let care = if request.dont_sync() {
        Care::Cached
    } else if request.force_sync() {
        Care::Exact
    } else {
        Care::Usual
    };
    let wanted = Fields::from_bits(request.fields());
    if care != Care::Cached && request.wants_birth() && !connection(inode).lacks(Opcode::Statx) {
        // With the time of birth come all attributes.
        if !birth::is_unknown(inode) && !must_fetch(inode, wanted.with(Fields::MODE), care) {
            return Ok(());
        }
        match birth::fetch(inode) {
            Err(ENOSYS) => {}
            other => return other,
        }
    }
    if must_fetch(inode, wanted, care) {
        fetch(inode, None)
    } else {
        Ok(())
    }
}

fn new_time(time: NewTime) -> SetTime {
    match time {
        NewTime::Now(now) => SetTime::Now(kept::wire(now)),
        NewTime::At(at) => SetTime::At(kept::wire(at)),
    }
}

impl InodeOperations for Fuse {
    fn getattr(inode: &Inode, request: StatRequest) -> Result<Option<StatExtra>> {
        inode::node(inode)?;
        if !inode::mount(inode).allows_caller() {
            return if request.wants_nothing() {
                Ok(None)
            } else {
                Err(EACCES)
            };
        }
        refresh_for(inode, request)?;
        Ok(Some(extra(inode, request)))
    }

    fn checks_by_mode(inode: &Inode) -> bool {
        inode::mount(inode).judges()
    }

    fn drops_set_ids(inode: &Inode) -> bool {
        set_ids::are_dropped_there(connection(inode))
    }

    fn present_mode(inode: &Inode, file: Option<&Handle>) -> Result<u16> {
        if !inode::mount(inode).allows_caller() {
            return Err(EACCES);
        }
        fetch(inode, file)?;
        Ok(inode.mode() | inode.data().perm())
    }

    fn setattr(dentry: &Dentry, attr: &NewAttributes, file: Option<&Handle>) -> Result {
        let inode = dentry.inode().ok_or(ENOENT)?;
        let node = inode::node(inode)?;
        let mount = inode::mount(inode);
        if !mount.allows_caller() {
            return Err(EACCES);
        }
        let connection = &mount.connection;
        let mut size = attr.size;
        if attr.by_open && connection.has(InitFlags::ATOMIC_O_TRUNC) {
            // OPEN has truncated the file already. Set-id bits may be left to drop.
            truncated(inode, dax::stop_faults(inode)?)?;
            if attr.mode.is_none() {
                return Ok(());
            }
            size = None;
        }
        let ns = &connection.user_ns;
        let new_owner = attr.uid.is_some() || attr.gid.is_some();
        let told = set_ids::are_told(connection) && new_owner && !inode.is_directory();
        let op = Setattr {
            mode: attr.mode.map(u32::from),
            uid: attr
                .uid
                .map(|uid| ns.number_of(uid).ok_or(EOVERFLOW))
                .transpose()?,
            gid: attr
                .gid
                .map(|gid| ns.number_of_group(gid).ok_or(EOVERFLOW))
                .transpose()?,
            size,
            atime: attr.atime.map(new_time),
            mtime: attr.mtime.map(new_time),
            // A truncating open may be read-only, and a server's ftruncate fails on such a file.
            fh: file.filter(|_| !attr.by_open).map(|handle| handle.fh()),
            lock_owner: size.map(|_| connection.lock_owner(caller::files())),
            kill_suidgid: told || size.is_some() && set_ids::end_by_caller(connection),
            ..Setattr::default()
        };
        let kept = kept::keeps(inode);
        let now = inode.present();
        if kept && size.is_none() {
            // What is written later would end set-id bits, and change times, once more.
            writeback::write_all_locked(inode)?;
        }
        let resized = size.is_some_and(|size| size != inode.size());
        let mtime = match attr.mtime {
            Some(NewTime::Now(at) | NewTime::At(at)) => Some(at),
            None if kept && resized => Some(now),
            None => None,
        };
        let op = if kept {
            Setattr {
                mtime: mtime.map(|at| SetTime::At(kept::wire(at))),
                ctime: Some(kept::wire(now)),
                ..op
            }
        } else {
            op
        };
        let stopped = size.map(|_| in_flight::stop_writes(inode)).transpose()?;
        let faults = size.map(|_| dax::stop_faults(inode)).transpose()?.flatten();
        let reply = connection
            .call(
                &op,
                Envelope::by_caller(node).with(file.and_then(Handle::open_there)),
            )
            .inspect_err(|_| invalidate(inode))?;
        // The caller holds the inode's lock, so nothing we sent is newer than this.
        let old_size = inode.size();
        if let Some(faults) = faults {
            set_size(inode, reply.attr.size);
            drop(faults);
        }
        let mut updated = update(inode, &reply.attr, reply.valid, AttrVersion(0));
        if kept {
            inode.set_change_times(mtime.unwrap_or(inode.mtime()), now);
            if size.is_some() {
                updated = updated.and(resize(inode, reply.attr.size));
            }
        } else if size.is_some() {
            zero_tail(inode, old_size, inode.size());
        }
        drop(stopped);
        updated
    }

    fn keeps_times(inode: &Inode) -> bool {
        kept::keeps(inode)
    }

    fn permission(inode: &Inode, map: IdMap<'_>, mask: AccessMask) -> Result {
        super::permission::check(inode, map, mask)
    }

    fn readlink(inode: &Inode) -> Result<KVec<u8>> {
        const MAX: usize = 4095;
        let node = inode::node(inode)?;
        let connection = connection(inode);
        let drops = inode.data().drops();
        let (len, reply) =
            connection.call_for_bytes(&Readlink { max: MAX }, Envelope::by_caller(node))?;
        accessed(inode);
        let mut target = KVec::new();
        target.extend_from_slice(reply.body().get(..len).ok_or(EIO)?, GFP_KERNEL)?;
        if connection.has(InitFlags::CACHE_SYMLINKS) {
            inode.keep_target(&target);
            if inode.data().drops() != drops {
                // What went stale while it was with the server is not kept.
                stale::drop_behind(inode, 0)?;
            }
        }
        Ok(target)
    }

    fn may_use_kept_target(inode: &Inode) -> bool {
        !inode.data().is_bad()
    }
}

fn extra(inode: &Inode, request: StatRequest) -> StatExtra {
    let block_size = inode.data().block_size();
    StatExtra {
        ino: inode.data().ino(),
        block_size: if block_size.is_power_of_two() && block_size >= 512 {
            block_size
        } else {
            0
        },
        perm: inode.data().perm(),
        birth: if request.wants_birth() {
            birth::known(inode)
        } else {
            None
        },
    }
}

/// The file, whose size the kernel keeps, has been given another.
///
/// # Errors
///
/// `EINTR` when the caller is killed.
fn resize(inode: &Inode, size: u64) -> Result {
    let old = {
        let _state = inode.data().state.lock();
        let old = inode.size();
        inode.set_size(size);
        old
    };
    if size < old {
        stale::drop_behind(inode, size)?;
    }
    zero_tail(inode, old, size);
    Ok(())
}

/// Zeroes what stores to mappings have left behind the old end of a file that grows, up to the new end
/// or where something is written.
pub(crate) fn zero_tail(inode: &Inode, old: u64, new: u64) {
    if new > old && inode.data().in_flight.is_mapped() {
        inode.zero_cached(old, new);
    }
}

fn set_size(inode: &Inode, size: u64) {
    let _state = inode.data().state.lock();
    inode.set_size(size);
}

/// The file has been truncated by an OPEN. Until its size is known, nobody could map it.
///
/// # Errors
///
/// `EINTR` when the caller is killed.
pub(crate) fn truncated(inode: &Inode, faults: Option<FaultsBlocked<'_, Fuse>>) -> Result {
    let connection = connection(inode);
    {
        let mut state = inode.data().state.lock();
        state.version = connection.next_attr_version();
        inode.set_size(0);
        mark_stale(inode, Fields::DATA.with(set_ids::fields(inode)));
    }
    drop(faults);
    kept::modified(inode);
    stale::drop_behind(inode, 0)
}

/// Data up to `end` has been written.
pub(crate) fn written(inode: &Inode, end: u64) {
    let connection = connection(inode);
    {
        let mut state = inode.data().state.lock();
        state.version = connection.next_attr_version();
        if end > inode.size() {
            inode.set_size(end);
        }
        mark_stale(inode, Fields::DATA.with(set_ids::fields(inode)));
    }
    kept::modified(inode);
}

/// Data that was stored to mappings has been written, or not: the server changes its times.
pub(crate) fn written_back(inode: &Inode) {
    if !kept::keeps(inode) {
        invalidate_some(inode, Fields::DATA);
    }
}

/// The server has found the end of the file at `end`, in a request made at `version`.
pub(crate) fn shorter(inode: &Inode, end: u64, version: AttrVersion) {
    if kept::keeps(inode) {
        // A hole: what lies behind it has not been written yet.
        return;
    }
    let connection = connection(inode);
    let mut state = inode.data().state.lock();
    if end < inode.size() && !version.is_stale_for(state.version) {
        state.version = connection.next_attr_version();
        inode.set_size(end);
        // What is cached behind it must not come back when the file grows.
        inode.data().set_undone();
        mark_stale(inode, Fields::DATA);
    }
}
