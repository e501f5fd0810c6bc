// SPDX-License-Identifier: GPL-2.0

//! Data that travels beside the body of a request.

use crate::prelude::*;
use kernel_glue::mem::pages::PageData;
use kernel_glue::mem::user_pages::UserPages;
use kernel_glue::mm::lent::LentFolios;
use kernel_glue::uio::MessageSink;

/// Bytes of which their owner knows where they are.
pub(crate) trait Source: Send + Sync {
    /// How many.
    fn len(&self) -> usize;

    /// Copies all to `dest`.
    ///
    /// # Errors
    ///
    /// As [`MessageSink::put`].
    fn copy_to(&self, dest: &mut dyn MessageSink) -> Result;

    /// Where the bytes are, to stay there as long as the value exists. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EIO` when it is over.
    fn hold(&self) -> Result<Held>;
}

/// Bytes that stay where they are.
pub(crate) enum Held {
    /// A copy of our own.
    Own(Arc<PageData>),
    /// The caller's memory.
    Callers(Arc<UserPages>),
    /// Pages that are being written back as long as the value exists.
    Lent(Arc<LentFolios>),
}

/// Data behind the body of a request.
#[derive(Clone)]
pub(crate) enum Payload {
    /// A copy of our own.
    Own(Arc<PageData>),
    /// The caller's memory.
    Callers(Arc<UserPages>),
    /// Somebody's who knows better.
    Others(Arc<dyn Source>),
}

impl Payload {
    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Own(data) => data.len(),
            Self::Callers(pages) => pages.len(),
            Self::Others(source) => source.len(),
        }
    }

    /// Where the bytes are, to stay there as long as the value exists. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EIO` when it is over.
    pub(crate) fn hold(&self) -> Result<Held> {
        Ok(match self {
            Self::Own(data) => Held::Own(data.clone()),
            Self::Callers(pages) => Held::Callers(pages.clone()),
            Self::Others(source) => source.hold()?,
        })
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
            Self::Others(source) => source.copy_to(dest),
        }
    }
}
