//! TLS for streams: what is shown to peers and what is asked of them, from PEM files that may
//! change while the daemon runs.
//!
//! Invariants: TLS 1.2 or newer; a server is only spoken to if its certificate, by the configured
//! authorities, is for the name or address that was asked for; files are taken over all together,
//! or the ones before stay in use. Deliberately absent: SNI (one certificate serves all domains),
//! revocation lists.

use std::{
    fs,
    io::BufReader,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    client::verify_server_name,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::{ParsedCertificate, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};

use crate::config::Tls;

const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Why a context can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {reason}; {cure}")]
pub struct TlsError {
    what: String,
    reason: String,
    cure: &'static str,
}

/// With what handshakes are made.
#[derive(Clone, Debug)]
pub struct Contexts {
    /// As a server; none without a certificate.
    pub server: Option<Arc<ServerConfig>>,
    /// As a client, or why no server can be checked.
    pub client: Result<Arc<ClientConfig>, TlsError>,
}

impl Contexts {
    /// Reads all files.
    ///
    /// # Errors
    /// If this host's certificate, its key or the clients' authorities can't be used.
    pub fn load(config: &Tls) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let identity = match &config.identity {
            None => None,
            Some((certificate, key)) => Some((certificates(certificate)?, private_key(key)?)),
        };
        let server = match (&identity, &config.identity) {
            (Some((chain, key)), Some((path, _))) => {
                Some(server(config, &provider, path, chain.clone(), key.clone_key())?)
            }
            _ => None,
        };
        let client = client(config, &provider, identity).map(Arc::new);
        Ok(Self { server: server.map(Arc::new), client })
    }
}

fn server(
    config: &Tls,
    provider: &Arc<CryptoProvider>,
    path: &Path,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider));
    let builder = builder.with_protocol_versions(VERSIONS).map_err(|error| unfit(path, &error))?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let roots = Arc::new(roots(ca)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
            let verifier = if config.require_client_certificate {
                verifier
            } else {
                verifier.allow_unauthenticated()
            };
            let verifier = verifier.build().map_err(|error| TlsError {
                what: ca.display().to_string(),
                reason: error.to_string(),
                cure: "correct tls.client_ca, or peers.ca",
            })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder.with_single_cert(chain, key).map_err(|error| unfit(path, &error))
}

fn client(
    config: &Tls,
    provider: &Arc<CryptoProvider>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<ClientConfig, TlsError> {
    let path = &config.server_ca;
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider));
    let builder = builder.with_protocol_versions(VERSIONS).map_err(|error| unfit(path, &error))?;
    let builder = builder.with_root_certificates(roots(path)?);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(|error| unfit(path, &error))
        }
    }
}

fn unfit(path: &Path, error: &rustls::Error) -> TlsError {
    TlsError {
        what: path.display().to_string(),
        reason: error.to_string(),
        cure: "correct the settings of certificate and key: they belong together",
    }
}

fn unread(path: &Path, reason: impl ToString) -> TlsError {
    TlsError {
        what: path.display().to_string(),
        reason: reason.to_string(),
        cure: "make it a PEM file that the daemon may read",
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = fs::File::open(path).map_err(|error| unread(path, error))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_reader_iter(BufReader::new(file)).collect();
    match read.map_err(|error| unread(path, error))? {
        none if none.is_empty() => Err(unread(path, "no certificate stands in it")),
        some => Ok(some),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unread(path, error))
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // A bundle of the system may hold some that are too old to be read.
    let (added, _) = roots.add_parsable_certificates(certificates(path)?);
    if added == 0 { Err(unread(path, "no authority in it can be used")) } else { Ok(roots) }
}

/// The name that a server's certificate must be for: a host name, or an address.
///
/// # Errors
/// If it is neither.
pub fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_owned()).map_err(|error| TlsError {
        what: host.to_owned(),
        reason: error.to_string(),
        cure: "give the server a contact that is a host name or an address",
    })
}

/// Whether a certificate, found good before, is for this name.
pub fn is_for(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    ParsedCertificate::try_from(certificate)
        .is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
}

/// A file as it was when it was looked at: times, length, node.
type Stamp = Option<(i64, i64, u64, u64)>;

/// The contexts, and whether their files have changed.
#[derive(Debug)]
pub struct Keeper {
    config: Tls,
    stamps: Vec<Stamp>,
}

impl Keeper {
    /// Loads the contexts for the first time.
    ///
    /// # Errors
    /// See [`Contexts::load`].
    pub fn new(config: Tls) -> Result<(Self, Contexts), TlsError> {
        let stamps = stamps(&config);
        let contexts = Contexts::load(&config)?;
        Ok((Self { config, stamps }, contexts))
    }

    /// Loads them again if a file has changed, or because somebody says so.
    pub fn look(&mut self, anyway: bool) -> Option<Result<Contexts, TlsError>> {
        // Before they are read: what changes meanwhile is seen at the next look.
        let stamps = stamps(&self.config);
        if stamps == self.stamps && !anyway {
            return None;
        }
        self.stamps = stamps;
        Some(Contexts::load(&self.config))
    }
}

fn stamps(config: &Tls) -> Vec<Stamp> {
    let identity = config.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
    let stamp = |path: &PathBuf| {
        let file = fs::metadata(path).ok()?;
        Some((file.mtime(), file.mtime_nsec(), file.size(), file.ino()))
    };
    identity.chain(&config.client_ca).chain([&config.server_ca]).map(stamp).collect()
}

#[cfg(test)]
mod tests;
