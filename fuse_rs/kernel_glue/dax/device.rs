// SPDX-License-Identifier: GPL-2.0

//! Memory of a device that files can be in (`dax_device`).

use crate::bindings;
use core::ffi::c_void;
use core::ptr::NonNull;
use kernel::error::from_err_ptr;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::sync::Mutex;
use kernel::time::delay::fsleep;
use kernel::time::Delta;
use kernel::types::Opaque;

const PAGE: u64 = crate::mem::pages::PAGE_SIZE as u64;

/// What the kernel can make page structures for: sections of memory.
const SECTION: u64 = 2 << 20;

/// Between looks whether memory is still used.
const PAUSE: Delta = Delta::from_millis(10);

/// Physical memory that nobody else uses.
struct Region {
    start: u64,
    len: u64,
}

impl Region {
    fn new(start: u64, len: u64) -> Result<Self> {
        let end = start.checked_add(len).ok_or(EINVAL)?;
        if len == 0 || start % SECTION != 0 || end % SECTION != 0 {
            return Err(EINVAL);
        }
        // SAFETY: The name lives for ever.
        let is_ours = unsafe {
            bindings::fuse_rs_helper_request_memory(start, len, c"dax window".as_char_ptr())
        };
        if is_ours {
            Ok(Self { start, len })
        } else {
            Err(EBUSY)
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: It was requested with the same numbers.
        unsafe { bindings::fuse_rs_helper_release_memory(self.start, self.len) };
    }
}

/// Page structures and a mapping for a region. Nobody must begin to use it when it is dropped.
///
/// # Invariants
///
/// The map is one that `memremap_pages` has made, and does not move; all of the region is mapped from
/// `address` on.
struct Pages {
    map: Pin<KBox<Opaque<bindings::dev_pagemap>>>,
    address: NonNull<c_void>,
    region: Region,
}

impl Pages {
    fn of(region: Region) -> Result<Self> {
        let map = KBox::pin_init(Opaque::zeroed(), GFP_KERNEL)?;
        // SAFETY: The place of the map is valid and does not move. The region is ours, and aligned to
        // sections.
        let address = from_err_ptr(unsafe {
            bindings::fuse_rs_helper_map_dax_memory(map.get(), region.start, region.len)
        })?;
        let address = NonNull::new(address).ok_or(EIO)?;
        // INVARIANT: It was just made.
        Ok(Self {
            map,
            address,
            region,
        })
    }

    /// Whether a page is mapped or pinned, or the kernel has noted to which file it belongs.
    fn is_used(&self) -> bool {
        let Region { start, len } = self.region;
        let mut pages = (start..start.saturating_add(len)).step_by(PAGE as usize);
        // SAFETY: By the type's invariants there is a structure for each page of the region.
        pages.any(|page| unsafe { bindings::fuse_rs_helper_is_dax_page_used(page) })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        while self.is_used() {
            fsleep(PAUSE);
        }
        // SAFETY: By the type's invariants. Nobody refers to the pages any more.
        unsafe { bindings::memunmap_pages(self.map.get()) };
    }
}

/// What the callbacks look at.
struct View {
    start: u64,
    len: u64,
    address: NonNull<c_void>,
}

impl View {
    /// How many of `pages` pages from page `first` on there are.
    fn pages_from(&self, first: u64, pages: u64) -> u64 {
        (self.len / PAGE).saturating_sub(first).min(pages)
    }
}

/// A `dax_device`.
///
/// # Invariants
///
/// It is valid, and its private data is a [`View`] that lives longer.
struct Handle(NonNull<bindings::dax_device>);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: By the type's invariants; it must be killed before it is given up, and killing it
        // again does nothing.
        unsafe {
            bindings::kill_dax(self.0.as_ptr());
            bindings::put_dax(self.0.as_ptr());
        }
    }
}

/// Memory of a device that files can be in. It is mapped until it is taken away, or the value is
/// dropped, which waits until no page of it is used any more.
#[pin_data]
pub struct Device {
    // In the order in which they go.
    handle: Handle,
    view: KBox<View>,
    #[pin]
    pages: Mutex<Option<Pages>>,
}

// SAFETY: What is shared does not change, or synchronises itself.
unsafe impl Send for Device {}
// SAFETY: As above.
unsafe impl Sync for Device {}

impl Device {
    /// Of `len` bytes of physical memory from `start` on, which the kernel does not have as its own.
    ///
    /// # Context
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it does not start and end at multiples of 2 MiB; `EBUSY` if somebody uses it, such
    /// as an earlier value; `ENOMEM`; `EOPNOTSUPP` if the processor cannot.
    pub fn new(start: u64, len: u64) -> Result<Arc<Self>> {
        let region = Region::new(start, len)?;
        let pages = Pages::of(region)?;
        let address = pages.address;
        let view = KBox::new(
            View {
                start,
                len,
                address,
            },
            GFP_KERNEL,
        )?;
        let private = (&raw const *view).cast_mut().cast();
        // SAFETY: The table lives for ever, and the private data as long as the device.
        let device = unsafe { bindings::alloc_dax(private, &raw const OPERATIONS.0) };
        let device = from_err_ptr(device)?;
        let handle = Handle(NonNull::new(device).ok_or(EIO)?);
        Arc::pin_init(
            pin_init!(Self {
                handle,
                view,
                pages <- new_mutex!(Some(pages), "kernel_glue::dax::Device::pages"),
            }),
            GFP_KERNEL,
        )
    }

    /// Bytes it has.
    pub fn len(&self) -> u64 {
        self.view.len
    }

    /// Whether it has none; it always has some.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory goes: nobody begins to use it any more. `unmap` has it unmapped from those who have
    /// mapped it ([`SuperBlock::unmap_memory`](crate::vfs::super_block::SuperBlock::unmap_memory)), and is called
    /// until nobody has pinned it either.
    ///
    /// # Context
    ///
    /// May sleep.
    pub fn take_away(&self, unmap: impl Fn()) {
        // SAFETY: The device is valid by the invariants of its handle. Waits for those who copy.
        unsafe { bindings::kill_dax(self.handle.0.as_ptr()) };
        let Some(pages) = self.pages.lock().take() else {
            return;
        };
        loop {
            unmap();
            if !pages.is_used() {
                break;
            }
            fsleep(PAUSE);
        }
    }

    pub(super) fn as_ptr(&self) -> *mut bindings::dax_device {
        self.handle.0.as_ptr()
    }
}

/// The table of callbacks, which is shared.
struct Operations(bindings::dax_operations);

// SAFETY: It does not change.
unsafe impl Sync for Operations {}

static OPERATIONS: Operations = Operations(bindings::dax_operations {
    direct_access: Some(direct_access),
    zero_page_range: Some(zero_page_range),
    recovery_write: None,
});

/// # Safety
///
/// `device` is one of ours.
unsafe fn view_of<'a>(device: *mut bindings::dax_device) -> Option<&'a View> {
    // SAFETY: By the safety requirements the private data, of which there is none after the end of the
    // device, is a view.
    unsafe { bindings::dax_get_private(device).cast::<View>().as_ref() }
}

/// # Safety
///
/// Called with a device of ours that cannot go meanwhile, and places for what is wanted.
unsafe extern "C" fn direct_access(
    device: *mut bindings::dax_device,
    first: usize,
    pages: isize,
    _mode: bindings::dax_access_mode,
    address: *mut *mut c_void,
    frame: *mut usize,
) -> isize {
    // SAFETY: By the safety requirements.
    let Some(view) = (unsafe { view_of(device) }) else {
        return -(bindings::ENXIO as isize);
    };
    let first = first as u64;
    let there = view.pages_from(first, u64::try_from(pages).unwrap_or(0));
    if there == 0 {
        return -(bindings::ERANGE as isize);
    }
    // It lies in the region, so nothing overflows.
    let offset = first.wrapping_mul(PAGE);
    // SAFETY: By the safety requirements; the address lies in the mapping.
    unsafe {
        if !address.is_null() {
            *address = view.address.as_ptr().byte_add(offset as usize);
        }
        if !frame.is_null() {
            *frame = (view.start.wrapping_add(offset) / PAGE) as usize;
        }
    }
    there as isize
}

/// # Safety
///
/// Called with a device of ours that cannot go meanwhile.
unsafe extern "C" fn zero_page_range(
    device: *mut bindings::dax_device,
    first: usize,
    pages: usize,
) -> i32 {
    // SAFETY: By the safety requirements.
    let Some(view) = (unsafe { view_of(device) }) else {
        return -(bindings::ENXIO as i32);
    };
    let (first, pages) = (first as u64, pages as u64);
    if view.pages_from(first, pages) != pages {
        return -(bindings::ERANGE as i32);
    }
    let len = pages.wrapping_mul(PAGE) as usize;
    // SAFETY: The bytes lie in the mapping. Others may look at them, as at those of any file.
    unsafe {
        let start = view
            .address
            .as_ptr()
            .byte_add(first.wrapping_mul(PAGE) as usize);
        core::ptr::write_bytes(start.cast::<u8>(), 0, len);
        bindings::fuse_rs_helper_flush_dax(device, start, len);
    }
    0
}
