// SPDX-License-Identifier: GPL-2.0

//! Servers behind a virtio device: virtio-fs.
//!
//! The first queue of a device is for forgets and interrupts, the others are for requests. What does
//! not fit a queue stays in those of the connection, in their order, until the device gives something
//! back. The layout of the configuration and the use of the queues are from the virtio specification,
//! section 5.11, and uapi/linux/virtio_fs.h.

mod cargo;
pub(crate) mod device;
mod shown;
mod tag;

use crate::connection::carrier::Carrier;
use crate::connection::carrier::InHand;
use crate::connection::Connection;
use crate::prelude::*;
use cargo::Cargo;
use cargo::Interrupt;
use device::FsDevice;
use kernel_glue::virtio::driver::Device;
use kernel_glue::virtio::queue::Refusal;

/// The queue for forgets and interrupts.
const HIGH_PRIORITY: usize = 0;

/// What has been brought.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Brought {
    /// Something.
    Something,
    /// Nothing yet: it is to be tried again.
    NothingYet,
    /// Nothing: there is nothing, or no room for it. If that, the device [wants](FsDevice::want) it.
    Nothing,
}

impl Carrier for Device<FsDevice> {
    fn bring(&self, connection: &Arc<Connection>, request: InHand<'_>) {
        // Whoever queues one brings one.
        let mut brought = bring_request(self, connection, request);
        while brought == Brought::NothingYet {
            brought = bring_next(self, connection);
        }
    }

    fn fetch_others(&self, connection: &Connection) {
        while bring_interrupt(self, connection) != Brought::Nothing {}
        while bring_forgets(self, connection) != Brought::Nothing {}
    }

    fn break_off(&self, connection: &Arc<Connection>) {
        device::break_off(self, connection);
    }

    fn part(&self, connection: &Arc<Connection>, patience: bool) {
        device::detach(self, connection, patience);
    }
}

/// Brings all that the device has room for.
fn bring_all(device: &Device<FsDevice>, connection: &Arc<Connection>) {
    device.fetch_others(connection);
    while bring_next(device, connection) != Brought::Nothing {}
}

/// Gives the next request to the device.
fn bring_next(device: &Device<FsDevice>, connection: &Arc<Connection>) -> Brought {
    match connection.next_to_carry() {
        Some(request) => bring_request(device, connection, request),
        None => Brought::Nothing,
    }
}

/// Gives a request to the device.
fn bring_request(
    device: &Device<FsDevice>,
    connection: &Arc<Connection>,
    request: InHand<'_>,
) -> Brought {
    let Some((request, carried)) = connection.carry(request) else {
        return Brought::NothingYet;
    };
    let returned = device.returned_so_far();
    let (Some(queue), Ok(mut flight)) = (device.queue_here(), device.spare_flight()) else {
        connection.return_carried(request, carried);
        device.want();
        if let Some(queue) = device.queue_here() {
            queue.retry_later();
        }
        return Brought::Nothing;
    };
    if let Err(error) = flight.take_off(connection, request, carried) {
        flight.end(Err(error));
        device.keep_flight(flight);
        return Brought::NothingYet;
    }
    device.add_one();
    let Err((refusal, cargo)) = queue.add(Cargo::Request(flight)) else {
        return Brought::Something;
    };
    device.remove_one();
    let Cargo::Request(mut flight) = cargo else {
        return Brought::Nothing;
    };
    match refusal {
        Refusal::Full => {
            flight.put_back();
            device.keep_flight(flight);
            return no_room(device, returned);
        }
        Refusal::TooLong => flight.end(Err(EIO)),
        Refusal::Gone => flight.end(Err(ENOTCONN)),
    }
    device.keep_flight(flight);
    Brought::NothingYet
}

/// The device had no room when it had given so much back.
fn no_room(device: &FsDevice, returned: u64) -> Brought {
    device.want();
    // What it has given back meanwhile may have found that nothing is wanted.
    if device.returned_so_far() != returned {
        Brought::NothingYet
    } else {
        Brought::Nothing
    }
}

/// Tells the device that a request was interrupted.
fn bring_interrupt(device: &Device<FsDevice>, connection: &Connection) -> Brought {
    let returned = device.returned_so_far();
    let Some(request) = connection.interrupt_to_carry() else {
        return Brought::Nothing;
    };
    let (Some(queue), Ok(interrupt)) =
        (device.queues().get(HIGH_PRIORITY), Interrupt::new(&request))
    else {
        return Brought::Nothing;
    };
    match queue.add(Cargo::Interrupt(interrupt)) {
        Err((Refusal::Full, _)) => {
            connection.return_interrupt(request);
            no_room(device, returned)
        }
        _ => Brought::Something,
    }
}

/// Gives forgets to the device, if it does not have some already.
fn bring_forgets(device: &Device<FsDevice>, connection: &Connection) -> Brought {
    let returned = device.returned_so_far();
    let (Some(queue), Some(mut letter)) =
        (device.queues().get(HIGH_PRIORITY), device.take_letter())
    else {
        return no_room(device, returned);
    };
    if letter.is_empty() {
        let nodes = connection.forgets_to_carry(letter.room(connection));
        // Cannot fail: there are not more than there is room for.
        let _ = letter.write(connection, nodes);
    }
    if letter.is_empty() {
        device.return_letter(letter);
        // Whoever queued some meanwhile found no letter.
        return if connection.has_forgets() {
            Brought::NothingYet
        } else {
            Brought::Nothing
        };
    }
    match queue.add(Cargo::Forgets(letter)) {
        Ok(()) => Brought::Something,
        Err((refusal, cargo)) => {
            if let Cargo::Forgets(letter) = cargo {
                // Later, as it is.
                device.return_letter(letter);
            }
            match refusal {
                Refusal::Full => no_room(device, returned),
                Refusal::TooLong | Refusal::Gone => Brought::Nothing,
            }
        }
    }
}
