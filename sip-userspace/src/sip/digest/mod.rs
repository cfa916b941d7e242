//! Digest authentication as it stands on the wire (RFC 7616, RFC 8760, RFC 3261 section 22).
//!
//! A [`Credentials`] is what a client wrote; [`Credentials::response`] says what it should have
//! written. Values go into the hashes as they stand between their quotes. Deliberately absent:
//! who the users are, whether a nonce is good, `auth-int` and the session variants (they are never
//! offered).

mod hash;
mod read;

pub use hash::{Algorithm, Ha1, Hash};
pub use read::Credentials;

/// The value of a WWW-Authenticate or Proxy-Authenticate header field. The realm is a domain, or
/// was checked by the configuration: it holds nothing that would end its quotes.
pub fn challenge(realm: &str, nonce: &str, algorithm: Algorithm, stale: bool) -> String {
    let stale = if stale { ",stale=true" } else { "" };
    let algorithm = algorithm.label();
    format!(r#"Digest realm="{realm}",nonce="{nonce}"{stale},algorithm={algorithm},qop="auth""#)
}

#[cfg(test)]
mod tests;
