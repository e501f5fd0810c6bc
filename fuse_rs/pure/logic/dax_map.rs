// SPDX-License-Identifier: GPL-2.0

//! Which pieces of one file are shown in which ranges of the DAX window.
//!
//! A piece is entered before the server is asked to show it, so that it is asked once however many
//! want to see the piece. The caller keeps a map under one lock, under which nobody waits.

use super::dax_window::RangeId;
use super::interval_tree::Node;
use super::interval_tree::Tree;
use core::ops::DerefMut;

/// What the server has been asked, and has answered, about a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To show it; not answered.
    Asked,
    /// It is shown, and can be read.
    Readable,
    /// It is shown, and is to be shown such that it can be written, too; not answered.
    Upgrading,
    /// It is shown, and can be read and written.
    Writable,
}

/// Where a piece of a file is shown.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    range: RangeId,
    state: State,
}

/// What a look for a piece finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is shown here, and can be used.
    Ready(RangeId),
    /// It is shown here, but cannot be written: see [`FileMap::upgrade`].
    ReadOnly(RangeId),
    /// Somebody waits for the server's answer: look again when there is one.
    Awaited,
    /// It is not shown: see [`FileMap::ask`].
    Missing,
}

/// Of one file. `P` is a box that owns a node of the tree.
#[derive(Debug)]
pub struct FileMap<P>
where
    P: DerefMut<Target = Node<Entry, P>>,
{
    pieces: Tree<Entry, P>,
}

impl<P> FileMap<P>
where
    P: DerefMut<Target = Node<Entry, P>>,
{
    /// Nothing is shown.
    pub const fn new() -> Self {
        Self {
            pieces: Tree::new(),
        }
    }

    /// Whether nothing is shown, nor will be.
    pub const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    fn node(index: u64, range: RangeId, state: State) -> Node<Entry, P> {
        Node::new(index..index.saturating_add(1), 0, Entry { range, state })
    }

    fn entry(&self, index: u64) -> Option<Entry> {
        let found = self.pieces.first_overlap(index..index.saturating_add(1));
        found.map(|(_, entry)| *entry)
    }

    /// Looks for a piece, to be written if `write` is set. Takes O(log n).
    pub fn find(&self, index: u64, write: bool) -> Found {
        match self.entry(index) {
            None => Found::Missing,
            Some(Entry { range, state }) => match state {
                State::Asked => Found::Awaited,
                State::Upgrading if write => Found::Awaited,
                State::Readable if write => Found::ReadOnly(range),
                State::Readable | State::Upgrading | State::Writable => Found::Ready(range),
            },
        }
    }

    /// What a node for [`FileMap::ask`] is before it is one: its value means nothing.
    pub fn blank(range: RangeId) -> Node<Entry, P> {
        Self::node(0, range, State::Asked)
    }

    /// The server is asked to show a piece, which was missing, in a range. [`FileMap::answered`] is
    /// due. Takes O(log n).
    pub fn ask(&mut self, mut place: P, index: u64, range: RangeId) {
        *place = Self::node(index, range, State::Asked);
        self.pieces.insert(place);
    }

    /// The server is asked to show a piece that can only be read in the same range, to be written,
    /// too. Whether there is such a piece; then [`FileMap::answered`] is due.
    pub fn upgrade(&mut self, index: u64) -> bool {
        let readable = self
            .entry(index)
            .is_some_and(|entry| entry.state == State::Readable);
        if readable {
            self.set(index, State::Upgrading);
        }
        readable
    }

    fn set(&mut self, index: u64, state: State) {
        if let Some(mut place) = self.pieces.remove(index, 0) {
            let range = place.value().range;
            *place = Self::node(index, range, state);
            self.pieces.insert(place);
        }
    }

    /// The server has answered: it shows the piece, to be written if `write` is set, or not. If it is
    /// missing again, its node is returned.
    ///
    /// Without a mapping that can be written, one that can be read stays.
    pub fn answered(&mut self, index: u64, shown: bool, write: bool) -> Option<P> {
        match self.entry(index)?.state {
            State::Asked if !shown => return self.pieces.remove(index, 0),
            State::Asked if !write => self.set(index, State::Readable),
            State::Upgrading if !shown => self.set(index, State::Readable),
            State::Asked | State::Upgrading => self.set(index, State::Writable),
            State::Readable | State::Writable => {}
        }
        None
    }

    /// Takes a piece out, if it is shown in this range and the server is not asked about it.
    pub fn remove(&mut self, index: u64, range: RangeId) -> Option<P> {
        let entry = self.entry(index)?;
        let settled = matches!(entry.state, State::Readable | State::Writable);
        if settled && entry.range == range {
            self.pieces.remove(index, 0)
        } else {
            None
        }
    }

    /// Takes a piece out, the first of those that are left, for a file that nobody uses any more.
    pub fn take_first(&mut self) -> Option<(RangeId, P)> {
        let place = self.pieces.take_first()?;
        Some((place.value().range, place))
    }
}

impl<P> Default for FileMap<P>
where
    P: DerefMut<Target = Node<Entry, P>>,
{
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ops::Deref;
    extern crate std;
    use std::boxed::Box;

    #[derive(Debug)]
    struct Place(Box<Node<Entry, Place>>);

    impl Deref for Place {
        type Target = Node<Entry, Self>;
        fn deref(&self) -> &Self::Target {
            &self.0
        }
    }

    impl DerefMut for Place {
        fn deref_mut(&mut self) -> &mut Self::Target {
            &mut self.0
        }
    }

    fn range(index: usize) -> RangeId {
        RangeId::from_index(index).unwrap()
    }

    fn place() -> Place {
        Place(Box::new(FileMap::blank(range(0))))
    }

    #[test]
    fn the_server_is_asked_once() {
        let mut map = FileMap::new();
        assert_eq!(map.find(5, false), Found::Missing);
        map.ask(place(), 5, range(3));
        assert_eq!(map.find(5, false), Found::Awaited);
        assert_eq!(map.find(5, true), Found::Awaited);
        assert_eq!(map.find(4, false), Found::Missing);
        assert_eq!(map.find(6, false), Found::Missing);
        assert!(map.answered(5, true, false).is_none());
        assert_eq!(map.find(5, false), Found::Ready(range(3)));
        assert_eq!(map.find(5, true), Found::ReadOnly(range(3)));
    }

    #[test]
    fn what_is_not_shown_is_missing() {
        let mut map = FileMap::new();
        map.ask(place(), 5, range(3));
        assert!(map.answered(5, false, true).is_some());
        assert_eq!(map.find(5, false), Found::Missing);
        assert!(map.is_empty());
        assert!(map.answered(5, true, true).is_none());
    }

    #[test]
    fn a_piece_is_read_while_it_is_upgraded() {
        let mut map = FileMap::new();
        map.ask(place(), 0, range(1));
        assert!(!map.upgrade(0));
        map.answered(0, true, false);
        assert!(map.upgrade(0));
        assert!(!map.upgrade(0));
        assert_eq!(map.find(0, false), Found::Ready(range(1)));
        assert_eq!(map.find(0, true), Found::Awaited);
        assert!(map.remove(0, range(1)).is_none());
        assert!(map.answered(0, false, true).is_none());
        assert_eq!(map.find(0, true), Found::ReadOnly(range(1)));
        assert!(map.upgrade(0));
        map.answered(0, true, true);
        assert_eq!(map.find(0, true), Found::Ready(range(1)));
        assert!(!map.upgrade(0));
    }

    #[test]
    fn only_what_is_known_is_removed() {
        let mut map = FileMap::new();
        map.ask(place(), 7, range(1));
        assert!(map.remove(7, range(1)).is_none(), "not answered");
        map.answered(7, true, true);
        assert!(map.remove(7, range(2)).is_none(), "another range");
        assert!(map.remove(8, range(1)).is_none());
        assert!(map.remove(7, range(1)).is_some());
        assert!(map.is_empty());
    }

    #[test]
    fn in_the_end_all_is_taken() {
        let mut map = FileMap::new();
        for index in 0..4 {
            map.ask(place(), index, range(index as usize));
        }
        for index in 0..4 {
            assert_eq!(map.take_first().map(|(id, _)| id), Some(range(index)));
        }
        assert!(map.take_first().is_none());
    }
}
