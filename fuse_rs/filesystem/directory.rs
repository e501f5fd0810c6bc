// SPDX-License-Identifier: GPL-2.0

//! Names in directories: finding, making, removing, moving them.

use super::attributes;
use super::extension::NewInodeExtensions;
use super::handle::Handle;
use super::inode;
use super::kept;
use super::set_ids;
use super::Dentry;
use super::Fuse;
use super::Inode;
use crate::connection::call::Envelope;
use crate::connection::node::NodePin;
use crate::connection::Connection;
use crate::page_cache::stale;
use crate::prelude::*;
use fuse_pure::abi::cursor::Name;
use fuse_pure::abi::flags::OpenFlags;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::logic::attr_version::AttrVersion;
use fuse_pure::logic::belief::Belief;
use fuse_pure::logic::dirents::NAME_MAX;
use fuse_pure::logic::freshness::Fields;
use fuse_pure::op::create::Create;
use fuse_pure::op::create::Creation;
use fuse_pure::op::create::Mkdir;
use fuse_pure::op::create::Mknod;
use fuse_pure::op::create::Named as WithName;
use fuse_pure::op::create::Nameless;
use fuse_pure::op::create::Symlink;
use fuse_pure::op::name::Link;
use fuse_pure::op::name::Rename;
use fuse_pure::op::name::Rename2;
use fuse_pure::op::name::Rmdir;
use fuse_pure::op::name::Unlink;
use fuse_pure::op::Entry;
use fuse_pure::op::FileType;
use fuse_pure::op::Lookup;
use fuse_pure::op::LookupReply;
use fuse_pure::op::Operation;
use kernel::fs::file::flags;
use kernel_glue::vfs::caller::umask;
use kernel_glue::vfs::dir_ops::Created;
use kernel_glue::vfs::dir_ops::DirOperations;
use kernel_glue::vfs::dir_ops::Named;
use kernel_glue::vfs::dir_ops::NewKind;
use kernel_glue::vfs::inode_ops::IdMap;

/// Flags of renameat2(2).
const RENAME_EXCHANGE: u32 = 2;
const RENAME_WHITEOUT: u32 = 4;

/// First minor version with RENAME2.
const RENAME2_MINOR: u32 = 23;

fn name_of(dentry: &Dentry) -> Result<Name<'_>> {
    let name = dentry.name();
    if name.len() > NAME_MAX {
        return Err(ENAMETOOLONG);
    }
    Name::new(name).ok_or(EINVAL)
}

/// The connection and the directory's node id, for a request of the caller's about it.
fn about(dir: &Inode) -> Result<(&Arc<Connection>, Envelope<'_>)> {
    Ok((
        inode::connection(dir),
        Envelope::by_caller(inode::node(dir)?),
    ))
}

/// The inode of an entry that was looked up in or made in `dir`, and how long to believe it.
fn named(
    dir: &Inode,
    entry: &Entry,
    lookup: Option<NodePin>,
    version: AttrVersion,
) -> Result<Named<Fuse>> {
    let lookup = lookup.ok_or(EIO)?;
    let inode = inode::from_entry(dir.super_block(), entry, lookup, version)?;
    let connection = inode::connection(dir);
    Ok(Named {
        inode: Some(inode),
        belief: connection.believe(entry.entry_valid, version).bits(),
    })
}

/// Names in `dir` are not what they were.
pub(crate) fn changed(dir: &Inode) {
    dir.data().count_change();
    attributes::invalidate_some(dir, Fields::NAMES);
}

/// Takes note of what the failure of a request to change names says of what is believed of them.
///
/// What was to be made is there, or what was to be removed is not; or the caller was killed, and
/// nobody knows whether the server still does what it was asked.
fn failed(error: Error, dirs: &[&Inode], entries: &[&Dentry]) {
    if error == EEXIST || error == ENOENT || error == EINTR {
        for entry in entries {
            entry.set_belief(Belief::NONE.bits());
        }
        for dir in dirs {
            changed(dir);
        }
    }
}

/// As [`about`], for a request that makes an inode of the caller's.
fn making<'a>(dir: &'a Inode, map: IdMap<'_>) -> Result<(&'a Arc<Connection>, Envelope<'a>)> {
    let (connection, envelope) = about(dir)?;
    let ns = &connection.user_ns;
    let envelope = envelope.for_owner(map.caller_uid(ns), map.caller_gid(ns));
    Ok((connection, envelope))
}

/// Sends a request that makes an inode of the given type.
fn make_with<O: Operation<Reply = Entry>>(
    dir: &Inode,
    dentry: &Dentry,
    map: IdMap<'_>,
    op: &O,
    kind: u32,
) -> Result<Named<Fuse>> {
    let (connection, envelope) = making(dir, map)?;
    let extensions = NewInodeExtensions::new(dir, dentry, map, kind)?;
    let envelope = envelope.extended(extensions.to_wire());
    let version = connection.attr_version();
    let (entry, lookup) = connection
        .call_entry(op, envelope, |entry| Some(entry.node))
        .inspect_err(|error| failed(*error, &[dir], &[dentry]))?;
    changed(dir);
    if entry.attr.kind.bits() != kind & FileType::MASK {
        // Not what was asked for; the lookup is given back.
        return Err(EIO);
    }
    named(dir, &entry, lookup, version)
}

/// The caller's umask applied to `mode`, unless the server does that.
fn masked(connection: &Connection, mode: u16, umask: u32) -> u32 {
    let mode = u32::from(mode);
    if connection.has(InitFlags::DONT_MASK) {
        mode
    } else {
        mode & !umask
    }
}

/// Makes a file and opens it.
fn create_as<C: Creation>(
    dir: &Inode,
    dentry: &Dentry,
    map: IdMap<'_>,
    flags: u32,
    mode: u16,
    creation: C,
) -> Result<Created<Fuse>> {
    let (connection, envelope) = making(dir, map)?;
    let umask = umask();
    // Only if it turns out to be there.
    let may_truncate = flags & flags::O_TRUNC != 0 && flags & flags::O_EXCL == 0;
    let op = Create {
        name: name_of(dentry)?,
        flags: flags & !flags::O_NOCTTY,
        mode: masked(connection, mode, umask),
        umask,
        kill_suidgid: may_truncate && set_ids::end_by_caller(connection),
        creation,
    };
    let extensions = NewInodeExtensions::new(dir, dentry, map, FileType::Regular.bits())?;
    let envelope = envelope.extended(extensions.to_wire());
    let version = connection.attr_version();
    let (entry, lookup, open_there, open) = connection
        .call_create(&op, envelope)
        .inspect_err(|error| failed(*error, &[dir], &[dentry]))?;
    let handle = Handle::new(connection, Some(open_there), open, false)?;
    changed(dir);
    if entry.attr.kind != FileType::Regular {
        return Err(EIO);
    }
    let named = named(dir, &entry, Some(lookup), version)?;
    let inode = named.inode.ok_or(EIO)?;
    // The server may have opened a file that was there, and that we have cached.
    if flags & flags::O_TRUNC != 0 && connection.has(InitFlags::ATOMIC_O_TRUNC) {
        if kept::keeps(&inode) && inode.size() > 0 {
            attributes::truncated(&inode, None)?;
        } else {
            stale::drop_behind(&inode, 0)?;
        }
    } else if !handle.open.contains(OpenFlags::KEEP_CACHE) {
        stale::drop_all(&inode)?;
    }
    Ok(Created {
        inode,
        belief: named.belief,
        mode: handle.mode(),
        handle,
    })
}

/// A name is gone from `dir`.
fn removed(dir: &Inode, dentry: &Dentry, whole: bool) {
    if let Some(inode) = dentry.inode() {
        {
            let mut state = inode.data().state.lock();
            state.version = inode::connection(dir).next_attr_version();
            if whole {
                inode.clear_links();
            } else {
                inode.drop_link();
            }
        }
        attributes::invalidate_some(inode, Fields::NLINK.with(Fields::CTIME));
        kept::changed(inode);
    }
    dentry.set_belief(Belief::NONE.bits());
    changed(dir);
}

impl DirOperations for Fuse {
    fn lookup(dir: &Inode, dentry: &Dentry) -> Result<Named<Self>> {
        let op = Lookup {
            name: name_of(dentry)?,
        };
        let (connection, envelope) = about(dir)?;
        dir.data().advise_plus();
        let _turn = inode::turn(dir)?;
        let version = connection.attr_version();
        let answer = connection.call_entry(&op, envelope, |reply| match reply {
            LookupReply::Found(entry) => Some(entry.node),
            LookupReply::Negative(_) => None,
        });
        match answer {
            Ok((LookupReply::Found(entry), lookup)) => named(dir, &entry, lookup, version),
            Ok((LookupReply::Negative(valid), _)) => Ok(Named {
                inode: None,
                belief: connection.believe(valid, version).bits(),
            }),
            Err(error) if error == ENOENT => Ok(Named {
                inode: None,
                belief: Belief::NONE.bits(),
            }),
            Err(error) => Err(error),
        }
    }

    fn make(
        dir: &Inode,
        dentry: &Dentry,
        map: IdMap<'_>,
        kind: NewKind<'_>,
    ) -> Result<Named<Self>> {
        let name = name_of(dentry)?;
        let connection = inode::connection(dir);
        let umask = umask();
        match kind {
            NewKind::Node(mode, rdev) => {
                let op = Mknod {
                    name,
                    mode: masked(connection, mode, umask),
                    rdev,
                    umask,
                };
                make_with(dir, dentry, map, &op, u32::from(mode))
            }
            NewKind::Directory(mode) => {
                let op = Mkdir {
                    name,
                    mode: masked(connection, mode, umask),
                    umask,
                };
                make_with(dir, dentry, map, &op, FileType::Directory.bits())
            }
            NewKind::Symlink(target) => {
                let op = Symlink {
                    name,
                    target: Name::new(target).ok_or(ENOENT)?,
                };
                make_with(dir, dentry, map, &op, FileType::Symlink.bits())
            }
        }
    }

    fn create(
        dir: &Inode,
        dentry: &Dentry,
        map: IdMap<'_>,
        flags: u32,
        mode: u16,
    ) -> Result<Created<Self>> {
        create_as(dir, dentry, map, flags, mode, WithName)
    }

    fn make_nameless(
        dir: &Inode,
        dentry: &Dentry,
        map: IdMap<'_>,
        flags: u32,
        mode: u16,
    ) -> Result<Created<Self>> {
        match create_as(dir, dentry, map, flags, mode, Nameless) {
            // A server without such files.
            Err(ENOSYS) => Err(EOPNOTSUPP),
            other => other,
        }
    }

    fn link(inode: &Inode, dir: &Inode, dentry: &Dentry) -> Result<Named<Self>> {
        let node = inode::node(inode)?;
        let op = Link {
            node: node.id(),
            name: name_of(dentry)?,
        };
        let (connection, envelope) = about(dir)?;
        let envelope = envelope.and(node);
        let version = connection.attr_version();
        let answer = connection.call_entry(&op, envelope, |entry| Some(entry.node));
        let (entry, lookup) = answer.map_err(|error| {
            failed(error, &[dir, inode], &[dentry]);
            if error == ENOSYS {
                // A server without links.
                EPERM
            } else {
                error
            }
        })?;
        changed(dir);
        attributes::invalidate_some(inode, Fields::NLINK.with(Fields::CTIME));
        kept::changed(inode);
        if entry.attr.kind.bits() != u32::from(inode.mode()) & FileType::MASK {
            return Err(EIO);
        }
        named(dir, &entry, lookup, version)
    }

    fn unlink(dir: &Inode, dentry: &Dentry) -> Result {
        let op = Unlink {
            name: name_of(dentry)?,
        };
        let (connection, envelope) = about(dir)?;
        connection
            .call(&op, envelope)
            .inspect_err(|error| failed(*error, &[dir], &[dentry]))?;
        removed(dir, dentry, false);
        Ok(())
    }

    fn rmdir(dir: &Inode, dentry: &Dentry) -> Result {
        let op = Rmdir {
            name: name_of(dentry)?,
        };
        let (connection, envelope) = about(dir)?;
        connection
            .call(&op, envelope)
            .inspect_err(|error| failed(*error, &[dir], &[dentry]))?;
        removed(dir, dentry, true);
        Ok(())
    }

    fn rename(
        map: IdMap<'_>,
        old_dir: &Inode,
        old: &Dentry,
        new_dir: &Inode,
        new: &Dentry,
        flags: u32,
    ) -> Result {
        let (connection, envelope) = if flags & RENAME_WHITEOUT != 0 {
            making(old_dir, map)?
        } else {
            about(old_dir)?
        };
        let new_dir_node = inode::node(new_dir)?;
        let envelope = envelope.and(new_dir_node);
        let (old_name, new_name) = (name_of(old)?, name_of(new)?);
        let answer = if flags == 0 {
            let op = Rename {
                new_dir: new_dir_node.id(),
                old: old_name,
                new: new_name,
            };
            connection.call(&op, envelope)
        } else {
            if connection.wait_ready()?.minor < RENAME2_MINOR {
                return Err(EINVAL);
            }
            let op = Rename2 {
                new_dir: new_dir_node.id(),
                flags,
                old: old_name,
                new: new_name,
            };
            match connection.call(&op, envelope) {
                Err(error) if error == ENOSYS => Err(EINVAL),
                other => other,
            }
        };
        answer.inspect_err(|error| failed(*error, &[old_dir, new_dir], &[old, new]))?;
        renamed(old_dir, old, new_dir, new, flags);
        Ok(())
    }
}

fn renamed(old_dir: &Inode, old: &Dentry, new_dir: &Inode, new: &Dentry, flags: u32) {
    changed(old_dir);
    changed(new_dir);
    if let Some(inode) = old.inode() {
        // If it is a directory, its `..` may be another one.
        changed(inode);
    }
    if let Some(replaced) = new.inode() {
        if flags & RENAME_EXCHANGE == 0 {
            removed(new_dir, new, replaced.is_directory());
        } else {
            changed(replaced);
        }
    }
}
