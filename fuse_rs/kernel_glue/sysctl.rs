// SPDX-License-Identifier: GPL-2.0

//! Numbers that an administrator sets in /proc/sys.

use crate::bindings;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;
use kernel::sync::Arc;

/// A number that can be set.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// Name of its file.
    pub name: &'static CStr,
    /// What it is at first.
    pub first: u32,
    /// The least it may be.
    pub min: u32,
    /// The most it may be.
    pub max: u32,
}

/// Numbers, whether they can be set at present or not.
pub struct Numbers<const N: usize> {
    specs: &'static [Number; N],
    values: [Atomic<u32>; N],
}

impl<const N: usize> Numbers<N> {
    /// Numbers as they are at first.
    pub fn new(specs: &'static [Number; N]) -> Result<Arc<Self>> {
        let values = core::array::from_fn(|i| Atomic::new(specs.get(i).map_or(0, |s| s.first)));
        Ok(Arc::new(Self { specs, values }, GFP_KERNEL)?)
    }

    /// The number at `index`; zero if there is none.
    pub fn get(&self, index: usize) -> u32 {
        self.values
            .get(index)
            .map_or(0, |value| value.load(Relaxed))
    }
}

/// Numbers that can be set as long as the value exists.
pub struct Sysctl<const N: usize> {
    header: NonNull<bindings::ctl_table_header>,
    /// The kernel refers to both.
    _table: KBox<[bindings::ctl_table; N]>,
    _numbers: Arc<Numbers<N>>,
}

// SAFETY: May be unregistered on any thread.
unsafe impl<const N: usize> Send for Sysctl<N> {}
// SAFETY: Nothing can be done with a shared reference.
unsafe impl<const N: usize> Sync for Sysctl<N> {}

impl<const N: usize> Sysctl<N> {
    /// Shows the numbers in the directory `path` of /proc/sys.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also if there is such a file.
    pub fn register(path: &'static CStr, numbers: Arc<Numbers<N>>) -> Result<Self> {
        let specs = numbers.specs;
        let entry = |i: usize| {
            let mut entry: bindings::ctl_table = pin_init::zeroed();
            if let (Some(spec), Some(value)) = (specs.get(i), numbers.values.get(i)) {
                entry.procname = spec.name.as_char_ptr();
                entry.data = value.as_ptr().cast();
                entry.maxlen = core::mem::size_of::<u32>() as i32;
                entry.mode = 0o644;
                entry.proc_handler = Some(bindings::proc_douintvec_minmax);
                entry.extra1 = (&raw const spec.min).cast_mut().cast();
                entry.extra2 = (&raw const spec.max).cast_mut().cast();
            }
            entry
        };
        let table = KBox::new(core::array::from_fn(entry), GFP_KERNEL)?;
        // SAFETY: The table and what it refers to live until it is unregistered: the table and the
        // values on the heap, the bounds for ever. The handler reads and writes `u32`s.
        let header = unsafe { bindings::register_sysctl_sz(path.as_char_ptr(), table.as_ptr(), N) };
        Ok(Self {
            header: NonNull::new(header).ok_or(ENOMEM)?,
            _table: table,
            _numbers: numbers,
        })
    }
}

impl<const N: usize> Drop for Sysctl<N> {
    fn drop(&mut self) {
        // SAFETY: Registered by `register`. Waits for those who use it.
        unsafe { bindings::unregister_sysctl_table(self.header.as_ptr()) };
    }
}
