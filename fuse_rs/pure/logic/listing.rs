// SPDX-License-Identifier: GPL-2.0

//! The cached listing of a directory: how much of it there is, who adds to it, and how long it is
//! believed.
//!
//! Entries lie one behind the other in pages, as they do on the wire. None crosses the end of a
//! page, and what is left of a page is zero. A listing that starts anew gets pages that no listing
//! before it had, so that an offset also says which listing it is of.

use super::dirents::Entry;
use crate::abi::attr::Dirent;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Reader;
use crate::abi::cursor::Writer;
use crate::op::entry::Time;

/// Listings start at multiples of this, which is a multiple of every size pages have.
const APART: u64 = 1 << 18;

/// What a directory looked like at some moment. A listing is believed as long as it looks the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Time of last modification.
    pub mtime: Time,
    /// How many changes have been heard of.
    pub changes: u64,
}

/// The right to add to a listing: the offset of its first entry, which is never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill(pub u64);

/// Where a listing goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Offset in bytes.
    pub at: u64,
    /// Position in the directory.
    pub position: u64,
}

/// Where the entries of a whole listing lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first entry.
    pub start: u64,
    /// Offset behind the last entry.
    pub end: u64,
}

/// How a reader who starts at the first entry goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The listing is there.
    Cached,
    /// There is none yet: the reader may fill it.
    Fill(Fill),
    /// Somebody else fills it.
    Uncached,
}

/// The listing of one directory.
#[derive(Clone, Copy, Debug)]
pub struct Listing {
    start: u64,
    tail: Tail,
    /// None if there is no listing.
    stamp: Option<Stamp>,
    complete: bool,
}

impl Listing {
    /// No listing.
    pub const fn new() -> Self {
        Self {
            start: APART,
            tail: Tail {
                at: APART,
                position: 0,
            },
            stamp: None,
            complete: false,
        }
    }

    /// Forgets the listing. Pages with lower offsets than this returns are of no use.
    pub fn clear(&mut self) -> u64 {
        if self.stamp.take().is_some() {
            self.start = (self.tail.at / APART)
                .saturating_add(1)
                .saturating_mul(APART);
            self.tail = Tail {
                at: self.start,
                position: 0,
            };
            self.complete = false;
        }
        self.start
    }

    /// Somebody starts at the first entry of the directory, which looks like `now`. `own` is what
    /// that reader was filling, if anything.
    pub fn begin(&mut self, now: Stamp, own: Option<Fill>) -> Start {
        if self.stamp == Some(now) {
            if self.complete {
                return Start::Cached;
            }
            if own != Some(Fill(self.start)) {
                return Start::Uncached;
            }
        }
        self.clear();
        if self.start > i64::MAX as u64 / 2 {
            // No page has been used twice so far, and none is to be.
            return Start::Uncached;
        }
        self.stamp = Some(now);
        Start::Fill(Fill(self.start))
    }

    fn is_filled_by(&self, fill: Fill) -> bool {
        self.stamp.is_some() && !self.complete && self.start == fill.0
    }

    /// Where whoever fills the listing goes on; none if it is not the one that is being filled.
    pub fn tail(&self, fill: Fill) -> Option<Tail> {
        self.is_filled_by(fill).then_some(self.tail)
    }

    /// Entries have been added between two tails. `false` if the listing has changed meanwhile.
    #[must_use]
    pub fn extend(&mut self, fill: Fill, from: Tail, to: Tail) -> bool {
        let fits = self.tail(fill) == Some(from) && to.at >= from.at;
        if fits {
            self.tail = to;
        }
        fits
    }

    /// The directory ends at `position`.
    pub fn finish(&mut self, fill: Fill, position: u64) {
        if self.is_filled_by(fill) && self.tail.position == position {
            self.complete = true;
        }
    }

    /// Whoever fills the listing gives up. Returns as [`Self::clear`] if that means anything.
    pub fn abandon(&mut self, fill: Fill) -> Option<u64> {
        self.is_filled_by(fill).then(|| self.clear())
    }

    /// The pages of the listing at `start` are not all there any more. Returns as [`Self::clear`].
    pub fn lose(&mut self, start: u64) -> Option<u64> {
        (self.start == start).then(|| self.clear())
    }

    /// The whole listing, if there is one.
    pub fn whole(&self) -> Option<Span> {
        (self.stamp.is_some() && self.complete).then_some(Span {
            start: self.start,
            end: self.tail.at,
        })
    }
}

impl Default for Listing {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes an entry at `offset` of a page, which is zero from there on; returns the offset behind
/// it.
///
/// # Errors
///
/// The page has no room for it.
pub fn put(page: &mut [u8], offset: usize, entry: &Entry<'_>) -> Result<usize, Overflow> {
    let room = page.get_mut(offset..).ok_or(Overflow)?;
    let len = entry.wire_len();
    let mut w = Writer::new(room.get_mut(..len).ok_or(Overflow)?);
    w.put(&Dirent {
        ino: entry.ino,
        off: entry.next,
        namelen: u32::try_from(entry.name.len()).map_err(|_| Overflow)?,
        kind: entry.kind,
    })?;
    w.bytes(entry.name)?;
    Ok(offset.saturating_add(len))
}

/// The entry with which `bytes` start, as [`put`] has written it, and what comes behind it; none if
/// there is none. Names have been checked before they were put here, and nobody else writes here.
#[inline]
fn stored(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let mut reader = Reader::new(bytes);
    let head = reader.take::<Dirent>().ok()?;
    let name = reader.bytes(head.namelen as usize).ok()?;
    let entry = Entry {
        name,
        ino: head.ino,
        next: head.off,
        kind: head.kind,
    };
    let rest = bytes.get(entry.wire_len()..).unwrap_or(&[]);
    (!name.is_empty()).then_some((entry, rest))
}

/// A way through a whole listing to the entries from a position on.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    span: Span,
    at: u64,
    /// The position of the entry at `at`; not known where the walk starts at a hint.
    here: Option<u64>,
    /// The position of what is to be listed next.
    wanted: u64,
    /// Offset of the entry that was listed last.
    listed: u64,
}

impl Walk {
    /// Through `span`, to the entry at position `wanted`. `hint` is the offset of the entry that was
    /// listed last, in this or in another listing, or zero.
    pub fn new(span: Span, hint: u64, wanted: u64) -> Self {
        let mut walk = Self {
            span,
            at: hint,
            here: None,
            wanted,
            listed: hint,
        };
        if !(span.start..span.end).contains(&hint) {
            walk.restart();
        }
        walk
    }

    fn restart(&mut self) {
        self.at = self.span.start;
        self.here = Some(0);
    }

    /// The offset of what comes next; none at the end.
    pub fn at(&self) -> Option<u64> {
        (self.at < self.span.end).then_some(self.at)
    }

    /// The offset of the entry that was listed last, for the next walk.
    pub fn hint(&self) -> u64 {
        self.listed
    }

    /// Whether everything has been listed.
    pub fn is_at_the_end(&self) -> bool {
        self.at().is_none() && self.here == Some(self.wanted)
    }

    /// Lists what is left of `page`, which is the one the walk is at, by `list`. Ends early if that
    /// returns `false`: there is no room for the entry.
    #[inline]
    pub fn list_page<'p>(
        &mut self,
        page: &'p [u8],
        mut list: impl FnMut(&Entry<'p>) -> bool,
    ) -> bool {
        let size = page.len().max(1) as u64;
        let offset = self.at % size;
        let end = self.at.saturating_add(size - offset);
        let mut rest = page.get(offset as usize..).unwrap_or(&[]);
        while self.at < self.span.end {
            let Some((entry, behind)) = stored(rest) else {
                // The rest of the page is empty.
                self.at = end;
                break;
            };
            match self.here {
                Some(here) if here == self.wanted => {
                    if !list(&entry) {
                        return false;
                    }
                    self.listed = self.at;
                    self.wanted = entry.next;
                }
                None if entry.next != self.wanted => {
                    self.restart();
                    break;
                }
                _ => {}
            }
            self.at = self.at.saturating_add(entry.wire_len() as u64);
            self.here = Some(entry.next);
            rest = behind;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;

    fn stamp(changes: u64) -> Stamp {
        Stamp {
            mtime: Time { sec: 1, nsec: 2 },
            changes,
        }
    }

    fn fill(listing: &mut Listing, changes: u64) -> Fill {
        match listing.begin(stamp(changes), None) {
            Start::Fill(fill) => fill,
            other => panic!("{other:?}"),
        }
    }

    fn grow(listing: &mut Listing, fill: Fill, bytes: u64, position: u64) {
        let from = listing.tail(fill).unwrap();
        let to = Tail {
            at: from.at + bytes,
            position,
        };
        assert!(listing.extend(fill, from, to));
    }

    #[test]
    fn a_listing_is_there_when_it_is_complete_and_the_directory_is_the_same() {
        let mut listing = Listing::new();
        let one = fill(&mut listing, 0);
        grow(&mut listing, one, 100, 7);
        assert_eq!(listing.whole(), None);
        listing.finish(one, 7);
        assert_eq!(listing.begin(stamp(0), None), Start::Cached);
        let span = listing.whole().unwrap();
        assert_eq!(span.end - span.start, 100);
        let two = fill(&mut listing, 1);
        assert!(two.0 >= span.end && two.0 % APART == 0);
        assert_eq!(listing.whole(), None);
    }

    #[test]
    fn another_mtime_is_another_directory() {
        let mut listing = Listing::new();
        let one = fill(&mut listing, 0);
        listing.finish(one, 0);
        let touched = Stamp {
            mtime: Time { sec: 1, nsec: 3 },
            changes: 0,
        };
        assert!(matches!(listing.begin(touched, None), Start::Fill(_)));
    }

    #[test]
    fn one_reader_fills_at_a_time() {
        let mut listing = Listing::new();
        let one = fill(&mut listing, 0);
        assert_eq!(listing.begin(stamp(0), None), Start::Uncached);
        grow(&mut listing, one, 10, 3);
        // The one who fills may start again.
        let Start::Fill(again) = listing.begin(stamp(0), Some(one)) else {
            panic!();
        };
        assert_ne!(again, one);
        assert_eq!(listing.tail(one), None);
        assert_eq!(listing.abandon(one), None);
        assert!(listing.abandon(again).is_some());
        fill(&mut listing, 0);
    }

    #[test]
    fn who_fills_an_old_listing_adds_nothing_to_the_new_one() {
        let mut listing = Listing::new();
        let one = fill(&mut listing, 0);
        let from = listing.tail(one).unwrap();
        let two = fill(&mut listing, 1);
        let to = Tail {
            at: from.at + 10,
            position: 1,
        };
        assert!(!listing.extend(one, from, to));
        listing.finish(one, 0);
        assert_eq!(listing.whole(), None);
        assert!(listing.tail(two).is_some());
    }

    #[test]
    fn a_listing_with_a_gap_does_not_become_complete() {
        let mut listing = Listing::new();
        let one = fill(&mut listing, 0);
        grow(&mut listing, one, 10, 3);
        listing.finish(one, 4);
        assert_eq!(listing.whole(), None);
    }

    #[test]
    fn nothing_is_cached_when_offsets_run_out() {
        let mut listing = Listing::new();
        let one = fill(&mut listing, 0);
        grow(&mut listing, one, i64::MAX as u64, 1);
        assert_eq!(listing.begin(stamp(1), None), Start::Uncached);
        assert_eq!(listing.begin(stamp(1), None), Start::Uncached);
        assert_eq!(listing.whole(), None);
    }

    const PAGE: usize = 256;

    fn entry(name: &[u8], next: u64) -> Entry<'_> {
        Entry {
            name,
            ino: next,
            next,
            kind: 4,
        }
    }

    /// Pages with these entries from offset `start` on, and where they end.
    fn pages(start: u64, entries: &[Entry<'_>]) -> (std::vec::Vec<[u8; PAGE]>, Span) {
        let mut pages = std::vec![[0u8; PAGE]];
        let mut offset = 0;
        for entry in entries {
            offset = match put(pages.last_mut().unwrap(), offset, entry) {
                Ok(end) => end,
                Err(Overflow) => {
                    pages.push([0; PAGE]);
                    put(pages.last_mut().unwrap(), 0, entry).unwrap()
                }
            };
        }
        let end = start + ((pages.len() - 1) * PAGE + offset) as u64;
        (pages, Span { start, end })
    }

    /// The inode numbers listed from `position` on, the hint of the last one, and whether that is
    /// where the directory ends.
    fn list(
        pages: &[[u8; PAGE]],
        span: Span,
        hint: u64,
        position: u64,
        most: usize,
    ) -> (std::vec::Vec<u64>, u64, bool) {
        let mut listed = std::vec::Vec::new();
        let mut walk = Walk::new(span, hint, position);
        while let Some(at) = walk.at() {
            let page = &pages[((at - span.start) as usize) / PAGE];
            let has_room = walk.list_page(page, |entry| {
                let has_room = listed.len() < most;
                if has_room {
                    listed.push(entry.ino);
                }
                has_room
            });
            if !has_room {
                break;
            }
        }
        (listed, walk.hint(), walk.is_at_the_end())
    }

    #[test]
    fn a_walk_goes_on_where_the_last_one_ended() {
        let names: std::vec::Vec<_> = (0..100)
            .map(|i| std::format!("name{}", i * i * i))
            .collect();
        let entries: std::vec::Vec<_> = names
            .iter()
            .enumerate()
            .map(|(i, name)| entry(name.as_bytes(), 10 * i as u64 + 5))
            .collect();
        let all: std::vec::Vec<_> = entries.iter().map(|entry| entry.ino).collect();
        let (pages, span) = pages(512, &entries);
        assert_eq!(
            list(&pages, span, 0, 0, 1000),
            (all.clone(), span.end - 40, true)
        );
        for most in [1, 3, 7, 50] {
            let (mut got, mut hint, mut position) = (std::vec::Vec::new(), 0, 0);
            loop {
                let (some, last, end) = list(&pages, span, hint, position, most);
                got.extend_from_slice(&some);
                (hint, position) = (last, some.last().copied().unwrap_or(position));
                if end {
                    break;
                }
            }
            assert_eq!(got, all);
        }
        // Wrong hints cost time only, as long as they are of entries or of other listings.
        for hint in [0, 17, span.start, span.end, u64::MAX] {
            assert_eq!(list(&pages, span, hint, 505, 2).0, [515, 525], "{hint}");
        }
        let nowhere = list(&pages, span, 0, 6, 2);
        assert_eq!((nowhere.0.len(), nowhere.2), (0, false));
    }

    #[test]
    fn an_entry_that_does_not_fit_a_page_is_not_put() {
        let mut page = [0u8; PAGE];
        assert_eq!(put(&mut page, 0, &entry(&[b'x'; PAGE - 24], 1)), Ok(PAGE));
        assert_eq!(
            put(&mut page, 0, &entry(&[b'x'; PAGE - 23], 1)),
            Err(Overflow)
        );
        assert_eq!(put(&mut page, PAGE - 24, &entry(b"x", 1)), Err(Overflow));
        assert_eq!(put(&mut page, PAGE + 8, &entry(b"x", 1)), Err(Overflow));
    }
}
