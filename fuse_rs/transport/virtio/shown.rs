// SPDX-License-Identifier: GPL-2.0

//! What /sys/fs/virtiofs tells of a device, as the C driver does: its tag, a link to it, and which queue
//! is for which CPUs. Who waits for a tag gets an event with it.

use super::device::FsDevice;
use crate::prelude::*;
use kernel::cpu::nr_cpu_ids;
use kernel::str::CString;
use kernel_glue::kobject::Entry;
use kernel_glue::kobject::Event;
use kernel_glue::kobject::Parent;
use kernel_glue::kobject::Set;
use kernel_glue::virtio::driver::Device;
use kernel_glue::virtio::driver::Driver;

/// A device that can be seen. Its directories go with the value, the inner ones first.
pub(super) struct Shown {
    variable: CString,
    #[expect(dead_code, reason = "held")]
    queues: KVec<Entry>,
    #[expect(dead_code, reason = "held")]
    all_queues: Entry,
    device: Entry,
}

impl Shown {
    /// Shows a device in `set`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EEXIST`.
    pub(super) fn new(device: &Device<FsDevice>, set: &Set) -> Result<Self> {
        let number = CString::try_from_fmt(fmt!("{}", device.number()))?;
        let tag = device.tag().to_str().map_err(|_| EINVAL)?;
        let files = [(c"tag", CString::try_from_fmt(fmt!("{}", tag))?)];
        let entry = Entry::new(Parent::Set(set), &number, files)?;
        device.link_from(&entry)?;
        let all_queues = Entry::new(Parent::Entry(&entry), c"mqs", [])?;
        let mut queues = KVec::new();
        for index in 0..device.queues().len() {
            let number = CString::try_from_fmt(fmt!("{}", index))?;
            let files = [(c"name", name(index)?), (c"cpu_list", cpus(device, index)?)];
            let queue = Entry::new(Parent::Entry(&all_queues), &number, files)?;
            queues.push(queue, GFP_KERNEL)?;
        }
        let variable = CString::try_from_fmt(fmt!("TAG={}", tag))?;
        entry.tell(Event::Added, &variable);
        Ok(Self {
            variable,
            queues,
            all_queues,
            device: entry,
        })
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.device.tell(Event::Removed, &self.variable);
    }
}

fn name(index: usize) -> Result<CString> {
    match index.checked_sub(FsDevice::FIRST_OF_CPUS) {
        None => CString::try_from_fmt(fmt!("hiprio")),
        Some(nth) => CString::try_from_fmt(fmt!("requests.{}", nth)),
    }
}

/// The CPUs that use a queue; all of them use the first.
fn cpus(device: &Device<FsDevice>, index: usize) -> Result<CString> {
    let mut list = KVec::new();
    for cpu in 0..nr_cpu_ids() {
        if index >= FsDevice::FIRST_OF_CPUS && device.queue_of(cpu) != index {
            continue;
        }
        let separator = if list.is_empty() { "" } else { ", " };
        let part = CString::try_from_fmt(fmt!("{}{}", separator, cpu))?;
        list.extend_from_slice(part.to_bytes(), GFP_KERNEL)?;
    }
    let list = core::str::from_utf8(&list).map_err(|_| EINVAL)?;
    CString::try_from_fmt(fmt!("{}", list))
}
