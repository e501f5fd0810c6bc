// SPDX-License-Identifier: GPL-2.0

//! The devices.

use super::cargo::Cargo;
use super::cargo::Flight;
use super::cargo::Letter;
use super::shown::Shown;
use super::tag;
use crate::connection::Connection;
use crate::connection::End;
use crate::prelude::*;
use kernel::new_mutex;
use kernel::str::CString;
use kernel::sync::Mutex;
use kernel::sync::SetOnce;
use kernel::workqueue;
use kernel_glue::dax::device::Device as Memory;
use kernel_glue::kobject::Set;
use kernel_glue::mem::few::Spares;
use kernel_glue::sync::own_queue::OwnQueue;
use kernel_glue::sync::wait::WaitQueue;
use kernel_glue::virtio::driver::Config;
use kernel_glue::virtio::driver::Device;
use kernel_glue::virtio::driver::Driver;

/// Where what devices give back is worked on.
pub(crate) static QUEUE: OwnQueue = OwnQueue::new();

/// The number of queues for requests lies behind the tag.
const REQUEST_QUEUES: u32 = tag::LEN as u32;
/// More are of no use: there is one for each CPU of a large machine.
const MAX_REQUEST_QUEUES: u32 = 1024;
/// Entries of a queue that a request needs beside its pages.
const OVERHEAD: usize = 4;
/// The smallest queue that is of any use.
const MIN_QUEUE: usize = 2 * OVERHEAD;

/// Memory for as many requests stays with a device that has none.
const SPARE_FLIGHTS: usize = 16;

/// The number under which a device shares its DAX window.
const WINDOW: u8 = 0;

/// All devices.
#[pin_data]
pub(crate) struct Devices {
    #[pin]
    list: Mutex<KVec<Arc<Device<FsDevice>>>>,
    set: SetOnce<Set>,
}

impl Devices {
    /// None yet.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                list <- new_mutex!(KVec::new(), "fuse_rs::Devices::list"),
                set: SetOnce::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Devices are shown in /sys/fs/`name` from now on.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn show_in(&self, name: &'static CStr) -> Result {
        self.set.populate(Set::new(name)?);
        Ok(())
    }

    /// The device with this tag.
    pub(crate) fn find(&self, tag: &CStr) -> Option<Arc<Device<FsDevice>>> {
        let list = self.list.lock();
        list.iter().find(|device| *device.tag == *tag).cloned()
    }

    /// Lets `with` have each tag.
    pub(crate) fn tags(&self, mut with: impl FnMut(&CStr)) {
        self.list.lock().iter().for_each(|device| with(&device.tag));
    }

    fn add(&self, device: &Arc<Device<FsDevice>>) -> Result {
        let mut list = self.list.lock();
        if list.iter().any(|other| *other.tag == *device.tag) {
            pr_err!("there is another virtio-fs device with this tag\n");
            return Err(EEXIST);
        }
        Ok(list.push(device.clone(), GFP_KERNEL)?)
    }

    fn remove(&self, device: &Arc<Device<FsDevice>>) {
        self.list.lock().retain(|other| !Arc::ptr_eq(other, device));
    }
}

/// Who uses a device.
enum User {
    None,
    Mount(Arc<Connection>),
    /// Nobody can any more.
    Gone,
}

/// A virtio-fs device.
#[pin_data]
pub(crate) struct FsDevice {
    devices: Arc<Devices>,
    tag: CString,
    /// Memory in which it can show files, if it has any.
    window: Option<Arc<Memory>>,
    #[pin]
    user: SpinLock<User>,
    /// Who used it when it was about to go.
    #[pin]
    last_user: SpinLock<Option<Arc<Connection>>>,
    /// The paper for forgets, unless the device has it.
    #[pin]
    letter: SpinLock<Option<Letter>>,
    /// How it is shown in sysfs.
    #[pin]
    shown: Mutex<Option<Shown>>,
    /// Requests that the device has.
    out: Atomic<usize>,
    /// How often it has given something back.
    returned: Atomic<u64>,
    /// There was no room for something.
    wants: Atomic<bool>,
    /// Woken when the device has no requests.
    #[pin]
    idle: WaitQueue,
    /// Flights that are over.
    spare: Spares<Flight, SPARE_FLIGHTS>,
}

impl FsDevice {
    /// Its tag.
    pub(super) fn tag(&self) -> &CStr {
        &self.tag
    }

    /// Memory in which it can show files, if it has any.
    pub(crate) fn window(&self) -> Option<&Arc<Memory>> {
        self.window.as_ref()
    }

    /// There was no room for something, which is to be brought when it gives something back.
    pub(super) fn want(&self) {
        self.wants.xchg(true, Full);
    }

    /// How often it has given something back.
    pub(super) fn returned_so_far(&self) -> u64 {
        self.returned.load(Acquire)
    }

    /// It is about to get a request.
    pub(super) fn add_one(&self) {
        self.out.fetch_add(1, Relaxed);
    }

    /// It has one request less.
    pub(super) fn remove_one(&self) {
        if self.out.fetch_sub(1, Full) == 1 {
            self.idle.wake_all();
        }
    }

    /// An empty flight. Does not sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn spare_flight(&self) -> Result<KBox<Flight>> {
        match self.spare.take() {
            Some(flight) => Ok(flight),
            None => Flight::new(),
        }
    }

    /// The flight is over.
    pub(super) fn keep_flight(&self, flight: KBox<Flight>) {
        self.spare.keep(flight);
    }

    /// Takes the paper for forgets.
    pub(super) fn take_letter(&self) -> Option<Letter> {
        self.letter.lock().take()
    }

    /// Puts it back.
    pub(super) fn return_letter(&self, letter: Letter) {
        *self.letter.lock() = Some(letter);
    }

    fn connection(&self) -> Option<Arc<Connection>> {
        match &*self.user.lock() {
            User::Mount(connection) => Some(connection.clone()),
            User::None | User::Gone => None,
        }
    }

    /// Whether it is mounted.
    pub(crate) fn is_mounted(&self) -> bool {
        matches!(*self.user.lock(), User::Mount(_))
    }

    /// Whether it is mounted by who has this connection.
    pub(crate) fn serves(&self, connection: &Arc<Connection>) -> bool {
        match &*self.user.lock() {
            User::Mount(mine) => Arc::ptr_eq(mine, connection),
            User::None | User::Gone => false,
        }
    }

    /// The device is for this connection from now on.
    ///
    /// # Errors
    ///
    /// `EBUSY` when it is for another, or still has requests of another; `ENODEV` when it is gone.
    fn attach(&self, connection: &Arc<Connection>) -> Result {
        let mut user = self.user.lock();
        match *user {
            User::None if self.out.load(Acquire) == 0 => {
                *user = User::Mount(connection.clone());
                Ok(())
            }
            User::None | User::Mount(_) => Err(EBUSY),
            User::Gone => Err(ENODEV),
        }
    }

    fn release(&self) {
        let old = {
            let mut user = self.user.lock();
            match *user {
                User::Mount(_) => core::mem::replace(&mut *user, User::None),
                User::None | User::Gone => return,
            }
        };
        drop(old);
    }
}

/// The device is not for this connection any more. With `patience`, waits until it has nothing of it;
/// without, or if the caller is killed, it is reset.
pub(super) fn detach(device: &Device<FsDevice>, connection: &Arc<Connection>, patience: bool) {
    if !device.serves(connection) {
        return;
    }
    let idle = || device.out.load(Acquire) == 0;
    if patience {
        // Who is killed does not wait any longer.
        let _ = device.idle.wait(Signals::Killable, Wake::Shared, idle);
    }
    break_off(device, connection);
    device.release();
}

/// Resets the device if it still has requests of this connection.
pub(super) fn break_off(device: &Device<FsDevice>, connection: &Arc<Connection>) {
    if device.serves(connection) && device.out.load(Acquire) > 0 {
        pr_warn!("a virtio-fs device does not answer, and is reset\n");
        device.restart();
    }
}

/// Has a device bring the requests of a connection.
///
/// # Errors
///
/// `EBUSY` when it is mounted; `ENODEV` when it is gone.
pub(crate) fn attach(device: &Arc<Device<FsDevice>>, connection: &Arc<Connection>) -> Result {
    device.attach(connection)?;
    connection.set_carrier(device.clone());
    Ok(())
}

/// Most pages of a request.
pub(crate) fn max_pages(device: &Device<FsDevice>) -> u16 {
    let smallest = device.queues().iter().map(|queue| queue.size()).min();
    let pages = smallest.unwrap_or(0).saturating_sub(OVERHEAD);
    u16::try_from(pages).unwrap_or(u16::MAX)
}

/// The memory of a device in which it can show files. Without it the device can be used all the same.
fn window_of(config: &Config<'_>) -> Option<Arc<Memory>> {
    let (start, len) = config.shared_memory(WINDOW)?;
    let window = Memory::new(start, len);
    if let Err(error) = &window {
        let error = error.to_errno();
        pr_warn!(
            "the DAX window of a virtio-fs device cannot be used: {}\n",
            error
        );
    }
    window.ok()
}

impl Driver for FsDevice {
    const ID: u32 = 26;
    type Shared = Devices;
    type Load = Cargo;
    const FIRST_OF_CPUS: usize = super::HIGH_PRIORITY + 1;

    fn work_queue() -> Option<&'static workqueue::Queue> {
        QUEUE.get()
    }

    fn count_queues(config: &Config<'_>) -> Result<usize> {
        let requests = config.read_u32(REQUEST_QUEUES);
        if requests == 0 {
            pr_err!("a virtio-fs device has no queue for requests\n");
            return Err(EINVAL);
        }
        Ok(requests.min(MAX_REQUEST_QUEUES) as usize + 1)
    }

    fn queue_name(index: usize) -> &'static CStr {
        if index == super::HIGH_PRIORITY {
            c"hiprio"
        } else {
            c"requests"
        }
    }

    fn new(devices: &Arc<Devices>, config: &Config<'_>) -> impl PinInit<Self, Error> {
        let mut bytes = [0; tag::LEN];
        config.read(0, &mut bytes);
        let devices = devices.clone();
        try_pin_init!(Self {
            devices,
            tag: tag::parse(&bytes)
                .inspect_err(|_| pr_err!("a virtio-fs device has no usable tag\n"))?,
            window: window_of(config),
            user <- new_spinlock!(User::None, "fuse_rs::FsDevice::user"),
            last_user <- new_spinlock!(None, "fuse_rs::FsDevice::last_user"),
            letter <- new_spinlock!(Some(Letter::new()?), "fuse_rs::FsDevice::letter"),
            shown <- new_mutex!(None, "fuse_rs::FsDevice::shown"),
            out: Atomic::new(0),
            returned: Atomic::new(0),
            wants: Atomic::new(false),
            idle <- new_wait_queue!("fuse_rs::FsDevice::idle"),
            spare: Spares::new(),
        })
    }

    fn started(device: &Arc<Device<Self>>) -> Result {
        if device.queues().iter().any(|queue| queue.size() < MIN_QUEUE) {
            pr_err!("the queues of a virtio-fs device are too small\n");
            return Err(EINVAL);
        }
        device.devices.add(device)?;
        if let Some(set) = device.devices.set.as_ref() {
            match Shown::new(device, set) {
                Ok(shown) => *device.shown.lock() = Some(shown),
                Err(_) => pr_warn!("a virtio-fs device is not shown in sysfs\n"),
            }
        }
        Ok(())
    }

    fn returned(device: &Arc<Device<Self>>, _queue: usize, cargo: Cargo, written: Option<usize>) {
        match cargo {
            Cargo::Request(mut flight) => {
                flight.land(written);
                device.keep_flight(flight);
                device.remove_one();
            }
            Cargo::Forgets(mut letter) => {
                letter.erase();
                device.return_letter(letter);
            }
            Cargo::Interrupt(interrupt) => {
                if let Some(connection) = device.connection() {
                    interrupt.land(&connection, written);
                }
            }
        }
    }

    fn has_room(device: &Arc<Device<Self>>, _queue: usize) {
        // Who finds that it has given nothing back since has said before that something is wanted.
        device.returned.fetch_add(1, Full);
        if device.wants.load(Relaxed) && device.wants.xchg(false, Full) {
            if let Some(connection) = device.connection() {
                super::bring_all(device, &connection);
            }
        }
    }

    fn removing(device: &Arc<Device<Self>>) {
        device.devices.remove(device);
        let shown = device.shown.lock().take();
        drop(shown);
        let old = core::mem::replace(&mut *device.user.lock(), User::Gone);
        if let User::Mount(connection) = old {
            connection.end(End::Aborted);
            *device.last_user.lock() = Some(connection);
        }
    }

    fn removed(device: &Arc<Device<Self>>) {
        let last_user = device.last_user.lock().take();
        if let Some(window) = &device.window {
            window.take_away(|| {
                if let Some(connection) = &last_user {
                    connection.leave_window();
                }
            });
        }
    }

    fn lost(device: &Arc<Device<Self>>, cargo: Cargo) {
        match cargo {
            Cargo::Request(mut flight) => {
                flight.lose();
                device.keep_flight(flight);
                device.remove_one();
            }
            Cargo::Forgets(mut letter) => {
                letter.erase();
                device.return_letter(letter);
            }
            Cargo::Interrupt(_) => {}
        }
    }
}
