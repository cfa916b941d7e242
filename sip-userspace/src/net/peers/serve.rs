//! Other hosts that ask this one.
//!
//! Invariant: nothing is heard of who has no certificate of the cluster's authority, and a
//! conversation holds one question at a time.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, oneshot},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    Event, Shared,
    wire::{Answer, Broken, Line, Question},
};

/// Hosts that are spoken to at a time.
const HOSTS_MAX: usize = 1_024;
/// Handshake, and the words of greeting.
const GREETING: Duration = Duration::from_secs(4);
/// This host's own answer takes so long at most.
const OWN: Duration = Duration::from_secs(2);
/// A conversation that is silent for so long ends.
const IDLE: Duration = Duration::from_secs(300);
/// After an error of accept, such as no more open files, so long is waited.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes connections until the runtime ends.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(HOSTS_MAX));
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            shared.counts.refused.add();
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &shared).await
                && !matches!(error, Broken::Closed | Broken::Late)
            {
                shared.counts.refused.add();
                warn(from, &error);
            }
            drop(place);
        });
    }
}

fn warn(from: SocketAddr, error: &Broken) {
    tracing::debug!(%from, %error, "a host that asks");
}

async fn converse(stream: TcpStream, shared: &Shared) -> Result<(), Broken> {
    let _ = stream.set_nodelay(true);
    let context = shared.tls.borrow().server.clone().ok_or(Broken::Closed)?;
    let greeting = async {
        let mut line = Line::new(TlsAcceptor::from(context).accept(stream).await?);
        let other = line.greeted().await?;
        shared.own.fits(&other)?;
        line.greet(&shared.own).await?;
        Ok::<_, Broken>(line)
    };
    let mut line = timeout(GREETING, greeting).await.map_err(|_| Broken::Late)??;
    loop {
        let question: Question = timeout(IDLE, line.hear()).await.map_err(|_| Broken::Late)??;
        shared.counts.asked.add();
        let answer = answer(question, &shared.events).await.ok_or(Broken::Late)?;
        timeout(OWN, line.say(&answer)).await.map_err(|_| Broken::Late)??;
    }
}

/// Asks the core's owner.
async fn answer(question: Question, events: &mpsc::Sender<Event>) -> Option<Answer> {
    let (reply, answered) = oneshot::channel();
    events.send(Event::Asked { question, reply }).await.ok()?;
    timeout(OWN, answered).await.ok()?.ok()
}
