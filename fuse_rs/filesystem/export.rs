// SPDX-License-Identifier: GPL-2.0

//! File handles: a node id and its generation.
//!
//! Who uses a handle may have made it up, and a node id means nothing to a server that has forgotten
//! it. So only servers that want it (EXPORT_SUPPORT) are asked about node ids that nobody has
//! looked up: LOOKUP of "." in the node, and of ".." for the directory it is in.

use super::inode;
use super::Fuse;
use super::Inode;
use super::SuperBlock;
use crate::connection::call::Envelope;
use crate::connection::node::ServerNode;
use crate::prelude::*;
use fuse_pure::abi::ids::NodeId;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::logic::file_id::FileId;
use fuse_pure::op::entry::LookupParent;
use fuse_pure::op::entry::LookupSelf;
use fuse_pure::op::entry::Parent;
use kernel::sync::aref::ARef;
use kernel_glue::vfs::export::ExportOperations;
use kernel_glue::vfs::export::WORDS;

fn stale_if_missing(error: Error) -> Error {
    if error == ENOENT {
        ESTALE
    } else {
        error
    }
}

/// Whether the server may be asked about what nobody has looked up.
///
/// # Errors
///
/// `EINTR` when the caller is killed before the handshake is over; `ENOTCONN` and the like.
fn may_ask(sb: &SuperBlock) -> Result<bool> {
    let connection = &sb.data().mount.connection;
    connection.wait_ready()?;
    Ok(connection.has(InitFlags::EXPORT_SUPPORT))
}

/// Asks the server for a node that nobody has looked up.
fn look_up(sb: &SuperBlock, id: NodeId) -> Result<ARef<Inode>> {
    if !may_ask(sb)? {
        return Err(ESTALE);
    }
    let connection = &sb.data().mount.connection;
    let node = ServerNode::not_looked_up(id)?;
    let version = connection.attr_version();
    let op = LookupSelf { node: id };
    let (entry, lookup) = connection
        .call_entry(&op, Envelope::by_caller(&node), |found| {
            found.map(|entry| entry.node)
        })
        .map_err(stale_if_missing)?;
    inode::from_entry(sb, &entry.ok_or(ESTALE)?, lookup.ok_or(EIO)?, version)
}

impl ExportOperations for Fuse {
    fn encode(inode: &Inode) -> [u32; WORDS] {
        let id = FileId {
            // An inode has its key, which is a node id, before anybody sees it.
            node: NodeId::from_server(inode.data().key()).unwrap_or(NodeId::ROOT),
            generation: inode.generation(),
        };
        id.to_words()
    }

    fn decode(sb: &SuperBlock, words: [u32; WORDS]) -> Result<ARef<Inode>> {
        let id = FileId::from_words(words).ok_or(ESTALE)?;
        let inode = match sb.find_inode(id.node.get()) {
            Some(inode) => inode,
            None => look_up(sb, id.node)?,
        };
        if inode.generation() != id.generation || inode.data().is_bad() {
            return Err(ESTALE);
        }
        Ok(inode)
    }

    fn parent(dir: &Inode) -> Result<ARef<Inode>> {
        let sb = dir.super_block();
        if !may_ask(sb)? {
            return Err(ESTALE);
        }
        let connection = inode::connection(dir);
        let version = connection.attr_version();
        let envelope = Envelope::by_caller(inode::node(dir)?);
        let (parent, lookup) = connection
            .call_entry(&LookupParent, envelope, Parent::node)
            .map_err(stale_if_missing)?;
        match parent {
            Parent::None => Err(ESTALE),
            Parent::Root => sb.find_inode(NodeId::ROOT.get()).ok_or(ESTALE),
            Parent::Other(entry) => inode::from_entry(sb, &entry, lookup.ok_or(EIO)?, version),
        }
    }
}
