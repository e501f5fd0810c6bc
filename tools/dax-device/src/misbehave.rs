// SPDX-License-Identifier: GPL-2.0
//! Wrong answers on demand, for tests of drivers. The guest orders them by looking up a name:
//! `misbehave,KIND,OPCODE[,COUNT]` spoils the next replies to requests of that opcode.

use std::sync::Mutex;
use std::time::Duration;

use crate::wire::{self, Header, OPCODES};

/// Where the flags of the attributes are in the reply to a LOOKUP.
const ENTRY_FLAGS: usize = wire::OUT_HEADER + 40 + 84;

/// How a reply is spoiled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// The length given back with the descriptors is zero, less than the reply's, or more than the
    /// room for it.
    UsedZero,
    UsedShort,
    UsedLong,
    /// The reply is for a request that does not exist.
    Unique,
    /// The error is no errno: positive, or too large.
    ErrorPositive,
    ErrorHuge,
    /// The length in the header is less than the reply's, or more.
    LenShort,
    LenLong,
    /// The reply lacks its second half, or is as long as there is room, and says so.
    Cut,
    Grow,
    /// Of an entry, it says that it is the root of another file system if it is none, and the other
    /// way round.
    Submount,
    /// There is no reply, ever.
    Silent,
    /// The reply comes after so many milliseconds; other requests are served meanwhile.
    Late(u64),
}

impl Kind {
    fn parse(text: &str) -> Option<Self> {
        if let Some(millis) = text.strip_prefix("late=") {
            return millis.parse().ok().map(Kind::Late);
        }
        let kinds = [
            ("used-zero", Kind::UsedZero),
            ("used-short", Kind::UsedShort),
            ("used-long", Kind::UsedLong),
            ("unique", Kind::Unique),
            ("error-positive", Kind::ErrorPositive),
            ("error-huge", Kind::ErrorHuge),
            ("len-short", Kind::LenShort),
            ("len-long", Kind::LenLong),
            ("cut", Kind::Cut),
            ("grow", Kind::Grow),
            ("submount", Kind::Submount),
            ("silent", Kind::Silent),
        ];
        kinds.iter().find(|kind| kind.0 == text).map(|kind| kind.1)
    }
}

/// What the guest gets for a request.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub reply: Vec<u8>,
    /// The length that is given back with the descriptors.
    pub used: u32,
    pub delay: Duration,
}

impl Answer {
    /// An honest one.
    pub fn new(reply: Vec<u8>, room: usize) -> Self {
        let used = reply.len().min(room) as u32;
        Answer {
            reply,
            used,
            delay: Duration::ZERO,
        }
    }

    /// The same, spoiled. None if there shall be no answer.
    fn spoiled(mut self, kind: Kind, room: usize) -> Option<Self> {
        let set_len =
            |reply: &mut [u8], len: usize| wire::put(reply, 0, &(len as u32).to_le_bytes());
        let set_error = |reply: &mut [u8], error: i32| wire::put(reply, 4, &error.to_le_bytes());
        let len = self.reply.len();
        match kind {
            Kind::UsedZero => self.used = 0,
            Kind::UsedShort => self.used = self.used.saturating_sub(4),
            Kind::UsedLong => {
                self.used = u32::try_from(room).unwrap_or(u32::MAX).saturating_add(4096)
            }
            Kind::Unique => wire::put(&mut self.reply, 8, &u64::MAX.to_le_bytes()),
            Kind::ErrorPositive => set_error(&mut self.reply, libc::EIO),
            Kind::ErrorHuge => set_error(&mut self.reply, -100_000),
            Kind::LenShort => set_len(&mut self.reply, len.saturating_sub(4)),
            Kind::LenLong => set_len(&mut self.reply, len + 4096),
            Kind::Cut => self.resize(wire::OUT_HEADER + len.saturating_sub(wire::OUT_HEADER) / 2),
            Kind::Grow => self.resize(room),
            Kind::Submount => {
                if let Some(flags) = self.reply.get_mut(ENTRY_FLAGS) {
                    *flags ^= 1;
                }
            }
            Kind::Silent => return None,
            Kind::Late(millis) => self.delay = Duration::from_millis(millis),
        }
        Some(self)
    }

    fn resize(&mut self, len: usize) {
        self.reply.resize(len, 0x5a);
        wire::put(&mut self.reply, 0, &(len as u32).to_le_bytes());
        self.used = len as u32;
    }
}

struct Order {
    kind: Kind,
    opcode: u32,
    count: u64,
}

/// What the guest has ordered and not got yet.
#[derive(Default)]
pub struct Misbehaviour(Mutex<Vec<Order>>);

impl Misbehaviour {
    /// Takes an order, if the request is one, and returns the reply to it: there is no such name.
    pub fn order(&self, request: &[u8]) -> Option<Vec<u8>> {
        let header = Header::of(request).filter(|header| header.opcode == wire::LOOKUP)?;
        let name = request[wire::IN_HEADER..].strip_suffix(&[0])?;
        let order = Self::parse(std::str::from_utf8(name).ok()?)?;
        log::info!(
            "ordered: {:?} for opcode {}, {} times",
            order.kind,
            order.opcode,
            order.count
        );
        self.0.lock().unwrap().push(order);
        Some(wire::status(header.unique, libc::ENOENT))
    }

    fn parse(name: &str) -> Option<Order> {
        let mut words = name.strip_prefix("misbehave,")?.split(',');
        let kind = Kind::parse(words.next()?)?;
        let opcode = words.next()?;
        let opcode = OPCODES.iter().find(|known| known.1 == opcode)?.0;
        let count = words.next().map_or(Some(1), |count| count.parse().ok())?;
        Some(Order {
            kind,
            opcode,
            count,
        })
    }

    /// Spoils a reply if that was ordered. None if there shall be none.
    pub fn spoil(&self, request: &[u8], answer: Answer, room: usize) -> Option<Answer> {
        match Header::of(request).and_then(|header| self.next(header.opcode)) {
            Some(kind) => answer.spoiled(kind, room),
            None => Some(answer),
        }
    }

    fn next(&self, opcode: u32) -> Option<Kind> {
        let mut orders = self.0.lock().unwrap();
        let order = orders.iter_mut().find(|order| order.opcode == opcode)?;
        let kind = order.kind;
        order.count = order.count.saturating_sub(1);
        orders.retain(|order| order.count > 0);
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 200;

    fn lookup(name: &str) -> Vec<u8> {
        let mut request = vec![0; wire::IN_HEADER];
        wire::put(&mut request, 4, &wire::LOOKUP.to_le_bytes());
        request.extend(name.as_bytes());
        request.push(0);
        request
    }

    fn spoil(kind: &str) -> Option<Answer> {
        let misbehaviour = Misbehaviour::default();
        assert!(misbehaviour
            .order(&lookup(&format!("misbehave,{kind},LOOKUP")))
            .is_some());
        let mut reply = wire::status(5, 0);
        reply.resize(100, 0);
        wire::put(&mut reply, 0, &100u32.to_le_bytes());
        let spoiled = misbehaviour.spoil(&lookup("x"), Answer::new(reply.clone(), ROOM), ROOM);
        let next = misbehaviour.spoil(&lookup("x"), Answer::new(reply.clone(), ROOM), ROOM);
        assert_eq!(
            next,
            Some(Answer::new(reply, ROOM)),
            "the order is for one reply"
        );
        spoiled
    }

    fn len(answer: &Answer) -> u32 {
        wire::u32_at(&answer.reply, 0).unwrap()
    }

    #[test]
    fn each_kind_is_wrong_in_its_way() {
        let wrong = |kind| spoil(kind).unwrap();
        assert_eq!(wrong("used-zero").used, 0);
        assert_eq!(wrong("used-short").used, 96);
        assert!(wrong("used-long").used > ROOM as u32);
        assert_eq!(wire::u64_at(&wrong("unique").reply, 8), Some(u64::MAX));
        assert_eq!(wire::u32_at(&wrong("error-positive").reply, 4), Some(5));
        assert_eq!(
            wire::u32_at(&wrong("error-huge").reply, 4),
            Some(-100_000i32 as u32)
        );
        assert_eq!(
            (len(&wrong("len-short")), len(&wrong("len-long"))),
            (96, 4196)
        );
        assert_eq!((len(&wrong("cut")), wrong("cut").used), (58, 58));
        assert_eq!((len(&wrong("grow")), wrong("grow").used), (200, 200));
        assert_eq!(spoil("silent"), None);
        assert_eq!(wrong("late=30").delay, Duration::from_millis(30));
    }

    #[test]
    fn other_names_are_no_orders() {
        let misbehaviour = Misbehaviour::default();
        for name in [
            "file",
            "misbehave",
            "misbehave,what,READ",
            "misbehave,cut,WHAT",
        ] {
            assert!(misbehaviour.order(&lookup(name)).is_none(), "{name}");
        }
        assert!(misbehaviour
            .order(&lookup("misbehave,cut,READ,many"))
            .is_none());
    }

    #[test]
    fn an_order_may_be_for_many_replies() {
        let misbehaviour = Misbehaviour::default();
        misbehaviour.order(&lookup("misbehave,silent,LOOKUP,2"));
        let spoil =
            || misbehaviour.spoil(&lookup("x"), Answer::new(wire::status(1, 0), ROOM), ROOM);
        assert_eq!((spoil(), spoil()), (None, None));
        assert!(spoil().is_some());
    }
}
