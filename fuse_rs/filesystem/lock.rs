// SPDX-License-Identifier: GPL-2.0

//! Locks on files.
//!
//! A server that says so keeps them itself, so that they hold for all who use what it serves.
//! Otherwise the kernel keeps them, and they hold on this machine.

use super::handle::Handle;
use super::inode;
use super::mount::Mount;
use super::Fuse;
use super::OpenFile;
use crate::connection::call::Envelope;
use crate::prelude::*;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::op::lock;
use fuse_pure::op::lock::Getlk;
use fuse_pure::op::lock::Lock;
use fuse_pure::op::lock::Setlk;
use kernel::error::code::ERESTARTSYS;
use kernel_glue::vfs::lock::Conflict;
use kernel_glue::vfs::lock::Kept;
use kernel_glue::vfs::lock::LockKind;
use kernel_glue::vfs::lock::LockOperations;
use kernel_glue::vfs::lock::LockRequest;

/// Locks that the server has said it keeps, and yet has no requests for.
pub(crate) struct Unkept {
    records: Atomic<bool>,
    flocks: Atomic<bool>,
}

impl Unkept {
    /// It is believed.
    pub(crate) fn none() -> Self {
        Self {
            records: Atomic::new(false),
            flocks: Atomic::new(false),
        }
    }

    fn of(&self, wanted: &LockRequest) -> &Atomic<bool> {
        if wanted.flock {
            &self.flocks
        } else {
            &self.records
        }
    }
}

/// Whether the server keeps such locks.
fn server_keeps(mount: &Mount, wanted: &LockRequest) -> bool {
    let feature = if wanted.flock {
        InitFlags::FLOCK_LOCKS
    } else {
        InitFlags::POSIX_LOCKS
    };
    mount.connection.has(feature) && !mount.unkept.of(wanted).load(Relaxed)
}

/// What the server has done, or that it does nothing of the kind.
fn kept<R>(mount: &Mount, wanted: &LockRequest, answer: Result<R>) -> Result<Kept<R>> {
    match answer {
        Ok(done) => Ok(Kept::There(done)),
        Err(ENOSYS) => {
            mount.unkept.of(wanted).store(true, Relaxed);
            Ok(Kept::Here)
        }
        Err(error) => Err(error),
    }
}

fn to_server(mount: &Mount, handle: &Handle, wanted: &LockRequest, pid: u32) -> Lock {
    Lock {
        fh: handle.fh(),
        owner: mount.connection.lock_owner(wanted.owner),
        start: wanted.start,
        end: wanted.end,
        kind: wanted.kind.map(|kind| match kind {
            LockKind::Shared => lock::LockKind::Shared,
            LockKind::Exclusive => lock::LockKind::Exclusive,
        }),
        pid,
        flock: wanted.flock,
    }
}

impl LockOperations for Fuse {
    fn test_lock(file: &OpenFile<'_>, wanted: &LockRequest) -> Result<Kept<Option<Conflict>>> {
        let mount = inode::mount(file.inode());
        if !server_keeps(mount, wanted) {
            return Ok(Kept::Here);
        }
        let handle = file.handle().ok_or(EIO)?;
        let envelope = Envelope::by_caller(inode::node(file.inode())?).with(handle.open_there());
        let op = Getlk(to_server(mount, handle, wanted, 0));
        let held = mount.connection.call(&op, envelope).map(|held| {
            held.map(|held| Conflict {
                kind: match held.kind {
                    lock::LockKind::Shared => LockKind::Shared,
                    lock::LockKind::Exclusive => LockKind::Exclusive,
                },
                start: held.start,
                end: held.end,
                pid: mount.connection.process_ns.system_pid(held.pid),
            })
        });
        kept(mount, wanted, held)
    }

    fn set_lock(file: &OpenFile<'_>, wanted: &LockRequest) -> Result<Kept<()>> {
        let mount = inode::mount(file.inode());
        if !server_keeps(mount, wanted) {
            return Ok(Kept::Here);
        }
        let handle = file.handle().ok_or(EIO)?;
        let connection = &mount.connection;
        let pid = match wanted.kind {
            Some(_) => connection.process_ns.caller_process(),
            None => 0,
        };
        let node = inode::node(file.inode())?;
        let lock = to_server(mount, handle, wanted, pid);
        let answer = if wanted.waits {
            connection.call_lock(&Setlk::<true>(lock), node, handle.open_there())
        } else {
            connection.call_lock(&Setlk::<false>(lock), node, handle.open_there())
        };
        if answer == Err(EINTR) {
            // The signal decides whether it is tried again.
            return Err(ERESTARTSYS);
        }
        if answer.is_ok() && wanted.flock {
            handle.set_flocked();
        }
        kept(mount, wanted, answer)
    }
}
