// SPDX-License-Identifier: GPL-2.0

//! Every request, as a type that knows its reply.
//!
//! An [`Operation`] fills the body of its request and turns the body of the reply into a value
//! whose every field has been checked. Nothing behind this module sees unchecked bytes.

pub mod attr;
pub mod create;
pub mod dax;
pub mod entry;
pub mod extension;
pub mod forget;
pub mod init;
pub mod ioctl;
pub mod lock;
pub mod name;
pub mod notify;
pub mod open;
pub mod operation;
pub mod poll;
pub mod range;
pub mod rw;
pub mod statx;
pub mod xattr;

pub use entry::Attributes;
pub use entry::Entry;
pub use entry::FileType;
pub use entry::Lookup;
pub use entry::LookupReply;
pub use entry::Timeout;
pub use operation::Operation;
pub use operation::ReplyShape;
