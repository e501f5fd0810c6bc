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
use crate::connection::Connection;
use crate::prelude::*;
use cargo::Cargo;
use cargo::Flight;
use cargo::Interrupt;
use device::FsDevice;
use kernel_glue::virtio::driver::Device;
use kernel_glue::virtio::queue::Refusal;

/// The queue for forgets and interrupts.
const HIGH_PRIORITY: usize = 0;

/// Whether there may be more to bring.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// There may.
    Maybe,
    /// There is not, or there is no room for it.
    No,
}

impl Carrier for Device<FsDevice> {
    fn fetch_requests(&self, connection: &Arc<Connection>) {
        while bring_request(self, connection) == Next::Maybe {}
    }

    fn fetch_others(&self, connection: &Connection) {
        while bring_interrupt(self, connection) == Next::Maybe {}
        while bring_forgets(self, connection) == Next::Maybe {}
    }

    fn part(&self, connection: &Arc<Connection>, patience: bool) {
        device::detach(self, connection, patience);
    }
}

/// Gives the next request to the device.
fn bring_request(device: &Device<FsDevice>, connection: &Arc<Connection>) -> Next {
    // Whoever ends the connection waits until the request is in a queue again.
    let work = connection.work();
    let Some(request) = connection.next_to_carry() else {
        return Next::No;
    };
    let Some(carried) = connection.carry(&request) else {
        return Next::Maybe;
    };
    drop(work);
    let returned = device.returned_so_far();
    let (Some(queue), Ok(place)) = (device.queue_here(), Flight::place()) else {
        connection.return_carried(request, carried);
        if let Some(queue) = device.queue_here() {
            queue.retry_later();
        }
        return Next::No;
    };
    let flight = match Flight::new(place, connection, request, carried) {
        Ok(flight) => flight,
        Err((flight, error)) => {
            Flight::end(flight, Err(error));
            return Next::Maybe;
        }
    };
    device.add_one();
    let Err((refusal, cargo)) = queue.add(Cargo::Request(flight)) else {
        return Next::Maybe;
    };
    device.remove_one();
    let Cargo::Request(flight) = cargo else {
        return Next::No;
    };
    match refusal {
        Refusal::Full => {
            Flight::put_back(flight);
            // What the device has given back meanwhile may have found nothing to bring.
            if device.returned_so_far() != returned {
                Next::Maybe
            } else {
                Next::No
            }
        }
        Refusal::TooLong => {
            Flight::end(flight, Err(EIO));
            Next::Maybe
        }
        Refusal::Gone => {
            Flight::end(flight, Err(ENOTCONN));
            Next::Maybe
        }
    }
}

/// Tells the device that a request was interrupted.
fn bring_interrupt(device: &Device<FsDevice>, connection: &Connection) -> Next {
    let Some(request) = connection.interrupt_to_carry() else {
        return Next::No;
    };
    let (Some(queue), Ok(interrupt)) =
        (device.queues().get(HIGH_PRIORITY), Interrupt::new(&request))
    else {
        return Next::No;
    };
    match queue.add(Cargo::Interrupt(interrupt)) {
        Err((Refusal::Full, _)) => {
            connection.return_interrupt(request);
            Next::No
        }
        _ => Next::Maybe,
    }
}

/// Gives forgets to the device, if it does not have some already.
fn bring_forgets(device: &Device<FsDevice>, connection: &Connection) -> Next {
    let Some(mut letter) = device.take_letter() else {
        return Next::No;
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
            Next::Maybe
        } else {
            Next::No
        };
    }
    if let Some(queue) = device.queues().get(HIGH_PRIORITY) {
        if let Err((_, Cargo::Forgets(letter))) = queue.add(Cargo::Forgets(letter)) {
            // Later, as it is.
            device.return_letter(letter);
        }
    }
    Next::No
}
