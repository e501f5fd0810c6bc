// SPDX-License-Identifier: GPL-2.0

//! Data that travels beside the body of a request.

use crate::prelude::*;
use kernel_glue::mem::pages::PageData;
use kernel_glue::mem::user_pages::UserPages;
use kernel_glue::uio::MessageSink;

/// Data behind the body of a request.
#[derive(Clone)]
pub(crate) enum Payload {
    /// A copy of our own.
    Own(Arc<PageData>),
    /// The caller's memory.
    Callers(Arc<UserPages>),
}

impl Payload {
    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Own(data) => data.len(),
            Self::Callers(pages) => pages.len(),
        }
    }

    /// Copies everything to `dest`.
    ///
    /// # Errors
    ///
    /// As [`MessageSink::put`].
    pub(crate) fn copy_to(&self, dest: &mut dyn MessageSink) -> Result {
        match self {
            Self::Own(data) => data.copy_to(dest),
            Self::Callers(pages) => dest.put_user_pages(pages),
        }
    }
}
