//! The HTTP API: the control socket's commands for other programs, with tokens and an OpenAPI
//! document.
//!
//! It has a thread and a runtime of its own, so that no client of it costs the driver more than
//! the command that it gives. Invariants: nothing is answered without a token but by 401; what
//! changes the table needs a token that may write; connections, requests and their time are
//! bounded. Deliberately absent: TLS (listen on loopback, or put a proxy in front), and metrics.

mod bodies;
#[allow(unused_qualifications, reason = "utoipa::path writes them")]
mod clients;
mod document;
mod fault;
mod gate;
#[allow(unused_qualifications, reason = "utoipa::path writes them")]
mod plans;
mod servers;
#[allow(unused_qualifications, reason = "utoipa::path writes them")]
mod status;
#[allow(unused_qualifications, reason = "utoipa::path writes them")]
mod table;
mod tokens;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use axum::{Router, extract::DefaultBodyLimit, middleware};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use self::gate::Gate;
use crate::control::{Call, REQUEST_MAX};

/// Connections that are served at once; others wait for one to end.
const CONNECTIONS_MAX: usize = 64;
/// A client has so long for the head of each request, the time between two requests included.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// A request has so long from its head to its answer, its body included.
const REQUEST_TIME: Duration = Duration::from_secs(40);

/// Why the API can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The address can't be had.
    #[error("api.listen {address}: {source}; set another address, or stop what listens there")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The tokens can't be read.
    #[error(transparent)]
    Tokens(#[from] tokens::TokenError),
    /// No thread.
    #[error("api: {0}; there is no thread or no runtime for it")]
    Thread(io::Error),
}

/// The API of a host, from its opening on.
#[derive(Debug)]
pub struct Api {
    address: SocketAddr,
    listener: Option<TcpListener>,
    gate: Arc<Gate>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Api {
    /// Binds the address and reads the tokens.
    ///
    /// # Errors
    /// If the address can't be had, or the tokens are wrong.
    pub fn bind(address: SocketAddr, token_file: PathBuf) -> Result<Self, ApiError> {
        let gate = Arc::new(Gate::new(token_file)?);
        let failed = |source| ApiError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "the API's tokens travel in clear: put a TLS proxy in front");
        }
        Ok(Self { address, listener: Some(listener), gate, stop: None, thread: None })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until this is dropped.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub fn start(&mut self, calls: mpsc::Sender<Call>) -> Result<(), ApiError> {
        let Some(listener) = self.listener.take() else { return Ok(()) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ApiError::Thread)?;
        let (stop, stopped) = oneshot::channel();
        let app = app(calls, Arc::clone(&self.gate));
        let thread = std::thread::Builder::new().name("api".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    served = serve(listener, app) => {
                        if let Err(error) = served {
                            tracing::error!(%error, "the API is not served any more");
                        }
                    }
                    _ = stopped => {}
                }
            });
        });
        self.thread = Some(thread.map_err(ApiError::Thread)?);
        self.stop = Some(stop);
        Ok(())
    }

    /// What it has done, and whether its tokens are well.
    pub fn status(&self) -> serde_json::Value {
        self.gate.status(self.address)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to serve.
            let _ = thread.join();
        }
    }
}

/// Everything behind the address.
fn app(calls: mpsc::Sender<Call>, gate: Arc<Gate>) -> Router {
    Router::new()
        .merge(status::routes())
        .merge(servers::routes())
        .merge(clients::routes())
        .merge(table::routes())
        .merge(plans::routes())
        .fallback(fault::no_such_path)
        .method_not_allowed_fallback(fault::no_such_method)
        .layer(DefaultBodyLimit::max(REQUEST_MAX))
        .layer(middleware::from_fn_with_state(gate, gate::pass))
        .with_state(calls)
}

async fn serve(listener: TcpListener, app: Router) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: wait for some, rather than spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let service = TowerToHyperService::new(app.clone());
        tokio::spawn(async move {
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
            // A client that breaks off needs no answer.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests;
