// SPDX-License-Identifier: GPL-2.0

//! Copying to and from whoever calls.

pub use kernel::iov::IovIterDest;
pub use kernel::iov::IovIterSource;
