// SPDX-License-Identifier: GPL-2.0
//! vhost-user and virtqueues: takes requests out of the guest's memory, and puts replies in.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserShMemConfig};
use vhost::vhost_user::{Backend, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackend, VringRwLock, VringT};
use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::{DescriptorChain, QueueT, Reader, Writer};
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryLoadGuard, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{
    new_event_consumer_and_notifier, EventConsumer, EventFlag, EventNotifier,
};

use crate::misbehave::{Answer, Misbehaviour};
use crate::passthrough::Memory;
use crate::session::Session;

type GuestMemory = GuestMemoryAtomic<GuestMemoryMmap>;
type Chain = DescriptorChain<GuestMemoryLoadGuard<GuestMemoryMmap>>;

/// A WRITE of the largest size has a header, its arguments, and data of this length.
const LARGEST_REQUEST: usize = (1 << 20) + 4096;
/// Bytes of the tag in the configuration space.
const TAG: usize = 36;

/// What a queue's thread needs.
struct Queue {
    memory: Mutex<Memory>,
    /// Grows each time the queue is stopped: a reply to a request from before goes nowhere. The lock
    /// is held while the guest's memory is used.
    stops: Mutex<u64>,
}

/// A request that was taken from a queue.
struct Taken {
    chain: Chain,
    request: Vec<u8>,
    room: usize,
    stops: u64,
}

impl Queue {
    /// Gives a request back with its reply.
    fn give(
        &self,
        vring: &VringRwLock<GuestMemory>,
        taken: &Taken,
        answer: &Answer,
    ) -> io::Result<()> {
        let stops = self.stops.lock().unwrap();
        if *stops != taken.stops {
            return Ok(());
        }
        let head = taken.chain.head_index();
        let reply = &answer.reply[..answer.reply.len().min(taken.room)];
        let memory = taken.chain.memory();
        let mut writer = Writer::new(memory, taken.chain.clone()).map_err(io::Error::other)?;
        writer.write_all(reply)?;
        vring
            .add_used(head, answer.used)
            .map_err(io::Error::other)?;
        if vring.needs_notification().map_err(io::Error::other)? {
            vring.signal_used_queue()?;
        }
        Ok(())
    }
}

/// The device.
pub struct Device {
    session: Session,
    config: Vec<u8>,
    queue_size: u16,
    queues: Vec<Arc<Queue>>,
    misbehaviour: Option<Misbehaviour>,
    guest: OnceLock<GuestMemory>,
}

impl Device {
    /// A device with so many request queues, beside the one for urgent requests.
    pub fn new(session: Session, tag: &str, requests: u32, queue_size: u16) -> io::Result<Self> {
        let mut config = tag.as_bytes().to_vec();
        config.resize(TAG, 0);
        config.extend(requests.to_le_bytes());
        let queue = || {
            Ok(Arc::new(Queue {
                memory: Mutex::new(Memory::new()?),
                stops: Mutex::new(0),
            }))
        };
        Ok(Device {
            session,
            config,
            queue_size,
            // A device that says it has no request queue still has one, for QEMU.
            queues: (0..=requests.max(1))
                .map(|_| queue())
                .collect::<io::Result<_>>()?,
            misbehaviour: None,
            guest: OnceLock::new(),
        })
    }

    /// Lets the guest order wrong answers.
    pub fn misbehave(&mut self) {
        self.misbehaviour = Some(Misbehaviour::default());
    }

    /// Takes the next request that is available.
    fn take(&self, queue: &Queue, vring: &VringRwLock<GuestMemory>) -> io::Result<Option<Taken>> {
        let guest = self
            .guest
            .get()
            .ok_or_else(|| io::Error::other("the guest has no memory"))?;
        let stops = queue.stops.lock().unwrap();
        let memory = guest.memory();
        let next = vring
            .get_mut()
            .get_queue_mut()
            .pop_descriptor_chain(memory.clone());
        let Some(chain) = next else {
            return Ok(None);
        };
        let mut request = Vec::new();
        let reader = Reader::new(&*memory, chain.clone()).map_err(io::Error::other)?;
        reader
            .take(LARGEST_REQUEST as u64)
            .read_to_end(&mut request)?;
        let writer = Writer::new(&*memory, chain.clone()).map_err(io::Error::other)?;
        let room = writer.available_bytes();
        Ok(Some(Taken {
            chain,
            request,
            room,
            stops: *stops,
        }))
    }

    /// Serves a request, unless it is an order to misbehave.
    fn answer(
        &self,
        queue: &Arc<Queue>,
        vring: &VringRwLock<GuestMemory>,
        memory: &mut Memory,
        taken: Taken,
    ) -> io::Result<()> {
        let (request, room) = (&taken.request, taken.room);
        let serve = |memory| Answer::new(self.session.serve(memory, request, room), room);
        let Some(misbehaviour) = &self.misbehaviour else {
            return queue.give(vring, &taken, &serve(memory));
        };
        if let Some(reply) = misbehaviour.order(request) {
            return queue.give(vring, &taken, &Answer::new(reply, room));
        }
        let Some(answer) = misbehaviour.spoil(request, serve(memory), room) else {
            return Ok(());
        };
        if answer.delay.is_zero() {
            return queue.give(vring, &taken, &answer);
        }
        let (queue, vring) = (queue.clone(), vring.clone());
        thread::spawn(move || {
            thread::sleep(answer.delay);
            if let Err(error) = queue.give(&vring, &taken, &answer) {
                log::error!("a late answer: {error}");
            }
        });
        Ok(())
    }

    /// Serves a queue until it is empty.
    fn serve(&self, queue: &Arc<Queue>, vring: &VringRwLock<GuestMemory>) -> io::Result<()> {
        let mut memory = queue.memory.lock().unwrap();
        loop {
            vring.disable_notification().map_err(io::Error::other)?;
            while let Some(taken) = self.take(queue, vring)? {
                self.answer(queue, vring, &mut memory, taken)?;
            }
            if !vring.enable_notification().map_err(io::Error::other)? {
                return Ok(());
            }
        }
    }
}

impl VhostUserBackend for Device {
    type Bitmap = ();
    type Vring = VringRwLock<GuestMemory>;

    fn num_queues(&self) -> usize {
        self.queues.len()
    }

    fn max_queue_size(&self) -> usize {
        self.queue_size.into()
    }

    fn features(&self) -> u64 {
        1 << VIRTIO_F_VERSION_1
            | 1 << VIRTIO_RING_F_INDIRECT_DESC
            | 1 << VIRTIO_RING_F_EVENT_IDX
            | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        let mut features = VhostUserProtocolFeatures::CONFIG
            | VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::REPLY_ACK
            | VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS;
        if !self.session.window.is_empty() {
            features |= VhostUserProtocolFeatures::BACKEND_REQ
                | VhostUserProtocolFeatures::BACKEND_SEND_FD
                | VhostUserProtocolFeatures::SHARED_OBJECT
                | VhostUserProtocolFeatures::SHMEM;
        }
        features
    }

    fn set_event_idx(&self, _enabled: bool) {}

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let mut config: Vec<u8> = self.config.iter().copied().skip(offset as usize).collect();
        config.resize(size as usize, 0);
        config
    }

    fn update_memory(&self, memory: GuestMemory) -> io::Result<()> {
        // It is the same object each time, with other contents.
        self.guest.get_or_init(|| memory);
        Ok(())
    }

    fn set_backend_req_fd(&self, backend: Backend) {
        self.session.window.connect(Box::new(backend));
    }

    fn get_shmem_config(&self) -> io::Result<VhostUserShMemConfig> {
        Ok(VhostUserShMemConfig::new(1, &[self.session.window.len()]))
    }

    fn queues_per_thread(&self) -> Vec<u64> {
        (0..self.queues.len()).map(|queue| 1 << queue).collect()
    }

    fn exit_event(&self, _thread: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    fn stop_vring(&self, index: u32) -> io::Result<()> {
        if let Some(queue) = self.queues.get(index as usize) {
            *queue.stops.lock().unwrap() += 1;
        }
        if index == 0 {
            self.session.window.reset();
        }
        Ok(())
    }

    fn handle_event(
        &self,
        event: u16,
        _events: EventSet,
        vrings: &[Self::Vring],
        thread: usize,
    ) -> io::Result<()> {
        let (Some(queue), Some(vring)) = (self.queues.get(thread), vrings.get(event as usize))
        else {
            return Err(io::Error::other(format!(
                "queue {thread} has no event {event}"
            )));
        };
        // A queue that cannot be served is left alone; the others go on.
        if let Err(error) = self.serve(queue, vring) {
            log::error!("queue {thread}: {error}");
        }
        Ok(())
    }
}
