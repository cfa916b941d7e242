//! The thread of the streams: its tasks accept, open and keep the certificates.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, watch},
    time::{MissedTickBehavior, interval},
};

use super::{
    Event, Shared, accept,
    connect::{self, Wanted},
};
use crate::{
    core::Transport,
    net::tls::{Contexts, Keeper},
};

/// The files of TLS are looked at so often.
const LOOK: Duration = Duration::from_secs(2);

/// All that the thread begins with.
pub(super) struct Work {
    pub(super) listeners: Vec<(TcpListener, SocketAddr, Transport)>,
    pub(super) shared: Arc<Shared>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) wanted: mpsc::Receiver<Wanted>,
    pub(super) keeper: Keeper,
    pub(super) contexts: watch::Sender<Arc<Contexts>>,
    pub(super) reload: Arc<Notify>,
}

impl Work {
    /// Works until nobody wants connections any more.
    pub(super) async fn run(self) {
        let Self { listeners, shared, events, wanted, keeper, contexts, reload } = self;
        for (listener, local, transport) in listeners {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => {
                    let (shared, events) = (Arc::clone(&shared), events.clone());
                    tokio::spawn(accept::accept(listener, local, transport, shared, events));
                }
                Err(error) => tracing::error!(%local, %error, "is not served; restart the daemon"),
            }
        }
        tokio::spawn(keep(keeper, contexts, reload, Arc::clone(&shared)));
        open_wanted(wanted, shared, events).await;
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
