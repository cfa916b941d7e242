//! One connection: what comes in is cut into messages for the driver, what the driver gives goes
//! out, and what takes too long or too much ends it.
//!
//! Invariants: a connection waits for the driver rather than lose a message, and waits for its
//! peer with its memory bounded by the framer's limits, the queue and the budget; what was given
//! to it and did not leave is told when it ends. Reading and writing go on side by side.

mod ending;

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
    time::{Instant, Sleep, sleep_until},
};

use self::ending::End;
pub(super) use self::ending::finish;
use super::{Event, Outgoing, Received, Shared, budget::Share, refuse};
use crate::{
    core::{Flow, Transport},
    net::framer::{Framer, Item},
};

/// Bytes that are read at once; one buffer serves all connections of the thread.
const READ_MAX: usize = 16 * 1024;
/// Bytes of messages that are written together.
const WRITE_TOGETHER: usize = 16 * 1024;
/// What a connection, and a message that waits, holds of its own, outside the budget.
const OWN: usize = 4 * 1024;
/// Ways that are remembered, to be told when the connection ends.
const WAYS_MAX: usize = 16;

thread_local! {
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_MAX].into_boxed_slice());
}

/// A connection whose stream is ready for messages.
pub(super) struct Connection<S> {
    stream: S,
    flow: Flow,
    shared: Arc<Shared>,
    framer: Framer,
    queue: mpsc::Receiver<Box<Outgoing>>,
    events: mpsc::Sender<Event>,
    /// What the framer holds beyond `OWN`.
    incoming: Share,
    /// What is being written, and how far it is.
    writing: Vec<u8>,
    written: usize,
    unflushed: bool,
    /// The share of what is being written, and of how many messages that is.
    leaving: Share,
    messages: usize,
    /// The ways that led here: its own, and those that were asked for without a connection.
    ways: Vec<Flow>,
    /// When the last message or keep-alive went by.
    active: Instant,
    /// Since when a message is expected to become whole.
    begun: Option<Instant>,
    /// Since when a message is being written.
    stuck: Option<Instant>,
    alarm: Pin<Box<Sleep>>,
}

/// What a look at the stream gives.
enum Step {
    /// The framer has more bytes.
    Received,
    /// It is over.
    End(End),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection; `accepted` ones owe a message from the start.
    pub(super) fn new(
        stream: S,
        flow: Flow,
        accepted: bool,
        shared: Arc<Shared>,
        queue: mpsc::Receiver<Box<Outgoing>>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let now = Instant::now();
        Self {
            stream,
            flow,
            framer: Framer::new(shared.limits),
            queue,
            events,
            incoming: shared.budget.empty(),
            writing: Vec::new(),
            written: 0,
            unflushed: false,
            leaving: shared.budget.empty(),
            messages: 0,
            ways: vec![flow],
            active: now,
            begun: accepted.then_some(now),
            stuck: None,
            alarm: Box::pin(sleep_until(now)),
            shared,
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn run(mut self) {
        let counts = Arc::clone(&self.shared);
        let counts = &counts.counts;
        let there = if self.flow.transport == Transport::Tls { &counts.tls } else { &counts.tcp };
        there.add();
        let end = self.serve().await;
        if matches!(end, End::Told | End::Idle) {
            self.part().await;
        }
        there.less();
        end.count(counts);
        tracing::debug!(flow = ?self.flow, ?end, "connection closed");
        finish(self.flow.connection, self.ways, self.messages, self.queue, &self.events).await;
    }

    async fn serve(&mut self) -> End {
        loop {
            if let Step::End(end) = poll_fn(|context| self.poll(context)).await {
                return end;
            }
            while let Some(item) = self.framer.next() {
                match item {
                    Item::Message(payload) => {
                        self.shared.counts.messages.add();
                        let share = match payload.len() {
                            small if small <= OWN => None,
                            large => match self.shared.budget.share(large) {
                                None => return End::Buffered,
                                share => share,
                            },
                        };
                        let received = Received { flow: self.flow, payload, _share: share };
                        // A full queue makes the peer wait.
                        if self.events.send(Event::Message(received)).await.is_err() {
                            return End::Told;
                        }
                    }
                    Item::Ping => {
                        self.shared.counts.keep_alives.add();
                        // Who takes no answers need not get one for each.
                        if self.writing.len() < WRITE_TOGETHER {
                            self.writing.extend_from_slice(b"\r\n");
                        }
                    }
                    Item::Broken { fault, head } => {
                        self.last_answer(fault, &head).await;
                        return End::Broken;
                    }
                }
                self.active = Instant::now();
                self.begun = None;
            }
            if self.framer.is_inside() {
                self.begun.get_or_insert_with(Instant::now);
            }
            if !self.incoming.resize(self.framer.held().saturating_sub(OWN)) {
                return End::Buffered;
            }
            // A peer that never stops sending keeps the alarm from being looked at.
            if let Some((_, end)) = self.next_alarm().filter(|(at, _)| *at <= Instant::now()) {
                return end;
            }
        }
    }

    /// Moves bytes in both directions, as far as they go.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        if let Poll::Ready(end) = self.poll_write(context) {
            return Poll::Ready(Step::End(end));
        }
        let read = READ.with_borrow_mut(|space| {
            let mut buffer = ReadBuf::new(space);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(error)) => Poll::Ready(Step::End(End::of(&error))),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    Poll::Ready(Step::End(End::Peer))
                }
                Poll::Ready(Ok(())) => {
                    self.framer.push(buffer.filled());
                    Poll::Ready(Step::Received)
                }
            }
        });
        match read {
            Poll::Ready(step) => Poll::Ready(step),
            Poll::Pending => self.poll_alarm(context).map(Step::End),
        }
    }

    /// Takes messages and writes them; ready only when the connection is over.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<End> {
        loop {
            let (mut waits, mut told) = (false, false);
            while !waits && !told && self.writing.len() < WRITE_TOGETHER {
                match self.queue.poll_recv(context) {
                    Poll::Pending => waits = true,
                    Poll::Ready(None) => told = true,
                    Poll::Ready(Some(outgoing)) => self.take(*outgoing),
                }
            }
            let rest = self.writing.get(self.written..).unwrap_or_default();
            if rest.is_empty() {
                if self.unflushed {
                    match Pin::new(&mut self.stream).poll_flush(context) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Err(error)) => return Poll::Ready(End::of(&error)),
                        Poll::Ready(Ok(())) => self.unflushed = false,
                    }
                }
                self.all_written();
                match (told, waits) {
                    (true, _) => return Poll::Ready(End::Told),
                    (false, true) => return Poll::Pending,
                    (false, false) => continue,
                }
            }
            self.stuck.get_or_insert_with(Instant::now);
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(End::Peer),
                Poll::Ready(Err(error)) => return Poll::Ready(End::of(&error)),
                Poll::Ready(Ok(len)) => {
                    self.written = self.written.saturating_add(len);
                    self.unflushed = true;
                }
            }
        }
    }

    fn take(&mut self, outgoing: Outgoing) {
        let Outgoing { asked, payload, share } = outgoing;
        self.writing.extend_from_slice(&payload);
        self.leaving.absorb(share);
        self.messages = self.messages.saturating_add(1);
        // There is one for each served address that is sent from.
        if self.ways.len() < WAYS_MAX && !self.ways.contains(&asked) {
            self.ways.push(asked);
        }
        self.active = Instant::now();
    }

    fn all_written(&mut self) {
        if self.stuck.take().is_none() {
            return;
        }
        (self.writing, self.written) = (Vec::new(), 0);
        self.messages = 0;
        self.leaving.resize(0);
    }

    /// What would have taken too long first, and when.
    fn next_alarm(&self) -> Option<(Instant, End)> {
        let times = [
            (Some(self.active), self.shared.idle, End::Idle),
            (self.begun, self.shared.message_time, End::Slow),
            (self.stuck, self.shared.message_time, End::Stuck),
        ];
        let due = times.into_iter().filter_map(|(since, time, end)| Some((since? + time, end)));
        due.min_by_key(|(at, _)| *at)
    }

    /// Whether something has taken too long.
    fn poll_alarm(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let Some((at, end)) = self.next_alarm() else { return Poll::Pending };
        loop {
            if at <= Instant::now() {
                return Poll::Ready(end);
            }
            // An alarm that is too early is only set anew when it rings.
            if self.alarm.is_elapsed() || at < self.alarm.deadline() {
                self.alarm.as_mut().reset(at);
            }
            if self.alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
