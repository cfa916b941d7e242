//! Other hosts that this one asks: a task for each, which connects when there is a question.
//!
//! Invariant: every question comes back, without an answer if the host can't be had.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Event, Shared,
    wire::{Answer, Broken, Line, Question},
};
use crate::net::tls::server_name;

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
pub(super) async fn ask(peer: Peer, mut questions: mpsc::Receiver<Question>, shared: Arc<Shared>) {
    let mut not_before = Instant::now();
    while let Some(question) = questions.recv().await {
        let mut open = VecDeque::from([question]);
        if Instant::now() >= not_before {
            let ended = match timeout(CONNECT, connect(&peer, &shared)).await {
                Ok(Ok(line)) => converse(line, &mut open, &mut questions, &shared).await,
                Ok(Err(error)) => Err(error),
                Err(_) => Err(Broken::Late),
            };
            if let Err(error) = ended
                && !(open.is_empty() && matches!(error, Broken::Closed))
            {
                not_before = Instant::now() + PAUSE;
                shared.counts.failed.add();
                tracing::warn!(host = %peer.name, address = %peer.address, %error, "a host that was asked");
            }
        }
        for question in open {
            let event = Event::Answered { question, answer: None };
            if shared.events.send(event).await.is_err() {
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
    line.greet(&shared.own).await?;
    let other = line.greeted().await?;
    shared.own.fits(&other)?;
    Ok(line)
}

async fn converse(
    mut line: Line<TlsStream<TcpStream>>,
    open: &mut VecDeque<Question>,
    questions: &mut mpsc::Receiver<Question>,
    shared: &Shared,
) -> Result<(), Broken> {
    for question in open.iter() {
        line.say(question).await?;
    }
    loop {
        let patience = if open.is_empty() { IDLE } else { ANSWER };
        tokio::select! {
            question = questions.recv(), if open.len() < OPEN_MAX => {
                let Some(question) = question else { return Ok(()) };
                let said = timeout(ANSWER, line.say(&question)).await;
                open.push_back(question);
                said.map_err(|_| Broken::Late)??;
            }
            heard = timeout(patience, line.hear()) => {
                let Ok(heard) = heard else {
                    return if open.is_empty() { Ok(()) } else { Err(Broken::Late) };
                };
                let answer: Answer = heard?;
                let question = open.pop_front().ok_or(Broken::Closed)?;
                shared.counts.answered.add();
                let event = Event::Answered { question, answer: Some(answer) };
                shared.events.send(event).await.map_err(|_| Broken::Closed)?;
            }
        }
    }
}
