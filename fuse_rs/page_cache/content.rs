// SPDX-License-Identifier: GPL-2.0

//! The bytes of a WRITE of dirty pages.
//!
//! The server gets them from mm's own pages if it takes them soon. Pages that it does not take are
//! copied, so that mm has them back in any case, see [`lender`](super::lender).

use crate::connection::payload::Held;
use crate::connection::Connection;
use crate::filesystem::inode;
use crate::filesystem::Fuse;
use crate::filesystem::Inode;
use crate::prelude::*;
use kernel::new_mutex;
use kernel::sync::aref::ARef;
use kernel::sync::Mutex;
use kernel::sync::UniqueArc;
use kernel_glue::mem::pages::PageData;
use kernel_glue::mm::lent::FolioParts;
use kernel_glue::mm::lent::LentFolios;
use kernel_glue::mm::no_fs::NoFs;
use kernel_glue::mm::writeback::WritebackPages;
use kernel_glue::uio::MessageSink;

/// Pages of our own in place of mm's.
struct Temporary {
    pages: WritebackPages<Fuse>,
}

impl Temporary {
    fn new(pages: WritebackPages<Fuse>) -> Self {
        let this = Self { pages };
        this.connection().add_temporary_pages(this.pages.pages());
        this
    }

    fn connection(&self) -> &Arc<Connection> {
        inode::connection(self.pages.inode())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        self.connection().remove_temporary_pages(self.pages.pages());
    }
}

/// What the bytes lie in.
enum State {
    /// mm's pages, which count as being written back.
    Lent(LentFolios, ARef<Inode>),
    /// mm's pages, which count as being written back until a carrier, too, has given them up.
    Held(Arc<LentFolios>),
    /// mm's pages, which it takes for written. The server has had the bytes, and may want them
    /// again.
    Taken(FolioParts, WritebackPages<Fuse>),
    /// A copy that nobody has read yet.
    Copied(UniqueArc<PageData>, Temporary),
    /// A copy.
    Shared(Arc<PageData>, Temporary),
    /// The server has stored them, or never will.
    Over,
}

impl State {
    /// Makes it a copy if it is not one.
    fn copy(&mut self) -> Result {
        // Those may wait for the very pages.
        let _scope = NoFs::begin();
        let data = match self {
            Self::Lent(folios, _) => UniqueArc::new(folios.copy()?, GFP_KERNEL)?,
            Self::Taken(parts, _) => UniqueArc::new(parts.copy()?, GFP_KERNEL)?,
            Self::Held(..) | Self::Copied(..) | Self::Shared(..) | Self::Over => return Ok(()),
        };
        match core::mem::replace(self, Self::Over) {
            Self::Lent(folios, inode) => {
                // Counted by us before the kernel does no longer.
                let pages = WritebackPages::count(inode, data.len());
                drop(folios);
                *self = Self::Copied(data, Temporary::new(pages));
            }
            Self::Taken(_, pages) => *self = Self::Copied(data, Temporary::new(pages)),
            other => *self = other,
        }
        Ok(())
    }

    /// Where the bytes are, to stay there.
    fn hold(&mut self) -> Result<Held> {
        if let Self::Lent(..) = self {
            let place = UniqueArc::new_uninit(GFP_KERNEL)?;
            if let Self::Lent(folios, _) = core::mem::replace(self, Self::Over) {
                *self = Self::Held(place.write(folios).into());
            }
        }
        if let Self::Held(folios) = self {
            return Ok(Held::Lent(folios.clone()));
        }
        self.copy()?;
        self.share().map(Held::Own).ok_or(EIO)
    }

    /// The copy, to be read.
    fn share(&mut self) -> Option<Arc<PageData>> {
        match core::mem::replace(self, Self::Over) {
            Self::Copied(data, pages) => {
                let data: Arc<PageData> = data.into();
                *self = Self::Shared(data.clone(), pages);
                Some(data)
            }
            Self::Shared(data, pages) => {
                *self = Self::Shared(data.clone(), pages);
                Some(data)
            }
            other => {
                *self = other;
                None
            }
        }
    }

    /// The server has read the bytes.
    fn taken(&mut self) {
        match core::mem::replace(self, Self::Over) {
            Self::Lent(folios, inode) => {
                let pages = WritebackPages::count(inode, folios.len());
                *self = Self::Taken(folios.written(), pages);
            }
            other => *self = other,
        }
    }
}

/// The bytes of a WRITE of dirty pages.
#[pin_data]
pub(super) struct Content {
    /// How many they are.
    len: Atomic<usize>,
    /// Held while the bytes are copied, but never while somebody outside the kernel is waited for.
    #[pin]
    state: Mutex<State>,
}

impl Content {
    fn new(len: usize, state: State) -> impl PinInit<Self> {
        pin_init!(Self {
            len: Atomic::new(len),
            state <- new_mutex!(state, "fuse_rs::Content::state"),
        })
    }

    /// It is in mm's pages.
    pub(super) fn lent(folios: LentFolios, inode: ARef<Inode>) -> impl PinInit<Self> {
        Self::new(folios.len(), State::Lent(folios, inode))
    }

    /// It is in a copy of mm's pages, which still count as dirty or being written back.
    pub(super) fn copied(data: UniqueArc<PageData>, inode: ARef<Inode>) -> impl PinInit<Self> {
        let len = data.len();
        let pages = WritebackPages::count(inode, len);
        Self::new(len, State::Copied(data, Temporary::new(pages)))
    }

    /// Bytes.
    pub(super) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Drops what comes behind the first `len` bytes. Nobody has read any yet.
    pub(super) fn truncate(&self, len: usize) {
        if len >= self.len() {
            return;
        }
        self.len.store(len, Relaxed);
        match &mut *self.state.lock() {
            State::Lent(folios, _) => folios.truncate(len),
            State::Copied(data, _) => data.truncate(len),
            State::Held(..) | State::Taken(..) | State::Shared(..) | State::Over => {}
        }
    }

    /// Gives mm its pages back.
    ///
    /// # Errors
    ///
    /// `ENOMEM`: everything is as it was.
    pub(super) fn give_back(&self) -> Result {
        self.state.lock().copy()
    }

    /// Where the bytes are, to stay there as long as the value exists.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EIO` when it is over.
    pub(super) fn hold(&self) -> Result<Held> {
        self.state.lock().hold()
    }

    /// It is not needed any more.
    pub(super) fn end(&self) {
        let old = core::mem::replace(&mut *self.state.lock(), State::Over);
        drop(old);
    }

    /// Copies everything to `dest`.
    ///
    /// # Errors
    ///
    /// As [`MessageSink::put`]; `EIO` when it is over.
    pub(super) fn copy_to(&self, dest: &mut dyn MessageSink) -> Result {
        if self.lend_to(dest) {
            return Ok(());
        }
        // Most likely the server has not used the memory yet.
        dest.prepare(self.len())?;
        if self.lend_to(dest) {
            return Ok(());
        }
        let data = {
            let mut state = self.state.lock();
            state.copy()?;
            state.share().ok_or(EIO)?
        };
        data.copy_to(dest)
    }

    /// Copies everything to `dest` from mm's pages; `false` if that is not to be had without
    /// sleeping, or they are not mm's.
    fn lend_to(&self, dest: &mut dyn MessageSink) -> bool {
        let mut state = self.state.lock();
        let parts: &FolioParts = match &*state {
            State::Lent(folios, _) => folios,
            State::Taken(parts, _) => parts,
            State::Held(folios) => folios,
            State::Copied(..) | State::Shared(..) | State::Over => return false,
        };
        let put = dest.put_folios(parts);
        if put {
            state.taken();
        }
        put
    }
}
