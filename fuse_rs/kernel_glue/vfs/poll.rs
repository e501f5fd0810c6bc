// SPDX-License-Identifier: GPL-2.0

//! Readiness of open files: poll(2), select(2), epoll(7).

use super::file::OpenFileRef;
use super::FileSystem;
use crate::bindings;
use crate::sync::wait::WaitQueue;

/// Operations for those who wait until files are ready. They may sleep.
pub trait PollOperations: FileSystem {
    /// Where those wait who want to know; it lives as long as the open file. Nothing if the file is
    /// always ready.
    fn poll_queue<'a>(file: &OpenFileRef<'a, Self>)
        -> kernel::error::Result<Option<&'a WaitQueue>>;

    /// What of `events` (`POLL*`) there is, and perhaps more; nothing if the file is always ready.
    /// Somebody is `waiting`, whom the queue tells of changes.
    fn readiness(
        file: &OpenFileRef<'_, Self>,
        events: u32,
        waiting: bool,
    ) -> kernel::error::Result<Option<u32>>;
}

/// # Safety
///
/// Called by the VFS with a file of the file system and a table or none.
pub(crate) unsafe extern "C" fn poll<T: PollOperations>(
    file: *mut bindings::file,
    table: *mut bindings::poll_table,
) -> bindings::__poll_t {
    // SAFETY: By the safety requirements.
    let open_file = unsafe { OpenFileRef::<T>::from_raw(file) };
    let ready = T::poll_queue(&open_file).and_then(|queue| {
        let Some(queue) = queue else {
            return Ok(None);
        };
        // SAFETY: By the safety requirements. The queue lives as long as the file, which whoever
        // polls holds; epoll lets go of it before it is released.
        let (events, waiting) = unsafe {
            bindings::fuse_rs_helper_poll_wait(file, queue.as_raw(), table);
            (
                bindings::fuse_rs_helper_poll_events(table),
                bindings::fuse_rs_helper_queue_has_waiters(queue.as_raw()),
            )
        };
        T::readiness(&open_file, events, waiting)
    });
    match ready {
        // SAFETY: Computes.
        Ok(Some(events)) => unsafe { bindings::fuse_rs_helper_poll_mask(events) },
        Ok(None) => bindings::FUSE_RS_DEFAULT_POLLMASK as bindings::__poll_t,
        Err(_) => bindings::FUSE_RS_EPOLLERR as bindings::__poll_t,
    }
}
