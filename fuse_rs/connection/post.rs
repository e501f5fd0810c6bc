// SPDX-License-Identifier: GPL-2.0

//! Requests that are not waited for where they are made.

use super::call::Envelope;
use super::payload::Payload;
use super::reply::Reply;
use super::reply::ReplyBuffer;
use super::request::Completion;
use super::request::GiveBack;
use super::request::Parts;
use super::request::RequestMemory;
use super::Connection;
use crate::prelude::*;
use fuse_pure::abi::ids::Unique;
use fuse_pure::op::Operation;

/// Whether somebody waits for the end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Nobody: it may have to wait its turn among others like it.
    Background,
    /// Somebody, elsewhere.
    Foreground,
}

/// A request that is not waited for where it is made.
pub(crate) struct Post {
    urgency: Urgency,
    data: Option<Payload>,
    buffer: Option<ReplyBuffer>,
    completion: KBox<dyn Completion>,
}

impl Post {
    /// With a body only, and a reply of its shape.
    pub(crate) fn new(urgency: Urgency, completion: KBox<dyn Completion>) -> Self {
        Self {
            urgency,
            data: None,
            buffer: None,
            completion,
        }
    }

    /// With data behind the body.
    pub(crate) fn with_data(self, data: Payload) -> Self {
        Self {
            data: Some(data),
            ..self
        }
    }

    /// The reply goes into `buffer`.
    pub(crate) fn into_buffer(self, buffer: ReplyBuffer) -> Self {
        Self {
            buffer: Some(buffer),
            ..self
        }
    }
}

/// A completion for requests whose answer does not matter.
pub(crate) struct Ignore;

impl Ignore {
    /// For a request in the background. Allocates nothing, so it does not fail.
    pub(crate) fn the_answer() -> Result<Post> {
        let done: KBox<dyn Completion> = KBox::new(Self, GFP_KERNEL)?;
        Ok(Post::new(Urgency::Background, done))
    }
}

impl Completion for Ignore {
    fn complete(&mut self, _: &Arc<Connection>, _: Result<Reply>) {}
}

impl Connection {
    /// Makes a request that is not waited for here.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, in which case `completion` has been dropped without being run. Later errors go
    /// to it.
    pub(crate) fn post<O: Operation>(
        self: &Arc<Self>,
        op: &O,
        envelope: Envelope<'_>,
        post: Post,
    ) -> Result {
        self.post_with(op, envelope, post, None)
    }

    /// Sends the server something that it does not answer, under an id of its own choice.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn tell_server<O: Operation>(
        self: &Arc<Self>,
        op: &O,
        envelope: Envelope<'_>,
        unique: Unique,
        data: Payload,
    ) -> Result {
        let parts = Parts {
            unique,
            opcode: O::OPCODE,
            shape: op.shape(),
            data: Some(data),
            buffer: ReplyBuffer::for_shape(op.shape())?,
            completion: Some(KBox::new(Ignore, GFP_KERNEL)?),
            give_back: GiveBack::default(),
            kept: envelope.keep(self),
        };
        let request = self.new_request(op, envelope, parts, None)?;
        self.submit(&request);
        Ok(())
    }

    /// As [`Connection::post`], in memory that is there already: for a body that fits it, by the
    /// kernel, this does not fail.
    pub(crate) fn post_with<O: Operation>(
        self: &Arc<Self>,
        op: &O,
        envelope: Envelope<'_>,
        post: Post,
        memory: Option<RequestMemory>,
    ) -> Result {
        let Post {
            urgency,
            data,
            buffer,
            completion,
        } = post;
        let shape = op.shape();
        let parts = Parts {
            unique: self.unique(),
            opcode: O::OPCODE,
            shape,
            data,
            buffer: match buffer {
                Some(buffer) => buffer,
                None => ReplyBuffer::for_shape(shape)?,
            },
            completion: Some(completion),
            give_back: GiveBack::default(),
            kept: envelope.keep(self),
        };
        let request = self.new_request(op, envelope, parts, memory)?;
        match urgency {
            Urgency::Background => self.enqueue_background(request),
            Urgency::Foreground => self.submit(&request),
        }
        Ok(())
    }
}
