//! Other hosts that this one asks: a task for each, which connects when there is a question.
//!
//! Invariant: every question gets an answer; [`Seen::Unknown`] if the host can't be had.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use sip_common::abi::ClientKey;
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Event, Shared,
    wire::{Answer, Ask, Broken, Hello, Line},
};
use crate::{core::returning::Seen, net::tls::server_name};

/// Connection, handshake and greeting.
const CONNECT: Duration = Duration::from_secs(2);
/// A host that could not be had is not tried again for so long.
const PAUSE: Duration = Duration::from_secs(1);
/// A conversation without a question for so long ends.
const IDLE: Duration = Duration::from_secs(240);
/// An answer that takes longer ends the conversation.
const ANSWER: Duration = Duration::from_secs(3);
/// Questions without an answer yet.
const OPEN_MAX: usize = 4_096;

/// Where a host is, and the name that its certificate is for.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) name: String,
}

/// Asks one host until nobody wants to ask it any more.
pub(super) async fn ask(peer: Peer, mut keys: mpsc::Receiver<ClientKey>, shared: Arc<Shared>) {
    let mut not_before = Instant::now();
    while let Some(key) = keys.recv().await {
        let mut open = VecDeque::from([key]);
        if Instant::now() >= not_before {
            let ended = match timeout(CONNECT, connect(&peer, &shared)).await {
                Ok(Ok(line)) => converse(line, &mut open, &mut keys, &shared).await,
                Ok(Err(error)) => Err(error),
                Err(_) => Err(Broken::Late),
            };
            if let Err(error) = ended
                && !(open.is_empty() && matches!(error, Broken::Closed))
            {
                not_before = Instant::now() + PAUSE;
                shared.counts.failed.add();
                tracing::warn!(host = %peer.name, address = %peer.address, %error, "a host that was asked about a client");
            }
        }
        for key in open {
            if shared.events.send(Event::Seen { key, seen: Seen::Unknown }).await.is_err() {
                return;
            }
        }
    }
}

async fn connect(peer: &Peer, shared: &Shared) -> Result<Line<TlsStream<TcpStream>>, Broken> {
    let context = shared.tls.borrow().client.clone().map_err(std::io::Error::other)?;
    let name = server_name(&peer.name).map_err(std::io::Error::other)?;
    let stream = TcpStream::connect(peer.address).await?;
    let _ = stream.set_nodelay(true);
    let mut line = Line::new(TlsConnector::from(context).connect(name, stream).await?);
    line.say(&shared.own).await?;
    let other: Hello = line.hear().await?;
    shared.own.fits(&other)?;
    Ok(line)
}

async fn converse(
    mut line: Line<TlsStream<TcpStream>>,
    open: &mut VecDeque<ClientKey>,
    keys: &mut mpsc::Receiver<ClientKey>,
    shared: &Shared,
) -> Result<(), Broken> {
    for key in open.iter() {
        line.say(&Ask::Seen { key: key.0 }).await?;
    }
    loop {
        let patience = if open.is_empty() { IDLE } else { ANSWER };
        tokio::select! {
            key = keys.recv(), if open.len() < OPEN_MAX => {
                let Some(key) = key else { return Ok(()) };
                open.push_back(key);
                timeout(ANSWER, line.say(&Ask::Seen { key: key.0 })).await.map_err(|_| Broken::Late)??;
            }
            heard = timeout(patience, line.hear()) => {
                let Ok(heard) = heard else {
                    return if open.is_empty() { Ok(()) } else { Err(Broken::Late) };
                };
                let Answer::Seen { key, seen } = heard?;
                if open.pop_front() != Some(ClientKey(key)) {
                    return Err(Broken::Closed);
                }
                shared.counts.answered.add();
                let event = Event::Seen { key: ClientKey(key), seen };
                shared.events.send(event).await.map_err(|_| Broken::Closed)?;
            }
        }
    }
}
