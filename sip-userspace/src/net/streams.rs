//! Streams: connections over TCP, plain and inside TLS, on a thread of their own.
//!
//! Each connection is a task of that thread. Whole messages go to the core's owner through one
//! bounded queue, in the order in which they came; a full one makes peers wait, nothing is lost.
//! Bytes to send go to their connection through its own bounded queue; what it does not take comes
//! back as a failure. The owner alone knows which connections there are, so no lock stands in a
//! message's way.
//!
//! Invariants: memory is bounded by construction (`config::Tcp`); a message leaves by the
//! connection that was asked for, or, if none was, by one to the same peer and over the same
//! transport, which for TLS has proved that it is the one that is meant.
//! Deliberately absent: what messages mean, and names that have to be resolved.

mod accept;
mod budget;
mod connect;
mod connection;
mod counts;
mod event;
pub(super) mod listen;
mod places;
mod refuse;
mod shared;
mod table;
mod work;

use std::{
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
};

use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, watch};

use self::{
    connect::Wanted,
    event::{Outgoing, Trust},
    shared::Shared,
    table::Table,
};
pub use self::{
    event::{Event, Handle, Received},
    listen::ListenError,
    places::Exempt,
};
use super::tls::{self, Keeper, TlsError};
use crate::{
    config::{Tcp, Tls},
    core::{Flow, Transport},
};

/// Events that wait for the core's owner.
const EVENTS_MAX: usize = 1_024;
/// Connections that are to be opened.
const WANTED_MAX: usize = 1_024;

/// Why streams can't be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// An address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No thread.
    #[error("the thread of the streams: {0}; raise the limit of processes or of open files")]
    Thread(std::io::Error),
}

/// All streams, from the side of the core's owner.
pub struct Streams {
    shared: Arc<Shared>,
    table: Table,
    events: mpsc::Receiver<Event>,
    /// `None` only while the thread ends.
    wanted: Option<mpsc::Sender<Wanted>>,
    reload: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Streams {
    /// Listens at all addresses and starts the thread.
    ///
    /// # Errors
    /// If an address can't be served, or a certificate not be used.
    pub fn open(tcp: &Tcp, tls: &Tls, exempt: Exempt) -> Result<Self, OpenError> {
        let mut listeners = Vec::new();
        for (transport, address) in served(tcp, tls) {
            listeners.push((listen::listen(address)?, address, transport));
        }
        if !listeners.is_empty() {
            listen::raise_files(tcp.connections_max);
        }
        let (keeper, contexts) = Keeper::new(tls.clone())?;
        if let (Err(error), Some(_)) = (&contexts.client, &tls.identity) {
            tracing::warn!(%error, "no server can be reached by TLS");
        }
        let (contexts_in, contexts) = watch::channel(Arc::new(contexts));
        let shared = Arc::new(Shared::new(tcp, tls, exempt, contexts));
        let (events_in, events) = mpsc::channel(EVENTS_MAX);
        let (wanted_in, wanted) = mpsc::channel(WANTED_MAX);
        let reload = Arc::new(Notify::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(OpenError::Thread)?;
        let work = work::Work {
            listeners,
            shared: Arc::clone(&shared),
            events: events_in,
            wanted,
            keeper,
            contexts: contexts_in,
            reload: Arc::clone(&reload),
        };
        let thread = thread::Builder::new().name("streams".to_owned());
        let thread = thread.spawn(move || runtime.block_on(work.run()));
        let thread = thread.map_err(OpenError::Thread)?;
        let (table, thread) = (Table::default(), Some(thread));
        Ok(Self { shared, table, events, wanted: Some(wanted_in), reload, thread })
    }

    /// The next event. A caller that stops waiting loses none.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The next event, if one is there.
    pub fn try_next(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Takes note of a new connection.
    pub fn opened(&mut self, handle: Handle) {
        self.table.insert(handle);
    }

    /// Takes note of the end of one, and of how many of its messages did not leave.
    pub fn closed(&mut self, id: u64, undelivered: usize) {
        self.table.remove(id);
        (0..undelivered).for_each(|_| self.shared.counts.undelivered.add());
    }

    /// Lets a connection end when it has sent what it was given.
    pub fn close(&mut self, id: u64) {
        self.table.remove(id);
    }

    /// Whether there is such a connection.
    pub fn is_open(&self, id: u64) -> bool {
        self.table.get(id).is_some_and(|handle| !handle.queue.is_closed())
    }

    /// Sends a message: by the connection of the flow, or, without one, by any to its peer, which
    /// is opened if there is none. `name` is the host that is meant, which a peer inside TLS must
    /// have a certificate for; its address, if there is no name.
    ///
    /// # Errors
    /// If it can't leave. What fails later comes as an [`Event::Closed`].
    pub fn send(&mut self, flow: Flow, name: Option<&str>, payload: Vec<u8>) -> Result<(), Flow> {
        let sent = self.try_send(flow, name, payload);
        if sent.is_none() {
            self.shared.counts.undelivered.add();
        }
        sent.ok_or(flow)
    }

    fn try_send(&mut self, flow: Flow, name: Option<&str>, payload: Vec<u8>) -> Option<()> {
        let share = self.shared.budget.share(payload.len())?;
        let outgoing = Box::new(Outgoing { asked: flow, payload, share });
        if flow.connection != 0 {
            return self.table.get(flow.connection)?.queue.try_send(outgoing).ok();
        }
        let name = match flow.transport {
            Transport::Tls => {
                let address = flow.peer.ip().to_canonical().to_string();
                Some(tls::server_name(name.unwrap_or(&address)).ok()?)
            }
            Transport::Tcp => None,
            Transport::Udp => return None,
        };
        if let Some(handle) = self.table.to_peer(flow, name.as_ref()) {
            return handle.queue.try_send(outgoing).ok();
        }
        let (queue_in, queue) = mpsc::channel(self.shared.queue_max);
        let flow = Flow { connection: self.shared.next_id(), ..flow };
        let place = self.shared.places.open().ok()?;
        queue_in.try_send(outgoing).ok()?;
        let trust = Trust { asked: name.clone(), certificate: None };
        self.wanted.as_ref()?.try_send(Wanted { flow, name, queue, place }).ok()?;
        self.table.insert(Handle { flow, queue: queue_in, trust });
        Some(())
    }

    /// Reads the files of TLS again.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// Counts, as `status` shows them.
    pub fn status(&self) -> Value {
        let mut all = self.shared.counts.json();
        all.insert("buffered".to_owned(), json!(self.shared.budget.held()));
        Value::Object(all)
    }
}

/// The served addresses of streams.
pub fn served(tcp: &Tcp, tls: &Tls) -> impl Iterator<Item = (Transport, SocketAddr)> {
    let plain = tcp.listen.iter().map(|address| (Transport::Tcp, *address));
    plain.chain(tls.listen.iter().map(|address| (Transport::Tls, *address)))
}

impl Drop for Streams {
    fn drop(&mut self) {
        // Without anybody who wants connections the thread ends, and all tasks with it.
        self.wanted = None;
        self.events.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
