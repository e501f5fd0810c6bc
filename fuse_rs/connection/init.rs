// SPDX-License-Identifier: GPL-2.0

//! The handshake.

use super::call::Envelope;
use super::post::Post;
use super::post::Urgency;
use super::reply::Reply;
use super::request::Completion;
use super::Connection;
use crate::prelude::*;
use fuse_pure::logic::negotiate::Negotiated;
use fuse_pure::logic::negotiate::Offer;
use fuse_pure::logic::negotiate::Refusal;
use fuse_pure::op::init::Init;
use fuse_pure::op::Operation;

/// Wants to know what has been agreed upon, before anybody makes use of it.
pub(crate) trait Agreement: Send {
    /// These are the terms. Must not wait for the server.
    fn agreed(&self, terms: &Negotiated);
}

struct InitDone {
    offer: Offer,
    agreement: KBox<dyn Agreement>,
}

impl InitDone {
    fn judge(&self, answer: Result<Reply>) -> Result<Negotiated> {
        let reply = answer?;
        let op = Init { offer: self.offer };
        match op.parse(reply.body()) {
            Ok(Ok(terms)) => Ok(terms),
            Ok(Err(refusal)) => {
                match refusal {
                    Refusal::Short => warn_ratelimited!("INIT reply is too short\n"),
                    Refusal::Major(major) => {
                        warn_ratelimited!("server speaks protocol {}, we speak 7\n", major)
                    }
                    Refusal::MappedIds => {
                        warn_ratelimited!("ALLOW_IDMAP needs the option default_permissions\n")
                    }
                    Refusal::Minor(minor) => {
                        warn_ratelimited!(
                            "server speaks protocol 7.{}, oldest served is 7.12\n",
                            minor
                        )
                    }
                }
                Err(EPROTO)
            }
            Err(_) => Err(EIO),
        }
    }
}

impl Completion for InitDone {
    fn complete(&mut self, connection: &Arc<Connection>, answer: Result<Reply>) {
        match self.judge(answer) {
            Ok(terms) => {
                connection
                    .background
                    .lock()
                    .set_limits(terms.max_background, terms.congestion_threshold);
                self.agreement.agreed(&terms);
                connection.set_terms(terms);
                connection.start_background();
            }
            Err(_) => connection.refuse(),
        }
    }
}

impl Connection {
    /// Sends INIT; everything else waits for its answer.
    pub(crate) fn send_init(
        self: &Arc<Self>,
        offer: Offer,
        agreement: KBox<dyn Agreement>,
    ) -> Result {
        let op = Init { offer };
        let envelope = Envelope::about_nothing();
        let done = KBox::new(InitDone { offer, agreement }, GFP_KERNEL)?;
        // It must not wait for its own end.
        self.post(&op, envelope, Post::new(Urgency::Foreground, done))
    }
}
