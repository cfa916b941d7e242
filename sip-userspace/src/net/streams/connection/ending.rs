//! How a connection ends: with a last answer, with a farewell, or without either; and that it is
//! told, with the messages that did not leave.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    time::timeout,
};

use super::{Connection, Event, Outgoing, refuse};
use crate::{core::Flow, net::streams::counts::Counts, sip::fault::Fault};

/// How long, and for how many bytes, a peer is listened to after a last answer, lest the answer be
/// lost with them.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 256 * 1024);

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net::streams) enum End {
    /// The peer closed it.
    Peer,
    /// It was silent.
    Idle,
    /// A message did not come in.
    Slow,
    /// A message did not go out.
    Stuck,
    /// A message has no known end.
    Broken,
    /// There is no memory for what it needs.
    Buffered,
    /// The driver told it to.
    Told,
    /// The network said so.
    Error,
}

impl End {
    pub(super) fn count(self, counts: &Counts) {
        match self {
            Self::Peer => counts.by_peer.add(),
            Self::Idle => counts.idle.add(),
            Self::Slow => counts.slow.add(),
            Self::Stuck => counts.stuck.add(),
            Self::Broken => counts.broken.add(),
            Self::Buffered => counts.buffered.add(),
            Self::Told => counts.over_rate.add(),
            Self::Error => counts.error.add(),
        }
    }

    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            // TLS without close_notify, and a peer that is gone: both are its way to close.
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => Self::Peer,
            _ => Self::Error,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Sends what there is for what came before, says what is wrong now, and then no more.
    pub(super) async fn last_answer(&mut self, fault: Option<Fault>, head: &[u8]) {
        let answer = fault.and_then(|fault| refuse::answer(head, fault, self.flow.peer));
        let told = async {
            let ending = Event::Ending { id: self.flow.connection };
            self.events.send(ending).await.map_err(io::Error::other)?;
            while let Some(outgoing) = self.queue.recv().await {
                self.take(*outgoing);
            }
            self.writing.extend_from_slice(&answer.unwrap_or_default());
            let rest = self.writing.get(self.written..).unwrap_or_default();
            self.stream.write_all(rest).await?;
            self.messages = 0;
            self.farewell().await
        };
        let _ = timeout(LINGER.0, told).await;
    }

    /// Says farewell, for as long as that may take.
    pub(super) async fn part(&mut self) {
        // Whether the peer wants to know is its own affair.
        let _ = timeout(LINGER.0, self.farewell()).await;
    }

    /// Sends nothing more, and listens a little longer.
    async fn farewell(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let mut left = LINGER.1;
        let mut space = vec![0; 4096];
        while left > 0 {
            match self.stream.read(&mut space).await? {
                0 => break,
                len => left = left.saturating_sub(len),
            }
        }
        Ok(())
    }
}

/// Tells that a connection is over, by which ways it was used, and that messages did not leave.
pub(in crate::net::streams) async fn finish(
    id: u64,
    mut ways: Vec<Flow>,
    mut undelivered: usize,
    mut queue: mpsc::Receiver<Box<Outgoing>>,
    events: &mpsc::Sender<Event>,
) {
    // Nothing is taken any more; what was taken before is there.
    queue.close();
    while let Some(outgoing) = queue.recv().await {
        undelivered = undelivered.saturating_add(1);
        if !ways.contains(&outgoing.asked) {
            ways.push(outgoing.asked);
        }
    }
    // Without a driver nobody has to know.
    let _ = events.send(Event::Closed { id, ways, undelivered }).await;
}
