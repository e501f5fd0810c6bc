// SPDX-License-Identifier: GPL-2.0

//! What is not needed at the moment, kept for who needs one next. Without locks.

use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::atomic::Acquire;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Full;
use kernel::sync::atomic::Relaxed;

/// Up to `N` addresses.
pub(super) struct Few<const N: usize> {
    /// Addresses, or zero.
    slots: [Atomic<usize>; N],
    /// How many there are, more or less: the first slots are most likely in use.
    count: Atomic<usize>,
}

impl<const N: usize> Few<N> {
    /// None.
    pub(super) const fn new() -> Self {
        Self {
            slots: [const { Atomic::new(0) }; N],
            count: Atomic::new(0),
        }
    }

    /// Takes one out that [`keep`](Self::keep) has put in.
    pub(super) fn take<T>(&self) -> Option<NonNull<T>> {
        let count = self.count.load(Relaxed).min(N);
        let found = self.slots.iter().take(count).rev().find_map(|slot| {
            if slot.load(Relaxed) == 0 {
                return None;
            }
            NonNull::new(slot.xchg(0, Full) as *mut T)
        });
        if found.is_some() {
            self.count.fetch_sub(1, Relaxed);
        }
        found
    }

    /// Puts one in; gives it back if there are enough.
    pub(super) fn keep<T>(&self, one: NonNull<T>) -> Result<(), NonNull<T>> {
        let address = one.as_ptr() as usize;
        let count = self.count.load(Acquire).min(N);
        let kept = self
            .slots
            .iter()
            .skip(count)
            .any(|slot| slot.cmpxchg(0, address, Full).is_ok());
        if kept {
            self.count.fetch_add(1, Relaxed);
            Ok(())
        } else {
            Err(one)
        }
    }

    /// Takes all out.
    pub(super) fn drain<T>(&self) -> impl Iterator<Item = NonNull<T>> + '_ {
        self.slots
            .iter()
            .filter_map(|slot| NonNull::new(slot.xchg(0, Full) as *mut T))
    }
}

/// Up to `N` boxes that are not needed at the moment.
///
/// # Invariants
///
/// The addresses are those of boxes, from `KBox::into_raw`.
pub struct Spares<T, const N: usize> {
    few: Few<N>,
    _boxes: PhantomData<KBox<T>>,
}

// SAFETY: Boxes are only moved in and out.
unsafe impl<T: Send, const N: usize> Sync for Spares<T, N> {}

impl<T, const N: usize> Spares<T, N> {
    /// None.
    pub const fn new() -> Self {
        // INVARIANT: There are none.
        Self {
            few: Few::new(),
            _boxes: PhantomData,
        }
    }

    /// Takes one out. What is in it is what was in it.
    pub fn take(&self) -> Option<KBox<T>> {
        let one = self.few.take::<T>()?;
        // SAFETY: By the invariants; it was taken out, so nobody else has it.
        Some(unsafe { KBox::from_raw(one.as_ptr()) })
    }

    /// Puts one in, or drops it if there are enough.
    pub fn keep(&self, one: KBox<T>) {
        // INVARIANT: It comes from a box.
        let kept = self.few.keep(NonNull::from(KBox::leak(one)));
        if let Err(one) = kept {
            // SAFETY: It just came from a box, and was not kept.
            drop(unsafe { KBox::from_raw(one.as_ptr()) });
        }
    }
}

impl<T, const N: usize> Default for Spares<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> Drop for Spares<T, N> {
    fn drop(&mut self) {
        for one in self.few.drain::<T>() {
            // SAFETY: By the invariants; it was taken out.
            drop(unsafe { KBox::from_raw(one.as_ptr()) });
        }
    }
}
