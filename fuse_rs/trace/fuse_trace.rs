// SPDX-License-Identifier: GPL-2.0

//! Trace events: what `events.h` defines, to be told from Rust.
//!
//! Whether somebody listens to an event is a jump that the kernel patches (a static key): one that
//! nobody listens to costs an instruction that does nothing, and its fields are not computed.
//!
//! The kernel crate's `declare_trace!` is only for events in its own bindings. So the macro here is,
//! beside the binding layer, the other place with `unsafe`.

#[cfg(CONFIG_TRACEPOINTS)]
mod bindings;

/// A request.
pub struct Request {
    /// Device number of the mount, 0 before there is one.
    pub connection: u32,
    /// Names the request.
    pub unique: u64,
    /// What it asks for.
    pub opcode: u32,
    /// Bytes of the whole message.
    pub len: u32,
}

/// The end of a request.
pub struct Answer {
    /// Device number of the mount, 0 before there is one.
    pub connection: u32,
    /// Names the request.
    pub unique: u64,
    /// Bytes of the whole reply, 0 if there was none.
    pub len: u32,
    /// Zero, or a negated errno.
    pub error: i32,
}

/// Copies of dirty pages that are made or given back.
pub struct TemporaryPages {
    /// Device number of the mount.
    pub connection: u32,
    /// Pages that are made, or negated those that are given back.
    pub change: i64,
    /// Pages the connection has then.
    pub pages: u64,
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident($type:ident { $($field:ident),* }) = $event:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// May be called in any context.
        #[inline(always)]
        pub fn $name(fields: impl FnOnce() -> $type) {
            #[cfg(CONFIG_TRACEPOINTS)]
            kernel::macros::paste! {
                #[cold]
                fn tell(fields: impl FnOnce() -> $type) {
                    let $type { $($field),* } = fields();
                    // SAFETY: It may be called in any context, and takes numbers.
                    unsafe { bindings::[<rust_do_trace_ $event>]($($field),*) };
                }

                // SAFETY: The key is that of an event, which lives as long as the module.
                let is_on = unsafe {
                    kernel::jump_label::static_branch_unlikely!(
                        bindings::[<__tracepoint_ $event>],
                        kernel::bindings::tracepoint,
                        key
                    )
                };
                if is_on {
                    tell(fields);
                }
            }
            #[cfg(not(CONFIG_TRACEPOINTS))]
            let _ = fields;
        }
    )*}
}

events! {
    /// A request is put on its way to the server.
    request_send(Request { connection, unique, opcode, len }) = fuse_request_send;
    /// The server reads a request.
    request_sent(Request { connection, unique, opcode, len }) = fuse_request_sent;
    /// A request has its answer, or will never have one.
    request_end(Answer { connection, unique, len, error }) = fuse_request_end;
    /// Copies of dirty pages are made, or given back.
    temporary_pages(TemporaryPages { connection, change, pages }) = fuse_temporary_pages;
}
