//! Connections that peers open: who gets a place, and the TLS handshake.
//!
//! Invariant: before its place, its handshake and its first message, a connection holds no more
//! than a bounded number of bytes for a bounded time.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::pki_types::CertificateDer;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    Event, Handle, Shared, Trust,
    connection::Connection,
    counts::{Count, Counts},
    places::{Place, Places, Refused},
};
use crate::core::{Flow, Transport};

/// After an error of accept, such as no more open files, so long is waited.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes connections until the runtime ends.
pub(super) async fn accept(
    listener: TcpListener,
    local: SocketAddr,
    transport: Transport,
    shared: Arc<Shared>,
    events: mpsc::Sender<Event>,
) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if shared.may_warn() {
                    tracing::warn!(%local, %error, "accept; raise LimitNOFILE, or lower tcp.connections");
                }
                sleep(PAUSE).await;
                continue;
            }
        };
        let Counts { connections, per_source, .. } = &shared.counts;
        let place = place_of(&shared.places, peer, (connections, per_source));
        let Some(place) = place else { continue };
        let connection = shared.next_id();
        let flow = Flow { transport, local, peer, connection };
        let (shared, events) = (Arc::clone(&shared), events.clone());
        if transport == Transport::Tls {
            let Counts { too_many_handshakes, handshakes_per_source, .. } = &shared.counts;
            let counts = (too_many_handshakes, handshakes_per_source);
            let handshake = place_of(&shared.handshaking, peer, counts);
            let Some(handshake) = handshake else { continue };
            tokio::spawn(tls(stream, flow, shared, events, (place, handshake)));
        } else {
            tokio::spawn(tcp(stream, flow, shared, events, place));
        }
    }
}

/// A place for a peer; what refuses it, all together or its source, is counted.
fn place_of(
    places: &Arc<Places>,
    peer: SocketAddr,
    (all, source): (&Count, &Count),
) -> Option<Place> {
    let refused = match places.accept(peer.ip()) {
        Ok(place) => return Some(place),
        Err(Refused::All) => all,
        Err(Refused::Source) => source,
    };
    refused.add();
    None
}

async fn tcp(
    stream: TcpStream,
    flow: Flow,
    shared: Arc<Shared>,
    events: mpsc::Sender<Event>,
    place: Place,
) {
    shared.counts.tcp_from_peers.add();
    prepare(&stream);
    serve(stream, flow, None, shared, events).await;
    drop(place);
}

async fn tls(
    stream: TcpStream,
    flow: Flow,
    shared: Arc<Shared>,
    events: mpsc::Sender<Event>,
    (place, handshake): (Place, Place),
) {
    prepare(&stream);
    shared.counts.handshakes.add();
    let context = shared.tls.borrow().server.clone();
    let stream = match context {
        Some(context) => {
            let accepted = TlsAcceptor::from(context).accept(stream);
            timeout(shared.handshake_time, accepted).await.ok().and_then(Result::ok)
        }
        None => None,
    };
    shared.counts.handshakes.less();
    drop(handshake);
    let Some(stream) = stream else {
        shared.counts.handshake.add();
        return;
    };
    shared.counts.tls_from_peers.add();
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate =
        certificate.map(|certificate| CertificateDer::into_owned(certificate.clone()));
    serve(stream, flow, certificate, shared, events).await;
    drop(place);
}

/// Serves a connection that has a stream by now.
async fn serve<S>(
    stream: S,
    flow: Flow,
    certificate: Option<CertificateDer<'static>>,
    shared: Arc<Shared>,
    events: mpsc::Sender<Event>,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (queue_in, queue) = mpsc::channel(shared.queue_max);
    let trust = Trust { asked: None, certificate };
    let handle = Handle { flow, queue: queue_in, trust };
    let connection = Connection::new(stream, flow, true, shared, queue, events.clone());
    // Before any of its messages.
    if events.send(Event::Opened(handle)).await.is_ok() {
        connection.run().await;
    }
}

/// Answers leave at once, and a peer that is gone is noticed in the end.
pub(super) fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(stream).set_keepalive(true);
}
