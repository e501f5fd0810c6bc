// SPDX-License-Identifier: GPL-2.0

//! The page cache.

pub mod cached_write;
pub mod directory;
pub mod fault;
pub mod folio;
pub mod lent;
pub mod mapping;
pub mod no_fs;
pub mod readahead;
pub mod symlink;
pub mod writeback;
