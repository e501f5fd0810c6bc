// SPDX-License-Identifier: GPL-2.0

//! Listing directories.

use super::attributes;
use super::handle::Handle;
use super::inode;
use super::listing;
use super::OpenFile;
use crate::connection::call::Envelope;
use crate::prelude::*;
use fuse_pure::abi::ids::Opcode;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::logic::attr_version::AttrVersion;
use fuse_pure::logic::dirents::Entries;
use fuse_pure::logic::dirents::Entry as Listed;
use fuse_pure::logic::dirents::PlusEntries;
use fuse_pure::op::rw::Readdir;
use fuse_pure::op::Entry;
use kernel_glue::mem::pages::PAGE_SIZE;
use kernel_glue::vfs::dentry::Child;
use kernel_glue::vfs::file::DirEmitter;

/// Most bytes of entries asked for at a time, if the server takes as many pages.
const MAX: usize = 32 * PAGE_SIZE;

/// Passes entries on from the emitter's position: from the cache, or one reply of the server's at
/// a time.
pub(crate) fn iterate(file: &OpenFile<'_>, out: &mut DirEmitter<'_>) -> Result {
    let dir = file.inode();
    let connection = inode::connection(dir);
    connection.wait_ready()?;
    inode::node(dir)?;
    if listing::serve(file, file.handle().ok_or(EIO)?, out)? {
        return Ok(());
    }
    let plus = connection.has(InitFlags::DO_READDIRPLUS)
        && !connection.lacks(Opcode::Readdirplus)
        && (!connection.has(InitFlags::READDIRPLUS_AUTO)
            || dir.data().take_plus_advice()
            || out.position() == 0);
    if plus {
        match list_plus(file, out) {
            Err(error) if error == ENOSYS => {}
            other => return other,
        }
    }
    list(file, out)
}

/// The request for what comes next.
fn request<const PLUS: bool>(
    file: &OpenFile<'_>,
    handle: &Handle,
    out: &DirEmitter<'_>,
) -> Result<Readdir<PLUS>> {
    let connection = inode::connection(file.inode());
    let max_pages = usize::from(connection.wait_ready()?.max_pages);
    let max = max_pages.saturating_mul(PAGE_SIZE).clamp(PAGE_SIZE, MAX);
    Ok(Readdir {
        fh: handle.fh(),
        offset: out.position(),
        size: u32::try_from(out.space().clamp(PAGE_SIZE, max)).map_err(|_| EINVAL)?,
        flags: file.flags(),
    })
}

#[cold]
fn bad_entry() -> Error {
    warn_ratelimited!("bad directory entry\n");
    EIO
}

fn list(file: &OpenFile<'_>, out: &mut DirEmitter<'_>) -> Result {
    let dir = file.inode();
    let handle = file.handle().ok_or(EIO)?;
    let envelope = Envelope::by_caller(inode::node(dir)?).with(handle.open_there());
    let op = request::<false>(file, handle, out)?;
    let turn = inode::turn(dir)?;
    let ((), reply) = inode::connection(dir).call_for_bytes(&op, envelope)?;
    drop(turn);
    let (mut emitted, mut outcome) = (0, Ok(()));
    for entry in Entries::new(reply.body()) {
        match entry {
            Ok(entry) if out.emit(entry.name, entry.ino, entry.kind, entry.next) => emitted += 1,
            Ok(_) => break,
            Err(_) => {
                outcome = Err(bad_entry());
                break;
            }
        }
    }
    let entries = Entries::new(reply.body()).flatten().take(emitted);
    keep(file, handle, op.offset, reply.body().is_empty(), entries);
    outcome
}

/// Takes note of what was listed from `position` on, for the next time.
fn keep<'a>(
    file: &OpenFile<'_>,
    handle: &Handle,
    position: u64,
    is_end: bool,
    entries: impl Iterator<Item = Listed<'a>>,
) {
    attributes::accessed(file.inode());
    if is_end {
        listing::finish(file.inode(), handle, position);
    } else {
        listing::add(file.inode(), handle, position, entries);
    }
}

fn list_plus(file: &OpenFile<'_>, out: &mut DirEmitter<'_>) -> Result {
    let dir = file.inode();
    let connection = inode::connection(dir);
    let handle = file.handle().ok_or(EIO)?;
    let envelope = Envelope::by_caller(inode::node(dir)?).with(handle.open_there());
    let op = request::<true>(file, handle, out)?;
    let turn = inode::turn(dir)?;
    let version = connection.attr_version();
    let reply = connection.call_readdirplus(&op, envelope)?;
    drop(turn);
    let (mut room, mut emitted, mut outcome) = (true, 0, Ok(()));
    for entry in PlusEntries::new(reply.body()) {
        let Ok(plus) = entry else {
            // Nothing behind it can be read.
            outcome = outcome.and(Err(bad_entry()));
            break;
        };
        let entry = plus.entry;
        room = room && out.emit(entry.name, entry.ino, entry.kind, entry.next);
        emitted += usize::from(room);
        // Those for which there is no room are taken note of all the same: the server has
        // counted a lookup of each.
        let Some(id) = plus.looked_up() else {
            continue;
        };
        let noted = match Entry::from_wire(&plus.lookup) {
            Ok(found) => connect(file, out, entry.name, &found, version),
            Err(_) => {
                let _ = bad_entry();
                connection.looked_up_entry(id).map(drop)
            }
        };
        if noted.is_err() {
            outcome = noted;
        }
    }
    let entries = PlusEntries::new(reply.body())
        .flatten()
        .map(|plus| plus.entry)
        .take(emitted);
    keep(file, handle, op.offset, reply.body().is_empty(), entries);
    outcome
}

/// Takes note of an entry. Its lookup becomes part of its inode's, or is given back. If no note
/// can be taken, the name is looked up when somebody wants it.
///
/// # Errors
///
/// As [`crate::connection::Connection::looked_up_entry`].
fn connect(
    file: &OpenFile<'_>,
    out: &DirEmitter<'_>,
    name: &[u8],
    found: &Entry,
    version: AttrVersion,
) -> Result {
    let dir = file.inode();
    let belief = inode::connection(dir).believe(found.entry_valid, version);
    let child = file.child(out, name);
    if let Ok(Child::Known(known)) = &child {
        let same = known.dentry().inode().filter(|inode| {
            inode.data().key() == found.node.get() && !inode::is_other(inode, found)
        });
        if let Some(inode) = same {
            inode::count_lookup(inode);
            if attributes::update(inode, &found.attr, found.attr_valid, version).is_ok() {
                known.dentry().set_belief(belief.bits());
            }
            return Ok(());
        }
    }
    let lookup = inode::connection(dir).looked_up_entry(found.node)?;
    match child {
        Ok(Child::New(new)) => {
            let _ = inode::from_entry(dir.super_block(), found, lookup, version)
                .and_then(|inode| new.connect(inode, belief.bits()));
        }
        // Something else has this name now.
        Ok(Child::Known(known)) => known.invalidate(),
        Err(_) => {}
    }
    Ok(())
}
