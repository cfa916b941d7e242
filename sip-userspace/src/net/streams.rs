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
mod listen;
mod places;
mod refuse;
mod table;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{MissedTickBehavior, interval},
};

use self::{
    budget::{Budget, Share},
    connect::Wanted,
    counts::Counts,
    places::Places,
    table::Table,
};
pub use self::{listen::ListenError, places::Exempt};
use super::{
    clock,
    framer::Limits,
    tls::{self, Contexts, Keeper, TlsError},
};
use crate::{
    config::{Tcp, Tls},
    core::{Flow, Transport},
};

/// Events that wait for the core's owner.
const EVENTS_MAX: usize = 1_024;
/// Connections that are to be opened.
const WANTED_MAX: usize = 1_024;
/// The files of TLS are looked at so often.
const LOOK: Duration = Duration::from_secs(2);
/// Of connections that fail one is told in so many seconds; all are counted.
const WARN_S: u64 = 5;

/// What happens on streams.
#[derive(Debug)]
pub enum Event {
    /// A peer has opened a connection.
    Opened(Handle),
    /// A message has come.
    Message(Received),
    /// A connection takes what there is for it by now, and then ends: see [`Streams::close`].
    Ending {
        /// Which one.
        id: u64,
    },
    /// A connection is over.
    Closed {
        /// Which one.
        id: u64,
        /// Ways that were asked for, of messages that did not leave.
        undelivered: Vec<Flow>,
    },
}

/// A message that has come.
#[derive(Debug)]
pub struct Received {
    /// The way it came.
    pub flow: Flow,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Its part of the budget, while it waits.
    _share: Option<Share>,
}

/// The owner's end of a connection.
#[derive(Debug)]
pub struct Handle {
    flow: Flow,
    queue: mpsc::Sender<Box<Outgoing>>,
    trust: Trust,
}

/// Who the peer of a connection has proved to be.
#[derive(Debug, Default)]
struct Trust {
    /// The name that it was checked for when it was opened.
    asked: Option<ServerName<'static>>,
    /// Its certificate, if it showed a good one.
    certificate: Option<CertificateDer<'static>>,
}

/// A message on its way out.
#[derive(Debug)]
struct Outgoing {
    /// The way as the core named it.
    asked: Flow,
    payload: Vec<u8>,
    share: Share,
}

/// What all connections have in common.
struct Shared {
    limits: Limits,
    queue_max: usize,
    handshakes_max: u64,
    connect_time: Duration,
    message_time: Duration,
    handshake_time: Duration,
    idle: Duration,
    places: Arc<Places>,
    budget: Arc<Budget>,
    counts: Counts,
    tls: watch::Receiver<Arc<Contexts>>,
    last_id: AtomicU64,
    warned_s: AtomicU64,
}

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
        let plain = tcp.listen.iter().map(|address| (*address, Transport::Tcp));
        let secure = tls.listen.iter().map(|address| (*address, Transport::Tls));
        let mut listeners = Vec::new();
        for (address, transport) in plain.chain(secure) {
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
        let shared = Arc::new(Shared {
            limits: Limits { head_max: tcp.head_max, message_max: tcp.message_max },
            queue_max: tcp.queue_max,
            handshakes_max: tls.handshakes_max as u64,
            connect_time: tcp.connect_time,
            message_time: tcp.message_time,
            handshake_time: tls.handshake_time,
            idle: tcp.idle,
            places: Places::new(tcp.connections_max, tcp.per_source_max, exempt),
            budget: Budget::new(tcp.buffered_max),
            counts: Counts::default(),
            tls: contexts,
            last_id: AtomicU64::new(0),
            warned_s: AtomicU64::new(0),
        });
        let (events_in, events) = mpsc::channel(EVENTS_MAX);
        let (wanted_in, wanted) = mpsc::channel(WANTED_MAX);
        let reload = Arc::new(Notify::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(OpenError::Thread)?;
        let (common, told) = (Arc::clone(&shared), Arc::clone(&reload));
        let thread = thread::Builder::new().name("streams".to_owned()).spawn(move || {
            runtime.block_on(async {
                for (listener, local, transport) in listeners {
                    match tokio::net::TcpListener::from_std(listener) {
                        Ok(listener) => {
                            let (common, events) = (Arc::clone(&common), events_in.clone());
                            tokio::spawn(accept::accept(
                                listener, local, transport, common, events,
                            ));
                        }
                        Err(error) => tracing::error!(%local, %error, "is not served"),
                    }
                }
                tokio::spawn(keep(keeper, contexts_in, told, Arc::clone(&common)));
                open_wanted(wanted, common, events_in).await;
            });
        });
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

    /// Takes note of the end of one, and for how many ways its messages were lost.
    pub fn closed(&mut self, id: u64, undelivered: usize) {
        self.table.remove(id);
        (0..undelivered).for_each(|_| self.shared.counts.undelivered.add());
    }

    /// Lets a connection end when it has sent what it was given.
    pub fn close(&mut self, id: u64) {
        self.table.remove(id);
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

impl Shared {
    /// An id that no connection of this process has had; never 0.
    fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Whether it is time for another warning.
    fn may_warn(&self) -> bool {
        let now_s = clock::now().mono.as_secs();
        let due = |last_s: u64| (last_s == 0 || now_s >= last_s + WARN_S).then_some(now_s);
        self.warned_s.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).is_ok()
    }
}

/// Opens connections until nobody wants any.
async fn open_wanted(
    mut wanted: mpsc::Receiver<Wanted>,
    shared: Arc<Shared>,
    events: mpsc::Sender<Event>,
) {
    while let Some(wanted) = wanted.recv().await {
        tokio::spawn(connect::connect(wanted, Arc::clone(&shared), events.clone()));
    }
}

/// Reads the files of TLS again when they change, or when told.
async fn keep(
    mut keeper: Keeper,
    contexts: watch::Sender<Arc<Contexts>>,
    told: Arc<Notify>,
    shared: Arc<Shared>,
) {
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let anyway = tokio::select! {
            _ = tick.tick() => false,
            () = told.notified() => true,
        };
        match keeper.look(anyway) {
            None => {}
            Some(Ok(new)) => {
                shared.counts.read.add();
                tracing::info!("TLS: the certificates were read again");
                contexts.send_replace(Arc::new(new));
            }
            Some(Err(error)) => {
                shared.counts.refused.add();
                tracing::error!(%error, "TLS: the certificates before stay in use");
            }
        }
    }
}

/// Where a peer is, and how it is reached.
type Peer = (Transport, SocketAddr);
