//! Who must say who it is, and how.

use rustls::pki_types::ServerName;

use super::{ConfigError, Prefix, bounds, document::Document};
use crate::sip::digest::Algorithm;

/// Longest realm, in bytes.
const REALM_MAX: usize = 255;
/// Names that are trusted.
const NAMES_MAX: usize = 256;

/// Authentication of clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// By digest, or not at all.
    pub digest: bool,
    /// The realm; each client's domain if there is none.
    pub realm: Option<String>,
    /// What is offered, the best first.
    pub algorithms: Vec<Algorithm>,
    /// How long a nonce is good, seconds.
    pub nonce_life_s: u32,
    /// Sources that are not asked.
    pub trusted: Vec<Prefix>,
    /// Who proves one of these names by its certificate is not asked either.
    pub trusted_names: Vec<ServerName<'static>>,
    /// A client is asked before it is told its home.
    pub before_redirect: bool,
}

impl Auth {
    /// Why the kernel has to pass everything, if it has to (invariant I1).
    pub fn passes_all(&self) -> Option<&'static str> {
        (self.digest && self.before_redirect).then_some("auth.before_redirect")
    }
}

/// Reads `[auth]`; `proves_names`: clients can show certificates.
pub(super) fn auth(document: &Document<'_>, proves_names: bool) -> Result<Auth, ConfigError> {
    let digest = document.choice("auth.mode", &["off", "digest"], "off")? == "digest";
    let realm = match document.text("auth.realm")? {
        None => None,
        Some(found) => {
            let good = |c: char| !c.is_control() && c != '"' && c != '\\';
            if found.value.is_empty()
                || found.value.len() > REALM_MAX
                || !found.value.chars().all(good)
            {
                let reason = format!("`{}` is no realm", found.value.escape_debug());
                let cure = format!("use at most {REALM_MAX} bytes without quotes and backslashes");
                return Err(found.wrong(reason, cure));
            }
            Some(found.value)
        }
    };
    let mut algorithms = Vec::new();
    for found in document.list("auth.algorithms", 2)? {
        match Algorithm::of(found.value.as_bytes()) {
            Some(algorithm) if !algorithms.contains(&algorithm) => algorithms.push(algorithm),
            Some(_) => {
                return Err(found.wrong(format!("{} stands twice", found.value), "take one away"));
            }
            None => {
                let reason = format!("`{}` is not known", found.value.escape_debug());
                return Err(found.wrong(reason, "use SHA-256 and MD5"));
            }
        }
    }
    if algorithms.is_empty() {
        algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
    }
    Ok(Auth {
        digest,
        realm,
        algorithms,
        nonce_life_s: document.number("auth.nonce_life", 10..=3600, 300)?.value as u32,
        trusted: bounds::prefixes(document, "auth.trusted")?,
        trusted_names: trusted_names(document, proves_names)?,
        before_redirect: document.switch("auth.before_redirect", false)?,
    })
}

fn trusted_names(
    document: &Document<'_>,
    proves_names: bool,
) -> Result<Vec<ServerName<'static>>, ConfigError> {
    let mut names = Vec::new();
    for found in document.list("auth.trusted_names", NAMES_MAX)? {
        let name = match ServerName::try_from(found.value.clone()) {
            Ok(name @ ServerName::DnsName(_)) => name,
            _ => {
                let reason = format!("`{}` is no host name", found.value.escape_debug());
                return Err(found.wrong(reason, "give a name that a certificate can hold"));
            }
        };
        if !proves_names {
            let reason = "nobody can prove a name without tls.client_ca".to_owned();
            return Err(found.wrong(reason, "name the authorities in tls.client_ca"));
        }
        names.push(name);
    }
    Ok(names)
}
