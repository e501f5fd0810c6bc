// SPDX-License-Identifier: GPL-2.0

//! Time, random numbers and messages.

use crate::bindings;

/// Nanoseconds of a clock that never goes back, in steps of a tick (1 to 10 ms): for deadlines. Not
/// counting suspension. Callable everywhere.
#[inline]
pub fn monotonic_nanos() -> u64 {
    // SAFETY: Always callable.
    unsafe { bindings::fuse_rs_helper_ticks_nanos() }
}

/// Lets others run on this CPU, in a long loop. May sleep.
pub fn let_others_run() {
    // SAFETY: The caller may sleep.
    unsafe { bindings::fuse_rs_helper_cond_resched() };
}

/// A random number. Callable everywhere.
pub fn random_u64() -> u64 {
    // SAFETY: Always callable.
    unsafe { bindings::get_random_u64() }
}

/// Bytes of memory the machine has.
pub fn memory_bytes() -> u64 {
    // SAFETY: Always callable.
    (unsafe { bindings::fuse_rs_helper_totalram_pages() }) as u64
        * crate::mem::pages::PAGE_SIZE as u64
}

/// Whether a message may be printed now: at most ten in five seconds, module-wide.
pub fn may_print() -> bool {
    use kernel::sync::atomic::Atomic;
    use kernel::sync::atomic::Relaxed;
    const WINDOW: u64 = 5_000_000_000;
    const BURST: u64 = 10;
    static START: Atomic<u64> = Atomic::new(0);
    static COUNT: Atomic<u64> = Atomic::new(0);
    let now = monotonic_nanos();
    if now.wrapping_sub(START.load(Relaxed)) > WINDOW {
        START.store(now, Relaxed);
        COUNT.store(0, Relaxed);
    }
    COUNT.fetch_add(1, Relaxed) < BURST
}

/// Prints a warning, unless too many were printed lately.
#[macro_export]
macro_rules! warn_ratelimited {
    ($($arg:tt)*) => {
        if $crate::sys::may_print() {
            ::kernel::pr_warn!($($arg)*);
        }
    };
}
pub use warn_ratelimited;
