// SPDX-License-Identifier: GPL-2.0

//! What of a file the server shows in the window, and asking it to show more.

use super::reclaim;
use super::window::Window;
use crate::connection::call::Envelope;
use crate::connection::post::Post;
use crate::connection::post::Urgency;
use crate::connection::reply::Reply;
use crate::connection::request::Completion;
use crate::connection::Connection;
use crate::filesystem::inode;
use crate::filesystem::late::KeptInode;
use crate::filesystem::Inode;
use crate::page_cache::over::Over;
use crate::prelude::*;
use core::ops::Deref;
use core::ops::DerefMut;
use fuse_pure::logic::dax_map::Entry;
use fuse_pure::logic::dax_map::FileMap;
use fuse_pure::logic::dax_map::Found;
use fuse_pure::logic::dax_window::Piece;
use fuse_pure::logic::dax_window::RangeId;
use fuse_pure::logic::interval_tree::Node;
use fuse_pure::op::dax::SetupMapping;
use kernel::sync::aref::ARef;
use kernel_glue::dax::Hold;

/// A place in the map of a file.
pub(crate) struct PieceNode(KBox<Node<Entry, PieceNode>>);

impl Deref for PieceNode {
    type Target = Node<Entry, Self>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for PieceNode {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// Which pieces of a file are shown where.
pub(crate) type Pieces = FileMap<PieceNode>;

/// A range that is used, and so not taken away.
pub(super) struct Used<'a> {
    window: &'a Window,
    range: RangeId,
}

impl<'a> Used<'a> {
    /// The map of the file, in which the range is, is locked.
    fn new(window: &'a Window, range: RangeId) -> Self {
        window.enter(range);
        Self { window, range }
    }

    pub(super) fn range(&self) -> RangeId {
        self.range
    }

    fn hold(&self) -> Hold {
        Hold(self.range.index() as u32)
    }

    /// To be left by [`Window::leave`].
    pub(super) fn into_hold(self) -> Hold {
        let hold = self.hold();
        core::mem::forget(self);
        hold
    }
}

impl Drop for Used<'_> {
    fn drop(&mut self) {
        self.window.leave(self.hold());
    }
}

/// Where a piece is shown such that it can be used, if it is.
pub(super) fn used<'a>(
    inode: &Inode,
    window: &'a Window,
    index: u64,
    write: bool,
) -> Option<Used<'a>> {
    look(inode, window, index, write).1
}

fn look<'a>(
    inode: &Inode,
    window: &'a Window,
    index: u64,
    write: bool,
) -> (Found, Option<Used<'a>>) {
    let pieces = inode.data().pieces.lock();
    let found = pieces.find(index, write);
    let used = match found {
        Found::Ready(range) => Some(Used::new(window, range)),
        _ => None,
    };
    (found, used)
}

/// Has a piece shown, unless it is. The piece lies in the file.
///
/// # Errors
///
/// `EINTR` when the caller is killed; `EIO` when the server does not show it; `ENOTCONN` when there is
/// none; `ENOMEM`.
pub(super) fn show<'a>(
    inode: &Inode,
    window: &'a Arc<Window>,
    index: u64,
    write: bool,
) -> Result<Used<'a>> {
    loop {
        let used = match look(inode, window, index, write) {
            (_, Some(used)) => Some(used),
            (Found::ReadOnly(range), _) => upgrade(inode, window, index, range)?,
            (Found::Missing, _) => set_up(inode, window, index, write)?,
            _ => {
                let is_answered = || {
                    let pieces = inode.data().pieces.lock();
                    pieces.find(index, write) != Found::Awaited
                };
                window.wait_for_answer(is_answered)?;
                None
            }
        };
        if let Some(used) = used {
            return Ok(used);
        }
    }
}

/// Has a piece shown that was missing; nothing if it is missing no longer.
fn set_up<'a>(
    inode: &Inode,
    window: &'a Arc<Window>,
    index: u64,
    write: bool,
) -> Result<Option<Used<'a>>> {
    let range = reclaim::take(inode, window)?;
    let place = KBox::new(Pieces::blank(range), GFP_KERNEL).map(PieceNode);
    let asked = place.map_err(Error::from).and_then(|place| {
        let asked = Asked::new(inode, window, index, range, write)?;
        Ok((place, asked))
    });
    let (place, asked) = asked.inspect_err(|_| window.give_back(range))?;
    let used = {
        let mut pieces = inode.data().pieces.lock();
        if pieces.find(index, write) == Found::Missing {
            pieces.ask(place, index, range);
            Some(Used::new(window, range))
        } else {
            None
        }
    };
    match used {
        Some(used) => asked.send(true).map(|()| Some(used)),
        None => {
            window.give_back(range);
            Ok(None)
        }
    }
}

/// Has a piece shown such that it can be written; nothing if it is not there any more, or somebody else
/// does it.
fn upgrade<'a>(
    inode: &Inode,
    window: &'a Arc<Window>,
    index: u64,
    range: RangeId,
) -> Result<Option<Used<'a>>> {
    let asked = Asked::new(inode, window, index, range, true)?;
    let used = {
        let mut pieces = inode.data().pieces.lock();
        let same = pieces.find(index, true) == Found::ReadOnly(range);
        (same && pieces.upgrade(index)).then(|| Used::new(window, range))
    };
    match used {
        Some(used) => asked.send(false).map(|()| Some(used)),
        None => Ok(None),
    }
}

/// What is needed to ask the server to show a piece.
struct Asked {
    answer: KBox<Answer>,
    over: Arc<Over>,
    op: SetupMapping,
}

impl Asked {
    fn new(
        inode: &Inode,
        window: &Arc<Window>,
        index: u64,
        range: RangeId,
        write: bool,
    ) -> Result<Self> {
        let op = SetupMapping {
            index,
            range,
            write,
        };
        let over = Over::new()?;
        let answer = Answer {
            inode: inode.into(),
            window: window.clone(),
            op,
            awaited: None,
            over: over.clone(),
        };
        Ok(Self {
            answer: KBox::new(answer, GFP_KERNEL)?,
            over,
            op,
        })
    }

    /// Asks, and waits for the answer. `fresh` is whether the piece was missing.
    fn send(mut self, fresh: bool) -> Result {
        self.answer.awaited = Some(fresh);
        let inode: ARef<Inode> = (&*self.answer.inode).into();
        let node = inode::node(&inode)?;
        inode::connection(&inode).post(
            &self.op,
            Envelope::by_kernel(node),
            Post::new(Urgency::Foreground, self.answer),
        )?;
        self.over.wait()?;
        self.over.outcome()
    }
}

/// Takes the server's answer in, also when nobody waits for it any more. It keeps the inode, and so the
/// map.
struct Answer {
    inode: KeptInode,
    window: Arc<Window>,
    op: SetupMapping,
    /// The map waits for it, and whether the piece was missing there.
    awaited: Option<bool>,
    over: Arc<Over>,
}

impl Answer {
    fn tell(&mut self, shown: bool) {
        let Some(fresh) = self.awaited.take() else {
            return;
        };
        let SetupMapping {
            index,
            range,
            write,
        } = self.op;
        let data = self.inode.data();
        if fresh && shown {
            let piece = Piece {
                inode: data.key(),
                index,
            };
            self.window.map(range, piece);
        }
        let place = data.pieces.lock().answered(index, shown, write);
        drop(place);
        if fresh && !shown {
            self.window.give_back(range);
        }
        self.over.set();
        self.window.answered();
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.tell(false);
    }
}

impl Completion for Answer {
    fn complete(&mut self, connection: &Arc<Connection>, answer: Result<Reply>) {
        if let Err(error) = &answer {
            let error = if connection.has_ended() { *error } else { EIO };
            self.over.fail(error);
        }
        self.tell(answer.is_ok());
    }
}
