// SPDX-License-Identifier: GPL-2.0

//! Set-id bits of files, which end when data or owner change, and who drops them: the kernel by
//! SETATTR, or the server by itself (HANDLE_KILLPRIV), or the server when a request says so
//! (HANDLE_KILLPRIV_V2).

use super::attributes;
use super::inode;
use super::Inode;
use super::OpenFile;
use crate::connection::call::Envelope;
use crate::connection::Connection;
use crate::prelude::*;
use fuse_pure::abi::flags::WriteFlags;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::logic::attr_version::AttrVersion;
use fuse_pure::logic::freshness::Fields;
use fuse_pure::op::attr::Setattr;
use kernel_glue::vfs::attributes::without_set_ids;
use kernel_glue::vfs::caller::may_keep_set_ids;

/// Whether the server drops them when a file is written, truncated, or given to somebody else.
pub(crate) fn are_dropped_there(connection: &Connection) -> bool {
    connection.has(InitFlags::HANDLE_KILLPRIV) || connection.has(InitFlags::HANDLE_KILLPRIV_V2)
}

/// Whether requests say that they are to be dropped.
pub(crate) fn are_told(connection: &Connection) -> bool {
    connection.has(InitFlags::HANDLE_KILLPRIV_V2)
}

/// Whether a request in which the caller changes data says so.
pub(crate) fn end_by_caller(connection: &Connection) -> bool {
    are_told(connection) && !may_keep_set_ids()
}

/// How a WRITE through the page cache by the caller says so.
pub(crate) fn write_flags(connection: &Connection) -> WriteFlags {
    WriteFlags::when(end_by_caller(connection), WriteFlags::KILL_SUIDGID)
}

/// How a direct WRITE by the caller says so, to any server: the flag is older than the feature.
pub(crate) fn direct_write_flags() -> WriteFlags {
    WriteFlags::when(!may_keep_set_ids(), WriteFlags::KILL_SUIDGID)
}

/// The attributes that go with the data, because the server may have dropped set-id bits.
pub(crate) fn fields(inode: &Inode) -> Fields {
    let mode = inode.mode();
    Fields::when(
        without_set_ids(mode) != mode && are_dropped_there(inode::connection(inode)),
        Fields::MODE,
    )
}

/// Drops privileges before a request that changes data and cannot say so, and of which a server
/// that drops them by itself need not think. The inode is locked.
pub(crate) fn drop_here(file: &OpenFile<'_>) -> Result {
    file.remove_privileges()?;
    let inode = file.inode();
    let connection = inode::connection(inode);
    if !are_dropped_there(connection) || !file.has_setid() {
        return Ok(());
    }
    attributes::fetch(inode, file.handle())?;
    let mode = inode.mode() | inode.data().perm();
    let new = without_set_ids(mode);
    if new == mode {
        return Ok(());
    }
    let op = Setattr {
        mode: Some(new.into()),
        ..Setattr::default()
    };
    let reply = connection.call(&op, Envelope::by_caller(inode::node(inode)?))?;
    // With the inode locked, nothing we sent is newer than this.
    attributes::update(inode, &reply.attr, reply.valid, AttrVersion(0))
}
