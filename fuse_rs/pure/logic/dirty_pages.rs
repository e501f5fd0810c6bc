// SPDX-License-Identifier: GPL-2.0

//! Which pages of a folio are dirty.
//!
//! The kernel knows it of whole folios only. To write more than what was stored to would be to write
//! over what others have stored at the server in the pages beside.

use core::ops::Range;

/// Pages of a folio, as bits of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirtyPages(u64);

impl DirtyPages {
    /// Most pages that a folio may have.
    pub const MAX: u32 = u64::BITS;

    /// None.
    pub const NONE: Self = Self(0);

    /// All pages up to [`DirtyPages::MAX`].
    pub const ALL: Self = Self(u64::MAX);

    /// Those of a range, as far as it lies below [`DirtyPages::MAX`].
    pub fn from_range(range: Range<u32>) -> Self {
        Self(below(range.end) & !below(range.start))
    }

    /// The bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// From bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of them that a folio of `pages` pages has.
    #[must_use]
    #[inline]
    pub fn of_folio(self, pages: u32) -> Self {
        Self(self.0 & below(pages))
    }

    /// They, if they are all in a row.
    #[inline]
    pub fn only_run(self) -> Option<Range<u32>> {
        let mut rest = self;
        let run = rest.next_run()?;
        (rest == Self::NONE).then_some(run)
    }

    /// Takes out the first pages in a row.
    #[inline]
    pub fn next_run(&mut self) -> Option<Range<u32>> {
        if self.0 == 0 {
            return None;
        }
        let start = self.0.trailing_zeros();
        let len = self.0.checked_shr(start).unwrap_or(0).trailing_ones();
        let end = start.saturating_add(len);
        self.0 &= !below(end);
        Some(start..end)
    }
}

/// The bits of the first `pages` pages.
#[inline]
fn below(pages: u32) -> u64 {
    1u64.checked_shl(pages)
        .map_or(u64::MAX, |bit| bit.wrapping_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(mut pages: DirtyPages) -> [Option<Range<u32>>; 3] {
        [pages.next_run(), pages.next_run(), pages.next_run()]
    }

    #[test]
    fn an_only_run_is_one() {
        assert_eq!(DirtyPages::NONE.only_run(), None);
        assert_eq!(DirtyPages::ALL.only_run(), Some(0..64));
        assert_eq!(DirtyPages::from_range(3..5).only_run(), Some(3..5));
        let two = DirtyPages::from_range(0..3).with(DirtyPages::from_range(4..5));
        assert_eq!(two.only_run(), None);
    }

    #[test]
    fn ranges_become_runs() {
        assert_eq!(runs(DirtyPages::NONE), [None, None, None]);
        assert_eq!(runs(DirtyPages::ALL), [Some(0..64), None, None]);
        assert_eq!(runs(DirtyPages::from_range(5..5)), [None, None, None]);
        assert_eq!(
            runs(DirtyPages::from_range(63..200)),
            [Some(63..64), None, None]
        );
        assert_eq!(runs(DirtyPages::from_range(200..300)), [None, None, None]);
        let two = DirtyPages::from_range(0..3).with(DirtyPages::from_range(60..64));
        assert_eq!(runs(two), [Some(0..3), Some(60..64), None]);
        let joined = DirtyPages::from_range(1..3).with(DirtyPages::from_range(3..4));
        assert_eq!(runs(joined), [Some(1..4), None, None]);
    }

    #[test]
    fn a_folio_has_no_more_pages_than_it_has() {
        assert_eq!(runs(DirtyPages::ALL.of_folio(1)), [Some(0..1), None, None]);
        assert_eq!(
            runs(DirtyPages::ALL.of_folio(64)),
            [Some(0..64), None, None]
        );
        assert_eq!(DirtyPages::ALL.of_folio(0), DirtyPages::NONE);
    }
}
