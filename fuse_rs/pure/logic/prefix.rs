// SPDX-License-Identifier: GPL-2.0

//! What has become of a transfer that went in several parts: how much of it is done from the start
//! on without a gap.

/// The result of a transfer, as far as its parts are over. `E` is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix<E> {
    /// Bytes that are done.
    end: usize,
    /// Why it ends there, if that is known.
    error: Option<E>,
}

impl<E: Copy> Prefix<E> {
    /// Of a transfer of `len` bytes, of which no part has fallen short.
    pub const fn new(len: usize) -> Self {
        Self {
            end: len,
            error: None,
        }
    }

    /// The part of `len` bytes from `offset` on is over: so many bytes are done, or none.
    pub fn part(&mut self, offset: usize, len: usize, done: Result<usize, E>) {
        let (done, error) = match done {
            Ok(done) => (done.min(len), None),
            Err(error) => (0, Some(error)),
        };
        let end = offset.saturating_add(done);
        if done < len && end < self.end {
            self.end = end;
            self.error = error;
        }
    }

    /// Bytes that are done; or the error, if there are none because of it.
    pub fn result(&self) -> Result<usize, E> {
        match self.error {
            Some(error) if self.end == 0 => Err(error),
            _ => Ok(self.end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_done_is_everything() {
        let mut prefix = Prefix::<i32>::new(30);
        prefix.part(20, 10, Ok(10));
        prefix.part(0, 20, Ok(20));
        assert_eq!(prefix.result(), Ok(30));
    }

    #[test]
    fn what_is_behind_a_gap_does_not_count() {
        let mut prefix = Prefix::<i32>::new(30);
        prefix.part(20, 10, Err(5));
        prefix.part(10, 10, Ok(3));
        prefix.part(0, 10, Ok(10));
        assert_eq!(prefix.result(), Ok(13));
    }

    #[test]
    fn an_error_counts_if_it_comes_first() {
        let mut prefix = Prefix::new(30);
        prefix.part(10, 10, Err(7));
        prefix.part(0, 10, Err(5));
        prefix.part(20, 10, Ok(10));
        assert_eq!(prefix.result(), Err(5));
    }

    #[test]
    fn an_error_behind_data_is_not_told() {
        let mut prefix = Prefix::new(20);
        prefix.part(10, 10, Err(7));
        prefix.part(0, 10, Ok(10));
        assert_eq!(prefix.result(), Ok(10));
    }

    #[test]
    fn nothing_without_an_error_is_the_end() {
        let mut prefix = Prefix::<i32>::new(20);
        prefix.part(10, 10, Err(7));
        prefix.part(0, 10, Ok(0));
        assert_eq!(prefix.result(), Ok(0));
    }

    #[test]
    fn a_part_cannot_do_more_than_it_has() {
        let mut prefix = Prefix::<i32>::new(20);
        prefix.part(0, 10, Ok(usize::MAX));
        assert_eq!(prefix.result(), Ok(20));
    }
}
