// SPDX-License-Identifier: GPL-2.0

//! Drivers of virtio devices.

use super::queue::Phase;
use super::queue::Queue;
use super::table::Load;
use crate::bindings;
use crate::kobject::Entry;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::cpu::nr_cpu_ids;
use kernel::cpu::CpuId;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;
use kernel::sync::Arc;
use kernel::time::delay::fsleep;
use kernel::time::Delta;
use kernel::types::Opaque;
use kernel::workqueue;

/// How often it is looked whether a device has nothing, and how long between.
const PATIENCE: u32 = 500;
const PAUSE: Delta = Delta::from_millis(10);

/// A driver; the value is what it keeps of a device.
///
/// # Context
///
/// All functions are called in process context, and may sleep.
pub trait Driver: Send + Sync + Sized + 'static {
    /// The kind of device.
    const ID: u32;
    /// What all devices share.
    type Shared: Send + Sync + 'static;
    /// What travels through its queues.
    type Load: Load;
    /// The first of the queues that belong to CPUs.
    const FIRST_OF_CPUS: usize;

    /// Where its work is done. There is a queue as long as the driver is registered.
    fn work_queue() -> Option<&'static workqueue::Queue>;

    /// How many queues the device has.
    ///
    /// # Errors
    ///
    /// Any: the device is not used.
    fn count_queues(config: &Config<'_>) -> Result<usize>;

    /// The name of a queue.
    fn queue_name(index: usize) -> &'static CStr;

    /// A new device.
    fn new(shared: &Arc<Self::Shared>, config: &Config<'_>) -> impl PinInit<Self, Error>;

    /// Its queues exist.
    ///
    /// # Errors
    ///
    /// Any: the device is not used.
    fn started(device: &Arc<Device<Self>>) -> Result;

    /// The device has given a load back, and says that it has written so many bytes; if that is more
    /// than there are, it is nothing.
    fn returned(device: &Arc<Device<Self>>, queue: usize, load: Self::Load, written: Option<usize>);

    /// The queue may have room.
    fn has_room(device: &Arc<Device<Self>>, queue: usize);

    /// The device is about to go.
    fn removing(device: &Arc<Device<Self>>);

    /// It has given back all loads, and its memory is about to go.
    fn removed(device: &Arc<Device<Self>>);

    /// A load comes back from a device that cannot be used any more.
    fn lost(device: &Arc<Device<Self>>, load: Self::Load);
}

/// The configuration of a device.
pub struct Config<'a> {
    device: NonNull<bindings::virtio_device>,
    _borrow: PhantomData<&'a ()>,
}

impl Config<'_> {
    /// Reads `to.len()` bytes from `offset`.
    pub fn read(&self, offset: u32, to: &mut [u8]) {
        // SAFETY: The device is valid, and `to` is as long.
        unsafe {
            bindings::fuse_rs_helper_virtio_read(
                self.device.as_ptr(),
                offset,
                to.as_mut_ptr().cast(),
                to.len(),
            );
        }
    }

    /// Where memory of the device that it shares under this number lies: start and length in bytes. The
    /// device may lie.
    pub fn shared_memory(&self, id: u8) -> Option<(u64, u64)> {
        let (mut start, mut len) = (0, 0);
        // SAFETY: The device is valid, and so are the places.
        let is_there = unsafe {
            bindings::fuse_rs_helper_virtio_shared_memory(
                self.device.as_ptr(),
                id,
                &mut start,
                &mut len,
            )
        };
        is_there.then_some((start, len))
    }

    /// Reads a number at `offset`.
    pub fn read_u32(&self, offset: u32) -> u32 {
        let mut bytes = [0; 4];
        self.read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }
}

/// A device with a driver.
///
/// # Invariants
///
/// The value owns a reference to the device.
#[pin_data(PinnedDrop)]
pub struct Device<D: Driver> {
    device: NonNull<bindings::virtio_device>,
    queues: KVec<Arc<Queue<D>>>,
    /// By CPU, which of them is for it.
    of_cpus: KVVec<Atomic<usize>>,
    #[pin]
    data: D,
}

// SAFETY: The pointer is used by those only who know that the device is there.
unsafe impl<D: Driver> Send for Device<D> {}
// SAFETY: As above.
unsafe impl<D: Driver> Sync for Device<D> {}

impl<D: Driver> Deref for Device<D> {
    type Target = D;

    fn deref(&self) -> &D {
        &self.data
    }
}

impl<D: Driver> Device<D> {
    /// The queues.
    pub fn queues(&self) -> &[Arc<Queue<D>>] {
        &self.queues
    }

    /// Resets the device, which gives all loads back as [lost](Driver::lost), and starts it again, if it
    /// is not gone.
    pub fn restart(&self) {
        // SAFETY: There is a reference to the device, whose lock keeps its driver from changing. If it
        // has ours, its private data is this.
        unsafe {
            bindings::fuse_rs_helper_virtio_lock(self.device.as_ptr());
            let data = bindings::fuse_rs_helper_virtio_private(self.device.as_ptr());
            if core::ptr::eq(data.cast(), self) {
                let stopped = bindings::virtio_device_reset_prepare(self.device.as_ptr());
                if stopped == 0 && bindings::virtio_device_reset_done(self.device.as_ptr()) != 0 {
                    pr_err!("a virtio device could not be started again\n");
                }
            }
            bindings::fuse_rs_helper_virtio_unlock(self.device.as_ptr());
        }
    }

    /// The queue for the CPU the caller runs on.
    pub fn queue_here(&self) -> Option<&Arc<Queue<D>>> {
        self.queues.get(self.queue_of(CpuId::current().as_u32()))
    }

    /// Which queue is for a CPU.
    pub fn queue_of(&self, cpu: u32) -> usize {
        let index = self.of_cpus.get(cpu as usize);
        index.map_or(D::FIRST_OF_CPUS, |index| index.load(Relaxed))
    }

    fn set_phase(&self, phase: Phase) {
        self.queues.iter().for_each(|queue| queue.set_phase(phase));
    }

    /// Waits until the device has nothing. Loads are not given to it any more; who has some tries again
    /// when it was [resumed](Self::resume).
    ///
    /// # Errors
    ///
    /// `EBUSY` when that takes longer than is good for a machine that is to go to sleep.
    fn pause(&self) -> Result {
        self.set_phase(Phase::Paused);
        for _ in 0..PATIENCE {
            if self.queues.iter().all(|queue| queue.is_idle()) {
                return Ok(());
            }
            fsleep(PAUSE);
        }
        Err(EBUSY)
    }

    fn resume(self: &Arc<Self>) {
        for index in 0..self.queues.len() {
            D::has_room(self, index);
        }
    }

    /// Has each CPU use the queue whose interrupts it gets; if that is not known, the CPUs are shared
    /// out.
    ///
    /// # Safety
    ///
    /// The device is there, and has queues.
    unsafe fn assign_cpus(&self) {
        let shared_out = self.queues.len().saturating_sub(D::FIRST_OF_CPUS).max(1);
        for (cpu, place) in self.of_cpus.iter().enumerate() {
            let its = (D::FIRST_OF_CPUS..self.queues.len()).find(|index| {
                // SAFETY: By the safety requirements.
                unsafe {
                    bindings::fuse_rs_helper_virtqueue_is_for(
                        self.device.as_ptr(),
                        *index as i32,
                        cpu as u32,
                    )
                }
            });
            let any = cpu.checked_rem(shared_out).unwrap_or(0);
            place.store(its.unwrap_or(D::FIRST_OF_CPUS.saturating_add(any)), Relaxed);
        }
    }

    /// The number of the device on its bus.
    pub fn number(&self) -> i32 {
        // SAFETY: There is a reference to the device.
        unsafe { bindings::fuse_rs_helper_virtio_index(self.device.as_ptr()) }
    }

    /// Adds a link to the device to an entry of sysfs. The device is there.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn link_from(&self, entry: &Entry) -> Result {
        // SAFETY: There is a reference to the device; an object that is not in sysfs any more gives
        // an error.
        unsafe {
            let object = bindings::fuse_rs_helper_virtio_object(self.device.as_ptr());
            entry.link(c"device", object)
        }
    }

    /// # Safety
    ///
    /// `device` is a device that is being probed by the driver.
    unsafe fn probe(device: NonNull<bindings::virtio_device>) -> Result<Arc<Self>> {
        // SAFETY: By the safety requirements.
        let shared = unsafe { Registration::<D>::shared_of(device.as_ptr()) };
        let config = Config {
            device,
            _borrow: PhantomData,
        };
        let count = D::count_queues(&config)?;
        let mut queues = KVec::with_capacity(count, GFP_KERNEL)?;
        for index in 0..count {
            queues.push(Queue::new(index)?, GFP_KERNEL)?;
        }
        let mut of_cpus = KVVec::new();
        for _ in 0..nr_cpu_ids() {
            of_cpus.push(Atomic::new(D::FIRST_OF_CPUS), GFP_KERNEL)?;
        }
        let this = Arc::pin_init(
            try_pin_init!(Self {
                data <- D::new(shared, &config),
                queues,
                of_cpus,
                // INVARIANT: Nothing fails any more.
                device: {
                    // SAFETY: By the safety requirements.
                    unsafe { bindings::fuse_rs_helper_virtio_get(device.as_ptr()) };
                    device
                },
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: The device is there, and has no queues.
        unsafe { this.start() }?;
        D::started(&this).inspect_err(|_| {
            // SAFETY: It was just started.
            unsafe { this.stop() };
        })?;
        Ok(this)
    }

    /// # Safety
    ///
    /// `device` is a device of the driver, for as long as the value is used.
    unsafe fn borrow(device: *mut bindings::virtio_device) -> impl Deref<Target = Arc<Self>> {
        // SAFETY: By the safety requirements. The reference was left there by `probe`, and stays there.
        unsafe {
            let this = bindings::fuse_rs_helper_virtio_private(device).cast_const();
            core::mem::ManuallyDrop::new(Arc::from_raw(this.cast::<Self>()))
        }
    }

    /// # Safety
    ///
    /// The device is there, and has no queues.
    unsafe fn start(self: &Arc<Self>) -> Result {
        let count = self.queues.len();
        let mut raw = KVec::from_elem(core::ptr::null_mut(), count, GFP_KERNEL)?;
        let mut infos = KVec::with_capacity(count, GFP_KERNEL)?;
        for index in 0..count {
            infos.push(
                bindings::virtqueue_info {
                    name: D::queue_name(index).as_char_ptr(),
                    callback: Some(returned::<D>),
                    ctx: false,
                },
                GFP_KERNEL,
            )?;
        }
        let mut affinity: bindings::irq_affinity = pin_init::zeroed();
        affinity.pre_vectors = u32::try_from(D::FIRST_OF_CPUS)?;
        // SAFETY: The arrays are as long, and the device has no queues.
        to_result(unsafe {
            bindings::fuse_rs_helper_virtio_set_private(
                self.device.as_ptr(),
                Arc::as_ptr(self).cast_mut().cast(),
            );
            bindings::fuse_rs_helper_virtio_find_queues(
                self.device.as_ptr(),
                u32::try_from(count)?,
                raw.as_mut_ptr(),
                infos.as_mut_ptr(),
                &mut affinity,
            )
        })?;
        let opened = self.queues.iter().zip(&raw).try_for_each(|(queue, raw)| {
            let raw = NonNull::new(*raw).ok_or(ENOENT)?;
            // SAFETY: It was just made, and is deleted by `stop`.
            unsafe { queue.open(raw, self) }
        });
        // SAFETY: The device has its queues.
        unsafe {
            if let Err(error) = opened {
                self.stop();
                return Err(error);
            }
            self.assign_cpus();
            bindings::fuse_rs_helper_virtio_ready(self.device.as_ptr());
        }
        Ok(())
    }

    /// Resets the device, and deletes its queues.
    ///
    /// # Safety
    ///
    /// The device is there.
    unsafe fn stop(self: &Arc<Self>) {
        self.set_phase(Phase::Closed);
        // SAFETY: The device is there. Nobody adds anything any more, and nobody notifies it after
        // the wait.
        unsafe {
            bindings::synchronize_rcu();
            bindings::virtio_reset_device(self.device.as_ptr());
        }
        for mut closed in self.queues.iter().filter_map(|queue| queue.take()) {
            // SAFETY: The device was just reset.
            while let Some(load) = unsafe { closed.take() } {
                D::lost(self, load);
            }
        }
        // SAFETY: Nobody uses the queues; after the reset there are no calls.
        unsafe { bindings::fuse_rs_helper_virtio_delete_queues(self.device.as_ptr()) };
    }
}

#[pinned_drop]
impl<D: Driver> PinnedDrop for Device<D> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The reference is given up.
        unsafe { bindings::fuse_rs_helper_virtio_put(self.device.as_ptr()) };
    }
}

/// # Safety
///
/// Called by virtio with a queue of a device of the driver; in any context.
unsafe extern "C" fn returned<D: Driver>(queue: *mut bindings::virtqueue) {
    // SAFETY: By the safety requirements. The private data stays until the device was reset, after
    // which there are no calls.
    unsafe {
        let device = bindings::fuse_rs_helper_virtqueue_device(queue);
        let device = bindings::fuse_rs_helper_virtio_private(device).cast::<Device<D>>();
        let index = bindings::fuse_rs_helper_virtqueue_index(queue) as usize;
        if let Some(queue) = device.as_ref().and_then(|d| d.queues.get(index)) {
            queue.look();
        }
    }
}

/// # Safety
///
/// Called by virtio with a device for the driver.
unsafe extern "C" fn probe<D: Driver>(device: *mut bindings::virtio_device) -> i32 {
    c_result!({
        let device = NonNull::new(device).ok_or(EINVAL)?;
        // SAFETY: By the safety requirements.
        let this = unsafe { Device::<D>::probe(device) }?;
        // Given up in `remove`; it has been the device's private data since it was started.
        let _ = Arc::into_raw(this);
        Ok(0)
    })
}

/// # Safety
///
/// Called by virtio with a device of the driver, once.
unsafe extern "C" fn remove<D: Driver>(device: *mut bindings::virtio_device) {
    // SAFETY: By the safety requirements; the reference was left there by `probe`.
    unsafe {
        let this = bindings::fuse_rs_helper_virtio_private(device).cast_const();
        let this = Arc::from_raw(this.cast::<Device<D>>());
        D::removing(&this);
        this.set_phase(Phase::Gone);
        this.stop();
        D::removed(&this);
        bindings::fuse_rs_helper_virtio_set_private(device, core::ptr::null_mut());
    }
}

/// # Safety
///
/// Called by virtio with a device of the driver.
unsafe extern "C" fn reset_prepare<D: Driver>(device: *mut bindings::virtio_device) -> i32 {
    // SAFETY: By the safety requirements; the reference that `probe` has left there stays.
    unsafe { Device::<D>::borrow(device).stop() };
    0
}

/// # Safety
///
/// Called by virtio with a device of the driver that has no queues: after a reset, or when the machine
/// has woken up.
unsafe extern "C" fn reset_done<D: Driver>(device: *mut bindings::virtio_device) -> i32 {
    c_result!({
        // SAFETY: As above.
        let this = unsafe { Device::<D>::borrow(device) };
        // SAFETY: As above.
        unsafe { this.start() }.inspect_err(|_| {
            D::removing(&this);
            this.set_phase(Phase::Gone);
            // Who waits with a load hears that it is gone.
            this.resume();
        })?;
        this.resume();
        Ok(0)
    })
}

/// # Safety
///
/// Called by virtio with a device of the driver, before the machine goes to sleep.
unsafe extern "C" fn freeze<D: Driver>(device: *mut bindings::virtio_device) -> i32 {
    // SAFETY: By the safety requirements; the reference that `probe` has left there stays.
    let this = unsafe { Device::<D>::borrow(device) };
    if let Err(error) = this.pause() {
        this.set_phase(Phase::Open);
        this.resume();
        return error.to_errno();
    }
    // SAFETY: The device is there.
    unsafe { this.stop() };
    0
}

/// A registered driver; dropping it takes all its devices away first.
#[pin_data(PinnedDrop)]
pub struct Registration<D: Driver> {
    #[pin]
    driver: Opaque<bindings::virtio_driver>,
    shared: Arc<D::Shared>,
}

// SAFETY: A driver may be unregistered on any thread.
unsafe impl<D: Driver> Send for Registration<D> {}
// SAFETY: Nothing can be done with a shared reference.
unsafe impl<D: Driver> Sync for Registration<D> {}

impl<D: Driver> Registration<D> {
    const IDS: [bindings::virtio_device_id; 2] = [
        bindings::virtio_device_id {
            device: D::ID,
            vendor: u32::MAX,
        },
        bindings::virtio_device_id {
            device: 0,
            vendor: 0,
        },
    ];

    /// Registers the driver as `name`, whose devices share `shared`.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the name is taken; `ENOMEM`.
    pub fn new(
        name: &'static CStr,
        module: &'static ThisModule,
        shared: Arc<D::Shared>,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            shared,
            driver <- Opaque::try_ffi_init(|slot: *mut bindings::virtio_driver| {
                // SAFETY: `slot` is valid for writing, and lies still until it is unregistered.
                unsafe {
                    slot.write_bytes(0, 1);
                    (*slot).driver.name = name.as_char_ptr();
                    (*slot).id_table = Self::IDS.as_ptr();
                    (*slot).probe = Some(probe::<D>);
                    (*slot).remove = Some(remove::<D>);
                    (*slot).reset_prepare = Some(reset_prepare::<D>);
                    (*slot).reset_done = Some(reset_done::<D>);
                    (*slot).freeze = Some(freeze::<D>);
                    (*slot).restore = Some(reset_done::<D>);
                    to_result(bindings::__register_virtio_driver(slot, module.as_ptr()))
                }
            }),
        })
    }

    /// # Safety
    ///
    /// `device` is a device of the driver, or is being probed by it.
    unsafe fn shared_of<'a>(device: *mut bindings::virtio_device) -> &'a Arc<D::Shared> {
        // SAFETY: By the safety requirements; the driver is part of a registration.
        unsafe {
            let driver = bindings::fuse_rs_helper_virtio_driver_of(device);
            let driver: *mut Opaque<bindings::virtio_driver> = driver.cast();
            &(*kernel::container_of!(driver, Self, driver)).shared
        }
    }
}

#[pinned_drop]
impl<D: Driver> PinnedDrop for Registration<D> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: It was registered.
        unsafe { bindings::unregister_virtio_driver(self.driver.get()) };
    }
}
