// SPDX-License-Identifier: GPL-2.0

//! How long a name may be believed.

use super::attributes;
use super::expiry;
use super::expiry::Place;
use super::inode;
use super::Dentry;
use super::Fuse;
use super::Inode;
use super::SuperBlock;
use crate::connection::call::Envelope;
use crate::prelude::*;
use fuse_pure::abi::cursor::Name;
use fuse_pure::logic::belief::Belief;
use fuse_pure::op::Lookup;
use fuse_pure::op::LookupReply;
use kernel_glue::vfs::dentry::DentryOperations;
use kernel_glue::vfs::dentry::Validity;
use kernel_glue::vfs::dentry::Walk;
use kernel_glue::vfs::remembered::Remembered;

impl DentryOperations for Fuse {
    fn revalidate(dir: &Inode, name: &[u8], dentry: &Dentry, walk: Walk) -> Result<Validity> {
        let known = dentry.inode();
        if known.is_some_and(|inode| inode.data().is_bad()) {
            return Ok(Validity::Invalid);
        }
        let belief = Belief::from_bits(dentry.belief());
        if !walk.is_exact() && inode::connection(dir).believes(belief) {
            return Ok(Validity::Valid);
        }
        let Some(known) = known else {
            return Ok(Validity::Invalid);
        };
        if walk.is_rcu() {
            return Ok(Validity::NeedSleep);
        }
        look_again(dir, name, dentry, known)
    }

    fn new_entry() -> Place {
        Place::new()
    }

    fn entry_made(sb: &SuperBlock, entry: Arc<Remembered<Self>>) {
        expiry::entry_made(sb, entry);
    }

    fn entry_gone(sb: &SuperBlock, entry: &Remembered<Self>) {
        expiry::entry_gone(sb, entry);
    }
}

/// Asks whether the name still means the inode we know.
fn look_again(dir: &Inode, name: &[u8], dentry: &Dentry, known: &Inode) -> Result<Validity> {
    dir.data().advise_plus();
    let connection = inode::connection(dir);
    let version = connection.attr_version();
    let op = Lookup {
        name: Name::new(name).ok_or(EINVAL)?,
    };
    let envelope = Envelope::by_caller(inode::node(dir)?);
    let answer = connection.call_entry(&op, envelope, |reply| match reply {
        LookupReply::Found(entry) => Some(entry.node),
        LookupReply::Negative(_) => None,
    });
    let (entry, lookup) = match answer {
        Ok((LookupReply::Found(entry), Some(lookup))) => (entry, lookup),
        Ok(_) => return Ok(Validity::Invalid),
        Err(error) if error == ENOMEM || error == EINTR => return Err(error),
        Err(_) => return Ok(Validity::Invalid),
    };
    if entry.node.get() != known.data().key() || inode::is_other(known, &entry) {
        return Ok(Validity::Invalid);
    }
    inode::adopt(known, lookup);
    if attributes::update(known, &entry.attr, entry.attr_valid, version).is_err() {
        return Ok(Validity::Invalid);
    }
    dentry.set_belief(connection.believe(entry.entry_valid, version).bits());
    Ok(Validity::Valid)
}
