//! Connections that this host opens, because a message is to leave by one that is not there.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::pki_types::ServerName;
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    Event, Outgoing, Shared,
    accept::prepare,
    connection::{Connection, finish},
    places::Place,
};
use crate::core::Flow;

/// A connection that is wanted.
pub(super) struct Wanted {
    /// With its own id.
    pub(super) flow: Flow,
    /// For TLS, what the peer's certificate must be for.
    pub(super) name: Option<ServerName<'static>>,
    pub(super) queue: mpsc::Receiver<Box<Outgoing>>,
    pub(super) place: Place,
}

/// Opens a connection and serves it.
pub(super) async fn connect(wanted: Wanted, shared: Arc<Shared>, events: mpsc::Sender<Event>) {
    let Wanted { flow, name, queue, place } = wanted;
    let counts = &shared.counts;
    let opened = match timeout(shared.connect_time, open(flow)).await {
        Ok(opened) => opened,
        Err(_) => Err(slow("no connection", "tcp.connect_time")),
    };
    let failed = match (opened, name) {
        (Ok(stream), None) => {
            counts.tcp_to_peers.add();
            return serve(stream, flow, shared, queue, events, place).await;
        }
        (Ok(stream), Some(name)) => match handshake(stream, name, &shared).await {
            Ok(stream) => {
                counts.tls_to_peers.add();
                return serve(stream, flow, shared, queue, events, place).await;
            }
            Err(error) => error,
        },
        (Err(error), _) => error,
    };
    counts.connect.add();
    if shared.may_warn() {
        tracing::warn!(
            peer = %flow.peer,
            transport = ?flow.transport,
            error = %failed,
            "no connection could be opened; look whether the server listens there, and for TLS at \
             its certificate's names and at tls.server_ca"
        );
    }
    finish(flow.connection, Vec::new(), 0, queue, &events).await;
}

fn slow(what: &str, setting: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} within {setting}"))
}

async fn open(flow: Flow) -> io::Result<TcpStream> {
    let socket = match flow.peer {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // From the served address, which the peer knows; any port.
    socket.bind(SocketAddr::new(flow.local.ip(), 0))?;
    let stream = socket.connect(flow.peer).await?;
    prepare(&stream);
    Ok(stream)
}

async fn handshake(
    stream: TcpStream,
    name: ServerName<'static>,
    shared: &Shared,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let context = shared.tls.borrow().client.clone().map_err(io::Error::other)?;
    let handshake = TlsConnector::from(context).connect(name, stream);
    match timeout(shared.handshake_time, handshake).await {
        Ok(done) => done,
        Err(_) => Err(slow("no handshake", "tls.handshake_time")),
    }
}

async fn serve<S>(
    stream: S,
    flow: Flow,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Box<Outgoing>>,
    events: mpsc::Sender<Event>,
    place: Place,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    Connection::new(stream, flow, false, shared, queue, events).run().await;
    drop(place);
}
