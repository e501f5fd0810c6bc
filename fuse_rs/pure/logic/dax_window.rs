// SPDX-License-Identifier: GPL-2.0

//! The DAX window of a mount: which of its ranges are free, which show what, and which is to be taken
//! back when another is needed.
//!
//! A window is the memory of a device in which the server shows pieces of files. It is handed out in
//! ranges of one size:
//!
//! ```text
//!          take             map              choose
//!   Free ────────► Held ──────────► Mapped ◄────────► Reclaiming
//!     ▲             │ ▲               │       spare       │
//!     └─────────────┘ └───────────────┴───────────────────┘
//!        give_back                  unmap
//! ```
//!
//! A range is held by who asks the server to show something in it, or no longer to. Which piece of
//! which file a range shows is also known to the file ([`super::dax_map`]); who reclaims asks there,
//! so what is said here of a range may be out of date.
//!
//! What is taken back is found by the clock algorithm: a hand goes round, and a range that was used
//! since it came by last is passed over once.

use core::ops::DerefMut;

/// Bytes of a range, and of the piece of a file that is shown in it: what a huge page has.
pub const RANGE: u64 = 1 << RANGE_SHIFT;
/// Binary logarithm of [`RANGE`].
pub const RANGE_SHIFT: u32 = 21;
/// Most ranges of a window: 8 TiB.
pub const MAX_RANGES: usize = 1 << 22;
/// Most ranges that are reclaimed at a time.
pub const BATCH: usize = 16;
/// Of so many ranges one is to be free.
const RESERVE: u32 = 10;
/// How far behind the first range others are looked for that can go with it.
const NEIGHBOURHOOD: u32 = 64;

/// Number of a range in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RangeId(u32);

impl RangeId {
    /// The number as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The range with this number, if there can be one.
    pub const fn from_index(index: usize) -> Option<Self> {
        if index < MAX_RANGES {
            Some(Self(index as u32))
        } else {
            None
        }
    }

    /// Where the range starts in the window, in bytes.
    pub const fn offset(self) -> u64 {
        (self.0 as u64) << RANGE_SHIFT
    }
}

/// A piece of a file, of the size of a range and aligned to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What the inode is found by.
    pub inode: u64,
    /// Number of the piece in the file.
    pub index: u64,
}

/// What is known of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Shows nothing. With the next one that does so.
    Free(Option<RangeId>),
    /// With somebody who maps or unmaps it.
    Held,
    /// Shows a piece of a file.
    Mapped(Piece),
    /// Shows a piece of a file, and somebody tries to take it back.
    Reclaiming(Piece),
}

/// How a range is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// At this moment.
    Busy,
    /// Since that was asked last.
    Recent,
    /// Neither.
    Idle,
}

/// Ranges that show pieces of one file and are to be reclaimed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    inode: u64,
    chosen: [(RangeId, u64); BATCH],
    len: usize,
}

impl Batch {
    const fn new(inode: u64) -> Self {
        Self {
            inode,
            chosen: [(RangeId(0), 0); BATCH],
            len: 0,
        }
    }

    fn push(&mut self, range: RangeId, index: u64) {
        if let Some(place) = self.chosen.get_mut(self.len) {
            *place = (range, index);
            self.len = self.len.saturating_add(1);
        }
    }

    fn is_full(&self) -> bool {
        self.len >= BATCH
    }

    /// What the inode is found by.
    pub const fn inode(&self) -> u64 {
        self.inode
    }

    /// The ranges, and which pieces of the file they show: one at least.
    pub fn ranges(&self) -> &[(RangeId, u64)] {
        self.chosen.get(..self.len).unwrap_or(&[])
    }
}

/// A few ranges.
#[derive(Clone, Debug)]
pub struct Ranges {
    ids: [RangeId; BATCH],
    len: usize,
}

impl Ranges {
    /// None.
    pub const fn new() -> Self {
        Self {
            ids: [RangeId(0); BATCH],
            len: 0,
        }
    }

    /// Adds one, if there are fewer than [`BATCH`].
    pub fn push(&mut self, range: RangeId) {
        if let Some(place) = self.ids.get_mut(self.len) {
            *place = range;
            self.len = self.len.saturating_add(1);
        }
    }

    /// Whether there are [`BATCH`].
    pub const fn is_full(&self) -> bool {
        self.len >= BATCH
    }

    /// All of them.
    pub fn as_slice(&self) -> &[RangeId] {
        self.ids.get(..self.len).unwrap_or(&[])
    }
}

impl Default for Ranges {
    fn default() -> Self {
        Self::new()
    }
}

/// The ranges of a window. `S` is a box with one [`Range`] each.
#[derive(Debug)]
pub struct Window<S> {
    ranges: S,
    first_free: Option<RangeId>,
    free: u32,
    /// Where the hand of the clock is.
    hand: u32,
}

impl<S: DerefMut<Target = [Range]>> Window<S> {
    /// A window of as many ranges as `ranges` has, of [`MAX_RANGES`] at most, all free.
    pub fn new(mut ranges: S) -> Self {
        let mut first_free = None;
        let mut free = 0u32;
        let len = ranges.len().min(MAX_RANGES);
        for index in (0..len).rev() {
            if let (Some(range), Some(id)) = (ranges.get_mut(index), RangeId::from_index(index)) {
                *range = Range::Free(first_free);
                first_free = Some(id);
                free = free.saturating_add(1);
            }
        }
        Self {
            ranges,
            first_free,
            free,
            hand: 0,
        }
    }

    fn len(&self) -> u32 {
        self.ranges.len().min(MAX_RANGES) as u32
    }

    /// How many ranges are free.
    pub const fn free(&self) -> u32 {
        self.free
    }

    /// How many are to be free at least; if there are fewer, some are reclaimed.
    fn reserve(&self) -> u32 {
        (self.len() / RESERVE).max(1)
    }

    /// Whether ranges should be reclaimed before somebody needs one.
    pub fn is_short(&self) -> bool {
        self.free < self.reserve()
    }

    /// How many are to be reclaimed if so many are on their way back and so many are waited for.
    pub fn missing(&self, returning: u32, wanted: u32) -> u32 {
        let enough = self.reserve().saturating_mul(2).max(wanted).min(self.len());
        enough.saturating_sub(self.free.saturating_add(returning))
    }

    /// What is known of a range.
    pub fn range(&self, id: RangeId) -> Option<Range> {
        self.ranges.get(id.index()).copied()
    }

    fn change(&mut self, id: RangeId, with: impl FnOnce(Range) -> Option<Range>) -> bool {
        match self.ranges.get_mut(id.index()) {
            Some(range) => match with(*range) {
                Some(changed) => {
                    *range = changed;
                    true
                }
                None => false,
            },
            None => false,
        }
    }

    /// A free range, which is held from now on.
    pub fn take(&mut self) -> Option<RangeId> {
        let id = self.first_free?;
        let Some(Range::Free(next)) = self.range(id) else {
            return None;
        };
        self.change(id, |_| Some(Range::Held));
        self.first_free = next;
        self.free = self.free.saturating_sub(1);
        Some(id)
    }

    /// A range that is held is free again. Whether it was held.
    pub fn give_back(&mut self, id: RangeId) -> bool {
        let next = self.first_free;
        let held = self.change(id, |range| {
            (range == Range::Held).then_some(Range::Free(next))
        });
        if held {
            self.first_free = Some(id);
            self.free = self.free.saturating_add(1);
        }
        held
    }

    /// A range that is held shows a piece. Whether it was held.
    pub fn map(&mut self, id: RangeId, piece: Piece) -> bool {
        self.change(id, |range| {
            (range == Range::Held).then_some(Range::Mapped(piece))
        })
    }

    /// A range that shows a piece is held from now on. Whether it did show one.
    pub fn unmap(&mut self, id: RangeId) -> bool {
        self.change(id, |range| match range {
            Range::Mapped(_) | Range::Reclaiming(_) => Some(Range::Held),
            Range::Free(_) | Range::Held => None,
        })
    }

    /// A range that was chosen stays as it is, and may be chosen again.
    pub fn spare(&mut self, id: RangeId) {
        self.change(id, |range| match range {
            Range::Reclaiming(piece) => Some(Range::Mapped(piece)),
            _ => None,
        });
    }

    fn step(&self, at: u32) -> u32 {
        let next = at.saturating_add(1);
        if next < self.len() {
            next
        } else {
            0
        }
    }

    /// Marks the range at the hand if it shows a piece (of this inode, if one is given) and is idle.
    fn choose_at(
        &mut self,
        at: u32,
        inode: Option<u64>,
        used: &mut impl FnMut(RangeId) -> Use,
    ) -> Option<(RangeId, Piece)> {
        let id = RangeId(at);
        let Some(Range::Mapped(piece)) = self.range(id) else {
            return None;
        };
        if inode.is_some_and(|inode| inode != piece.inode) || used(id) != Use::Idle {
            return None;
        }
        self.change(id, |_| Some(Range::Reclaiming(piece)));
        Some((id, piece))
    }

    /// Chooses ranges of one file to be reclaimed, up to `most`: the first that is idle when the hand
    /// comes by, and idle ones behind it. None if all are busy. Takes two turns of the hand at most.
    ///
    /// `used` tells how a range is used, and forgets that it was.
    pub fn choose(&mut self, most: u32, mut used: impl FnMut(RangeId) -> Use) -> Option<Batch> {
        let mut batch = None;
        for _ in 0..self.len().saturating_mul(2) {
            let at = self.hand;
            self.hand = self.step(at);
            if let Some((id, piece)) = self.choose_at(at, None, &mut used) {
                let mut new = Batch::new(piece.inode);
                new.push(id, piece.index);
                batch = Some(new);
                break;
            }
        }
        let mut batch = batch?;
        let mut at = self.hand;
        for _ in 0..self.len().saturating_sub(1).min(NEIGHBOURHOOD) {
            if batch.is_full() || batch.len >= most as usize {
                break;
            }
            if let Some((id, piece)) = self.choose_at(at, Some(batch.inode), &mut used) {
                batch.push(id, piece.index);
            }
            at = self.step(at);
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::boxed::Box;
    use std::vec;
    use std::vec::Vec;

    fn window(ranges: usize) -> Window<Box<[Range]>> {
        Window::new(vec![Range::Held; ranges].into_boxed_slice())
    }

    /// A window that is full with pieces 0, 1, … of these inodes.
    fn full(inodes: &[u64]) -> Window<Box<[Range]>> {
        let mut window = window(inodes.len());
        for (index, inode) in inodes.iter().enumerate() {
            let id = window.take().unwrap();
            let piece = Piece {
                inode: *inode,
                index: index as u64,
            };
            assert!(window.map(id, piece));
        }
        window
    }

    fn chosen(batch: &Batch) -> Vec<usize> {
        batch.ranges().iter().map(|(id, _)| id.index()).collect()
    }

    #[test]
    fn ranges_lie_side_by_side() {
        let mut window = window(3);
        let offsets: Vec<_> = core::iter::from_fn(|| window.take())
            .map(RangeId::offset)
            .collect();
        assert_eq!(offsets, [0, RANGE, 2 * RANGE]);
        assert_eq!(window.free(), 0);
    }

    #[test]
    fn a_window_without_ranges_has_none() {
        let mut window = window(0);
        assert_eq!(window.take(), None);
        assert_eq!(window.choose(99, |_| Use::Idle), None);
    }

    #[test]
    fn a_range_goes_round() {
        let mut window = window(1);
        let id = window.take().unwrap();
        let piece = Piece { inode: 7, index: 9 };
        assert!(!window.unmap(id));
        assert!(window.map(id, piece));
        assert!(!window.map(id, piece));
        assert!(!window.give_back(id), "it shows something");
        let batch = window.choose(99, |_| Use::Idle).unwrap();
        assert_eq!((batch.inode(), batch.ranges()), (7, &[(id, 9)][..]));
        assert_eq!(window.choose(99, |_| Use::Idle), None, "chosen once");
        window.spare(id);
        assert!(window.choose(99, |_| Use::Idle).is_some());
        assert!(window.unmap(id));
        window.spare(id);
        assert_eq!(window.range(id), Some(Range::Held), "out of date");
        assert!(window.give_back(id));
        assert!(!window.give_back(id));
        assert_eq!(window.free(), 1);
    }

    #[test]
    fn busy_ranges_are_never_chosen() {
        let mut window = full(&[1, 1, 1, 1]);
        assert_eq!(window.choose(99, |_| Use::Busy), None);
        let batch = window.choose(99, |id| {
            if id.index() == 2 {
                Use::Idle
            } else {
                Use::Busy
            }
        });
        assert_eq!(chosen(&batch.unwrap()), [2]);
    }

    #[test]
    fn what_was_used_is_passed_over_once() {
        let mut window = full(&[1, 2, 3, 4]);
        let mut recent = [true, true, false, true];
        let mut used = |id: RangeId| {
            if core::mem::take(&mut recent[id.index()]) {
                Use::Recent
            } else {
                Use::Idle
            }
        };
        let mut order = Vec::new();
        while let Some(batch) = window.choose(99, &mut used) {
            order.extend(chosen(&batch));
        }
        assert_eq!(order, [2, 0, 1, 3]);
    }

    #[test]
    fn all_recent_is_still_found() {
        let mut window = full(&[1, 2]);
        let mut recent = [true, true];
        let batch = window.choose(99, |id| {
            if core::mem::take(&mut recent[id.index()]) {
                Use::Recent
            } else {
                Use::Idle
            }
        });
        assert_eq!(chosen(&batch.unwrap()), [0]);
    }

    #[test]
    fn a_batch_is_of_one_file() {
        let mut window = full(&[1, 2, 1, 2, 1]);
        assert_eq!(
            chosen(&window.choose(99, |_| Use::Idle).unwrap()),
            [0, 2, 4]
        );
        assert_eq!(chosen(&window.choose(99, |_| Use::Idle).unwrap()), [1, 3]);
        assert_eq!(window.choose(99, |_| Use::Idle), None);
    }

    #[test]
    fn a_batch_is_bounded() {
        let mut window = full(&[1; 3 * BATCH]);
        for _ in 0..3 {
            assert_eq!(
                window.choose(99, |_| Use::Idle).unwrap().ranges().len(),
                BATCH
            );
        }
        assert_eq!(window.choose(99, |_| Use::Idle), None);
    }

    #[test]
    fn no_more_are_chosen_than_are_needed() {
        let mut window = full(&[1; 8]);
        assert_eq!(chosen(&window.choose(2, |_| Use::Idle).unwrap()), [0, 1]);
        assert_eq!(chosen(&window.choose(0, |_| Use::Idle).unwrap()), [2]);
    }

    #[test]
    fn a_reserve_is_kept() {
        for (ranges, reserve) in [(1, 1), (8, 1), (20, 2), (512, 51)] {
            let mut window = window(ranges);
            assert_eq!(window.missing(0, 0), 0);
            while window.free() >= reserve {
                assert!(!window.is_short());
                window.take();
            }
            assert!(window.is_short());
            let enough = (2 * reserve).min(ranges as u32);
            assert_eq!(window.missing(0, 0), enough + 1 - reserve);
            assert_eq!(window.missing(enough, 0), 0);
            assert_eq!(window.missing(0, u32::MAX), ranges as u32 + 1 - reserve);
        }
    }
}
