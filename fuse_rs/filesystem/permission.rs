// SPDX-License-Identifier: GPL-2.0

//! Who may do what.

use super::attributes;
use super::inode;
use super::Inode;
use crate::connection::call::Envelope;
use crate::prelude::*;
use fuse_pure::logic::freshness::Fields;
use fuse_pure::op::attr::Access;
use kernel_glue::vfs::inode_ops::AccessMask;
use kernel_glue::vfs::inode_ops::IdMap;

/// Execution is allowed to somebody.
const EXECUTABLE: u16 = 0o111;

/// Checks whether the caller may do what `mask` says.
///
/// With `default_permissions` or POSIX_ACL the kernel decides by mode and access control list, and
/// asks for them again before it refuses. Without, the server decides when it gets the request;
/// only access(2) and chdir(2), which send nothing else, are asked about.
///
/// # Errors
///
/// `EACCES`; `ECHILD` when the answer cannot be told without sleeping.
pub(crate) fn check(inode: &Inode, map: IdMap<'_>, mask: AccessMask) -> Result {
    inode::node(inode)?;
    let mount = inode::mount(inode);
    if !mount.allows_caller() {
        return Err(EACCES);
    }
    let by_mode = mount.judges();
    let executes_file = mask.executes() && inode.is_regular();
    let mut fetched = false;
    if (by_mode || executes_file) && !attributes::are_fresh(inode, Fields::PERMISSION) {
        fetch(inode, mask)?;
        fetched = true;
    }
    if by_mode {
        match map.check_by_mode(inode, mask) {
            Err(EACCES) if !fetched => {
                fetch(inode, mask)?;
                map.check_by_mode(inode, mask)
            }
            other => other,
        }
    } else if mask.is_access_or_chdir() {
        ask(inode, mask)
    } else if executes_file && inode.mode() & EXECUTABLE == 0 {
        if !fetched {
            fetch(inode, mask)?;
        }
        if inode.mode() & EXECUTABLE == 0 {
            Err(EACCES)
        } else {
            Ok(())
        }
    } else {
        Ok(())
    }
}

fn fetch(inode: &Inode, mask: AccessMask) -> Result {
    if mask.must_not_sleep() {
        return Err(ECHILD);
    }
    attributes::fetch(inode, None)
}

fn ask(inode: &Inode, mask: AccessMask) -> Result {
    if mask.must_not_sleep() {
        return Err(ECHILD);
    }
    let op = Access { mask: mask.rwx() };
    let node = inode::node(inode)?;
    match inode::connection(inode).call(&op, Envelope::by_caller(node)) {
        // The server has no opinion.
        Err(ENOSYS) => Ok(()),
        other => other,
    }
}
