// SPDX-License-Identifier: GPL-2.0

//! The time an inode was made, which only STATX tells.

use super::attributes;
use super::attributes::timestamp;
use super::inode;
use super::Inode;
use crate::connection::call::Envelope;
use crate::prelude::*;
use fuse_pure::op::statx::Statx;
use kernel_glue::vfs::attributes::Timestamp;

/// What is known of it.
#[derive(Clone, Copy)]
pub(crate) enum Birth {
    /// The server has not been asked.
    Unknown,
    /// The server does not know.
    Untold,
    /// This is when.
    At(Timestamp),
}

/// Whether the server has not been asked.
pub(crate) fn is_unknown(inode: &Inode) -> bool {
    matches!(inode.data().state.lock().birth, Birth::Unknown)
}

/// When the inode was made, if that is known.
pub(crate) fn known(inode: &Inode) -> Option<Timestamp> {
    match inode.data().state.lock().birth {
        Birth::At(time) => Some(time),
        Birth::Unknown | Birth::Untold => None,
    }
}

/// Asks the server for it, and for all attributes.
///
/// # Errors
///
/// `ENOSYS` when the server does not have the request.
pub(crate) fn fetch(inode: &Inode) -> Result {
    let node = inode::node(inode)?;
    let connection = inode::connection(inode);
    let version = connection.attr_version();
    let reply = connection.call(&Statx, Envelope::by_caller(node))?;
    inode.data().state.lock().birth = match reply.birth {
        Some(time) => Birth::At(timestamp(time)),
        None => Birth::Untold,
    };
    match reply.attr {
        Some(attr) => attributes::update(inode, &attr, reply.valid, version),
        // Some of them do not help: which others are old, and since when, nobody keeps.
        None => attributes::fetch(inode, None),
    }
}
