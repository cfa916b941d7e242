//! The channel between the hosts of a cluster: mutual TLS, on a thread of its own.
//!
//! Hosts ask each other what neither the table nor the kernel knows: whether a client that was
//! redirected has arrived (invariant I7), to take the state of clients whose home has moved, and
//! what their load is.
//! Invariants: both sides have proved by a
//! certificate of the cluster's authority that they belong to it, and have named the same cluster;
//! nobody waits for a host that is gone. Deliberately absent: the table, which has a store, and any
//! request of a client.

mod ask;
mod serve;
mod wire;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval},
};

pub use self::wire::{Answer, Hello, Question};
use self::{ask::Peer, wire::PROTOCOL};
use super::{
    streams::{OpenError, listen::listen},
    tls::{Contexts, Keeper},
};
use crate::config::Peers as Config;

/// Events that wait for the core's owner, and questions that wait for the thread.
const QUEUE_MAX: usize = 4_096;
/// Hosts that are asked.
const PEERS_MAX: usize = 4_096;
/// The files of TLS are looked at so often.
const LOOK: Duration = Duration::from_secs(2);

/// What the channel brings.
#[derive(Debug)]
pub enum Event {
    /// Another host asks.
    Asked {
        /// What.
        question: Question,
        /// Where the answer goes.
        reply: oneshot::Sender<Answer>,
    },
    /// Another host has answered, or can't be had.
    Answered {
        /// What it was asked.
        question: Question,
        /// What it said.
        answer: Option<Answer>,
    },
}

/// A question on its way to the thread.
struct Asking {
    peer: Peer,
    question: Question,
}

/// A count that other threads read.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Counts {
    asked: Count,
    answered: Count,
    failed: Count,
    refused: Count,
}

/// What the tasks of the thread have in common.
struct Shared {
    own: Hello,
    tls: watch::Receiver<Arc<Contexts>>,
    events: mpsc::Sender<Event>,
    counts: Counts,
}

/// The channel, from the side of the core's owner.
pub struct Peers {
    events: mpsc::Receiver<Event>,
    /// Kept where there is no channel, so that its end is not taken for an event.
    _events: Option<mpsc::Sender<Event>>,
    questions: Option<mpsc::Sender<Asking>>,
    shared: Option<Arc<Shared>>,
    thread: Option<JoinHandle<()>>,
}

impl Peers {
    /// Listens, and starts the thread, if the configuration says so.
    ///
    /// # Errors
    /// If an address can't be served, or a certificate not be used.
    pub fn open(config: &Config, cluster: &str, node: &str) -> Result<Self, OpenError> {
        let (events_in, events) = mpsc::channel(QUEUE_MAX);
        let Some(tls) = &config.tls else {
            let _events = Some(events_in);
            return Ok(Self { events, _events, questions: None, shared: None, thread: None });
        };
        let mut listeners = Vec::new();
        for address in &config.listen {
            listeners.push(listen(*address)?);
        }
        let (keeper, contexts) = Keeper::new(tls.clone())?;
        let (contexts_in, contexts) = watch::channel(Arc::new(contexts));
        let own = Hello { protocol: PROTOCOL, cluster: cluster.to_owned(), node: node.to_owned() };
        let counts = Counts::default();
        let shared = Arc::new(Shared { own, tls: contexts, events: events_in, counts });
        let (questions_in, questions) = mpsc::channel(QUEUE_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(OpenError::Thread)?;
        let theirs = Arc::clone(&shared);
        let work = async move {
            for listener in listeners {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => {
                        tokio::spawn(serve::accept(listener, Arc::clone(&theirs)));
                    }
                    Err(error) => {
                        tracing::error!(%error, "peers.listen is not served; restart the daemon");
                    }
                }
            }
            tokio::spawn(keep(keeper, contexts_in));
            hand_out(questions, theirs).await;
        };
        let thread = thread::Builder::new().name("peers".to_owned());
        let thread = thread.spawn(move || runtime.block_on(work)).map_err(OpenError::Thread)?;
        Ok(Self {
            events,
            _events: None,
            questions: Some(questions_in),
            shared: Some(shared),
            thread: Some(thread),
        })
    }

    /// The next event. A caller that stops waiting loses none.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Asks a host. A question that there is no room for, or no channel, is given back.
    pub fn ask(&self, address: SocketAddr, name: &str, question: Question) -> Option<Question> {
        let Some(questions) = &self.questions else { return Some(question) };
        let peer = Peer { address, name: name.to_owned() };
        let asked = questions.try_send(Asking { peer, question });
        asked.err().map(|full| full.into_inner().question)
    }

    /// Counts, for `status`.
    pub fn status(&self) -> Value {
        let Some(shared) = &self.shared else { return json!({"mode": "off"}) };
        let count = |count: &Count| count.0.load(Ordering::Relaxed);
        json!({
            "mode": "mtls",
            "asked_by_others": count(&shared.counts.asked),
            "answers": count(&shared.counts.answered),
            "failed": count(&shared.counts.failed),
            "refused": count(&shared.counts.refused),
        })
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.questions = None;
        // A task may wait for room among the events.
        self.events.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Hands questions to the task of their host until there are none any more.
async fn hand_out(mut questions: mpsc::Receiver<Asking>, shared: Arc<Shared>) {
    let mut tasks: HashMap<(SocketAddr, String), mpsc::Sender<Question>> = HashMap::new();
    while let Some(Asking { peer, question }) = questions.recv().await {
        let place = (peer.address, peer.name.clone());
        if tasks.len() >= PEERS_MAX && !tasks.contains_key(&place) {
            tasks.clear();
        }
        let task = tasks.entry(place).or_insert_with(|| {
            let (questions_in, questions) = mpsc::channel(QUEUE_MAX);
            tokio::spawn(ask::ask(peer, questions, Arc::clone(&shared)));
            questions_in
        });
        if let Err(full) = task.try_send(question) {
            let event = Event::Answered { question: full.into_inner(), answer: None };
            if shared.events.send(event).await.is_err() {
                return;
            }
        }
    }
}

/// Reads the files of TLS again when they change.
async fn keep(mut keeper: Keeper, contexts: watch::Sender<Arc<Contexts>>) {
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match keeper.look(false) {
            None => {}
            Some(Ok(new)) => {
                tracing::info!("peers: the certificates were read again");
                contexts.send_replace(Arc::new(new));
            }
            Some(Err(error)) => {
                tracing::error!(%error, "peers: the certificates before stay in use");
            }
        }
    }
}

#[cfg(test)]
mod tests;
