// SPDX-License-Identifier: GPL-2.0

//! Extended attributes.
//!
//! The server keeps them all, whatever their namespace. So it does with access control lists. If
//! it wants (POSIX_ACL), the kernel judges by them; else the server does, or nobody.

use super::attributes;
use super::inode;
use super::kept;
use super::Fuse;
use super::Inode;
use crate::connection::call::Envelope;
use crate::connection::payload::Payload;
use crate::connection::Connection;
use crate::prelude::*;
use fuse_pure::abi::cursor::Name;
use fuse_pure::abi::flags::SetxattrFlags;
use fuse_pure::abi::ids::Opcode;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::op::xattr;
use fuse_pure::op::xattr::Getxattr;
use fuse_pure::op::xattr::Listxattr;
use fuse_pure::op::xattr::Removexattr;
use fuse_pure::op::xattr::Setxattr;
use kernel_glue::mem::pages::PageData;
use kernel_glue::vfs::xattr::LazyName;
use kernel_glue::vfs::xattr::XattrBuffer;
use kernel_glue::vfs::xattr::XattrOperations;

/// The connection and the inode's node id, for a request of the caller's about it.
fn about(inode: &Inode) -> Result<(&Arc<Connection>, Envelope<'_>)> {
    Ok((
        inode::connection(inode),
        Envelope::by_caller(inode::node(inode)?),
    ))
}

fn name_of(name: &[u8]) -> Result<Name<'_>> {
    Name::new(name).ok_or(EINVAL)
}

/// A server without such requests has no such attributes.
fn unsupported(error: Error) -> Error {
    if error == ENOSYS {
        EOPNOTSUPP
    } else {
        error
    }
}

/// The size to be asked for.
fn wanted(to: &XattrBuffer<'_>) -> u32 {
    u32::try_from(to.size()).map_or(xattr::MAX, |size| size.min(xattr::MAX))
}

/// As the operation, but with `ENOSYS` as an error.
fn get<'n>(inode: &Inode, name: impl FnOnce() -> &'n [u8], to: XattrBuffer<'_>) -> Result<usize> {
    let (connection, envelope) = about(inode)?;
    if connection.lacks(Opcode::Getxattr) {
        // Asked for at each write.
        return Err(ENOSYS);
    }
    let op = Getxattr {
        name: name_of(name())?,
        size: wanted(&to),
    };
    let (len, reply) = connection.call_for_bytes(&op, envelope)?;
    if op.size == 0 {
        Ok(len)
    } else {
        to.put(reply.body())
    }
}

/// A change has been asked for.
fn changed(inode: &Inode, answer: Result) -> Result {
    if matches!(answer, Ok(()) | Err(EINTR)) {
        // The time of the last status change is another.
        attributes::invalidate(inode);
        kept::changed(inode);
    }
    answer.map_err(unsupported)
}

fn set(inode: &Inode, name: &[u8], value: &[u8], flags: u32, also: SetxattrFlags) -> Result {
    let (connection, envelope) = about(inode)?;
    connection.wait_ready()?;
    let op = Setxattr {
        name: name_of(name)?,
        size: u32::try_from(value.len()).map_err(|_| E2BIG)?,
        flags,
        also: connection.has(InitFlags::SETXATTR_EXT).then_some(also),
    };
    let data = Payload::Own(Arc::new(PageData::copy_of(value)?, GFP_KERNEL)?);
    changed(inode, connection.call_with_data(&op, envelope, data))
}

fn remove(inode: &Inode, name: &[u8]) -> Result {
    let (connection, envelope) = about(inode)?;
    let op = Removexattr {
        name: name_of(name)?,
    };
    changed(inode, connection.call(&op, envelope))
}

/// Whether access control lists may be passed through to the server.
///
/// To a server that does not know of it, the ids in them mean something only if they are the
/// system's.
fn passes_acls(inode: &Inode) -> bool {
    judges_by_acls(inode) || !inode.super_block().is_from_user_namespace()
}

fn judges_by_acls(inode: &Inode) -> bool {
    inode::connection(inode).has(InitFlags::POSIX_ACL)
}

impl XattrOperations for Fuse {
    fn get_xattr(inode: &Inode, name: LazyName<'_>, to: XattrBuffer<'_>) -> Result<usize> {
        get(inode, || name.bytes(), to).map_err(unsupported)
    }

    fn set_xattr(inode: &Inode, name: &[u8], value: &[u8], flags: u32) -> Result {
        set(inode, name, value, flags, SetxattrFlags::empty())
    }

    fn remove_xattr(inode: &Inode, name: &[u8]) -> Result {
        remove(inode, name)
    }

    fn list_xattrs(inode: &Inode, to: XattrBuffer<'_>) -> Result<usize> {
        let (connection, envelope) = about(inode)?;
        if !inode::mount(inode).allows_caller() {
            return Err(EACCES);
        }
        let op = Listxattr { size: wanted(&to) };
        let (len, reply) = connection
            .call_for_bytes(&op, envelope)
            .map_err(unsupported)?;
        if op.size == 0 {
            Ok(len)
        } else {
            to.put(reply.body())
        }
    }

    fn get_acl(inode: &Inode, name: &[u8], to: XattrBuffer<'_>) -> Result<usize> {
        if !passes_acls(inode) {
            return Err(EOPNOTSUPP);
        }
        match get(inode, || name, to) {
            // Without attributes there are no lists.
            Err(ENOSYS) => Ok(0),
            other => other,
        }
    }

    fn judges_by_acls(inode: &Inode) -> bool {
        judges_by_acls(inode)
    }

    fn set_acl(inode: &Inode, name: &[u8], value: Option<&[u8]>, is_member: bool) -> Result {
        inode::node(inode)?;
        if !passes_acls(inode) {
            return Err(EOPNOTSUPP);
        }
        let judges = judges_by_acls(inode);
        let also = SetxattrFlags::when(judges && !is_member, SetxattrFlags::ACL_KILL_SGID);
        let done = match value {
            Some(value) => set(inode, name, value, 0, also),
            None => remove(inode, name),
        };
        if judges {
            inode.forget_acls();
        }
        done
    }
}
