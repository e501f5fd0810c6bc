// SPDX-License-Identifier: GPL-2.0

//! Who is asking: user and process ids as seen from a mount's namespaces.

use crate::bindings;
use core::ptr::NonNull;
use kernel::prelude::*;

/// A counted reference to a user namespace.
pub struct UserNamespace(NonNull<bindings::user_namespace>);

// SAFETY: User namespaces are reference-counted and immutable in what is used here.
unsafe impl Send for UserNamespace {}
// SAFETY: As above.
unsafe impl Sync for UserNamespace {}

/// A user id of the kernel.
#[derive(Clone, Copy)]
pub struct Uid(pub(crate) bindings::kuid_t);

impl Uid {
    /// The administrator of the machine.
    pub const ROOT: Self = Self(bindings::kuid_t { val: 0 });
}

/// A group id of the kernel.
#[derive(Clone, Copy)]
pub struct Gid(pub(crate) bindings::kgid_t);

impl Gid {
    /// The group of the administrator of the machine.
    pub const ROOT: Self = Self(bindings::kgid_t { val: 0 });
}

/// What the kernel calls an id: all ones is none.
pub(crate) fn known(number: u32) -> Option<u32> {
    (number != u32::MAX).then_some(number)
}

impl UserNamespace {
    /// Takes a reference to `ns`.
    ///
    /// # Safety
    ///
    /// `ns` is valid during the call.
    pub(crate) unsafe fn get(ns: *mut bindings::user_namespace) -> Result<Self> {
        // SAFETY: By the safety requirements.
        let ns = unsafe { bindings::fuse_rs_helper_get_user_ns(ns) };
        NonNull::new(ns).map(Self).ok_or(EINVAL)
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::user_namespace {
        self.0.as_ptr()
    }

    /// The caller's file-system user id in this namespace, if it has one there.
    pub fn caller_uid(&self) -> Option<u32> {
        // SAFETY: We own a reference.
        known(unsafe { bindings::fuse_rs_helper_fsuid_in(self.as_ptr()) })
    }

    /// The caller's file-system group id in this namespace, if it has one there.
    pub fn caller_gid(&self) -> Option<u32> {
        // SAFETY: We own a reference.
        known(unsafe { bindings::fuse_rs_helper_fsgid_in(self.as_ptr()) })
    }

    /// The caller's file-system user id in this namespace; the system's number for unknown users
    /// if it has none there.
    pub fn caller_uid_or_unknown(&self) -> u32 {
        // SAFETY: We own a reference.
        unsafe { bindings::fuse_rs_helper_fsuid_munged_in(self.as_ptr()) }
    }

    /// The caller's file-system group id in this namespace; the system's number for unknown
    /// groups if it has none there.
    pub fn caller_gid_or_unknown(&self) -> u32 {
        // SAFETY: We own a reference.
        unsafe { bindings::fuse_rs_helper_fsgid_munged_in(self.as_ptr()) }
    }

    /// Whether the caller lives in this namespace or one below it.
    pub fn contains_caller(&self) -> bool {
        // SAFETY: We own a reference.
        unsafe { bindings::fuse_rs_helper_current_in_userns(self.as_ptr()) }
    }

    /// The kernel's id for `uid` here.
    pub fn uid(&self, uid: u32) -> Uid {
        // SAFETY: We own a reference.
        Uid(unsafe { bindings::make_kuid(self.as_ptr(), uid) })
    }

    /// The kernel's id for `gid` here.
    pub fn gid(&self, gid: u32) -> Gid {
        // SAFETY: We own a reference.
        Gid(unsafe { bindings::make_kgid(self.as_ptr(), gid) })
    }

    /// The number of `uid` here, if it has one.
    pub fn number_of(&self, uid: Uid) -> Option<u32> {
        // SAFETY: We own a reference.
        known(unsafe { bindings::from_kuid(self.as_ptr(), uid.0) })
    }

    /// The number of `gid` here, if it has one.
    pub fn number_of_group(&self, gid: Gid) -> Option<u32> {
        // SAFETY: We own a reference.
        known(unsafe { bindings::from_kgid(self.as_ptr(), gid.0) })
    }

    /// Whether `uid` exists here.
    pub fn has_uid(&self, uid: Uid) -> bool {
        // SAFETY: We own a reference.
        unsafe { bindings::fuse_rs_helper_kuid_has_mapping(self.as_ptr(), uid.0) }
    }

    /// Whether `gid` exists here.
    pub fn has_gid(&self, gid: Gid) -> bool {
        // SAFETY: We own a reference.
        unsafe { bindings::fuse_rs_helper_kgid_has_mapping(self.as_ptr(), gid.0) }
    }
}

impl Drop for UserNamespace {
    fn drop(&mut self) {
        // SAFETY: We own a reference and give it up.
        unsafe { bindings::fuse_rs_helper_put_user_ns(self.as_ptr()) };
    }
}

/// A counted reference to a process namespace.
pub struct ProcessNamespace(NonNull<bindings::pid_namespace>);

// SAFETY: Process namespaces are reference-counted and synchronise themselves.
unsafe impl Send for ProcessNamespace {}
// SAFETY: As above.
unsafe impl Sync for ProcessNamespace {}

impl ProcessNamespace {
    /// The caller's.
    pub fn current() -> Result<Self> {
        // SAFETY: The current task has a process namespace; the helper takes a reference.
        let ns = unsafe { bindings::fuse_rs_helper_current_pid_ns() };
        NonNull::new(ns).map(Self).ok_or(EINVAL)
    }

    /// The caller's process id in this namespace; zero if it has none there.
    pub fn caller_pid(&self) -> u32 {
        // SAFETY: We own a reference.
        unsafe { bindings::fuse_rs_helper_current_pid_in(self.0.as_ptr()) }
    }

    /// The id in this namespace of the process whose thread the caller is; zero if it has none
    /// there.
    pub fn caller_process(&self) -> u32 {
        // SAFETY: We own a reference.
        unsafe { bindings::fuse_rs_helper_current_tgid_in(self.0.as_ptr()) }
    }

    /// What the system calls the process that is `pid` in this namespace; zero if there is none.
    pub fn system_pid(&self, pid: u32) -> i32 {
        let _guard = kernel::sync::rcu::read_lock();
        // SAFETY: We own a reference, and what is found lives as long as the guard.
        unsafe { bindings::fuse_rs_helper_system_pid(self.0.as_ptr(), pid) }
    }
}

impl Drop for ProcessNamespace {
    fn drop(&mut self) {
        // SAFETY: We own a reference and give it up.
        unsafe { bindings::fuse_rs_helper_put_pid_ns(self.0.as_ptr()) };
    }
}

/// Whether all the caller's user and group ids are exactly these.
pub fn caller_is_only(uid: Uid, gid: Gid) -> bool {
    // SAFETY: Reads the credentials of the current task.
    unsafe { bindings::fuse_rs_helper_cred_is_only(uid.0, gid.0) }
}

/// A number that stands for the caller's table of open files, which owns its record locks.
pub fn files() -> usize {
    // SAFETY: Reads a field of the current task.
    unsafe { bindings::fuse_rs_helper_current_files() }
}

/// The caller's umask.
pub fn umask() -> u32 {
    // SAFETY: Reads the file-system settings of the current task.
    unsafe { bindings::fuse_rs_helper_umask() }
}

/// Whether the caller is a process that a signal has killed and that is now on its way out.
///
/// No further signal reaches it, so it must not wait for anything that may not come.
pub fn was_killed() -> bool {
    // SAFETY: Reads fields of the current task.
    unsafe { bindings::fuse_rs_helper_current_was_killed() }
}

/// Whether files keep their set-id bits when the caller changes them.
pub fn may_keep_set_ids() -> bool {
    // SAFETY: Reads the credentials of the current task.
    unsafe { bindings::capable(bindings::CAP_FSETID as i32) }
}

/// Whether the caller may administer the system.
pub fn may_administer() -> bool {
    // SAFETY: Reads the credentials of the current task.
    unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as i32) }
}
