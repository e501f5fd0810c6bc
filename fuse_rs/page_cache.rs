// SPDX-License-Identifier: GPL-2.0

//! Data of files, through the page cache and past it.

pub(crate) mod read;
pub(crate) mod stale;
pub(crate) mod write;
