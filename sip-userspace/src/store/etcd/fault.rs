//! Why etcd could not be used, as an operator wants to read it: the cause, and what to do.
//!
//! etcd and its transport report the same trouble in many words; what is recognised here is what
//! an operator can do something about. A failure also says whether a write may have been made all
//! the same.

use std::{fmt::Write as _, time::Duration};

use etcd_client::Error;

use super::contents::Problem;

/// Why a session with etcd ended, or did not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Why.
    pub(super) cause: String,
    /// What to do about it.
    pub(super) cure: String,
    /// etcd has refused the request: it did nothing. Otherwise nobody knows what it did.
    pub(super) refused: bool,
    /// What was asked for has been compacted away.
    pub(super) compacted: bool,
    /// Another member may answer.
    pub(super) elsewhere: bool,
    /// What etcd holds, if that is the trouble.
    pub(super) problem: Option<Problem>,
}

/// A word in etcd's message, and the cure for what it tells of.
const CURES: &[(&str, &str)] = &[
    ("database space exceeded", "compact and defragment etcd, then `etcdctl alarm disarm`"),
    ("invalid user ID or password", "correct store.user, or the password in store.password_file"),
    ("user name is empty", "etcd wants a user: set store.user and store.password_file"),
    ("authentication is not enabled", "take store.user away, or enable authentication in etcd"),
    ("permission denied", "grant the user of store.user read and write on /homeward/v1/"),
    ("UnknownIssuer", "correct store.ca: etcd's certificate is of another authority"),
    ("BadSignature", "correct store.ca: etcd's certificate is of another authority"),
    ("NotValidForName", "name the members in store.url as their certificates do"),
    ("Expired", "renew etcd's certificate"),
    ("NotValidYet", "correct this host's clock, or etcd's certificate"),
    ("CertificateRequired", "etcd wants a certificate: set store.certificate and store.key"),
    ("UnknownCA", "etcd does not know this host's authority: correct store.certificate"),
    (
        "BadCertificate",
        "etcd wants another certificate: set or correct store.certificate and store.key",
    ),
    ("certificate", "correct store.ca, store.certificate and store.key"),
    ("InvalidContentType", "the member speaks no TLS: use etcd:// instead of etcds://"),
    ("corrupt message", "the member speaks no TLS: use etcd:// instead of etcds://"),
    ("request is too large", "split the change, or raise etcd's --max-request-bytes"),
    ("refused", "start etcd, or correct store.url"),
    ("dns error", "correct the name in store.url, or this host's resolver"),
    ("failed to lookup", "correct the name in store.url, or this host's resolver"),
    ("no leader", "too few members of etcd are up: start the others"),
    ("leader changed", "none: etcd is electing a leader"),
    ("request timed out", "look at the members' disks, and whether most of them are up"),
    ("too many requests", "etcd is behind: look at its disks"),
];
/// For what is not recognised.
pub(super) const CURE: &str =
    "look at etcd's members with `etcdctl endpoint status`, and at the way to them";

/// gRPC's codes for what was refused before anything was done.
const REFUSING: [i32; 6] = [
    3,  // invalid argument
    7,  // permission denied
    8,  // resource exhausted
    9,  // failed precondition
    11, // out of range: compacted, or a revision that is still to come
    16, // unauthenticated
];
const OUT_OF_RANGE: i32 = 11;

impl Fault {
    pub(super) fn new(cause: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            cause: cause.into(),
            cure: cure.into(),
            refused: false,
            compacted: false,
            elsewhere: true,
            problem: None,
        }
    }

    /// Nothing came back in time.
    pub(super) fn slow(limit: Duration) -> Self {
        let cause = format!("no answer within {} ms", limit.as_millis());
        let cure = "look whether most of etcd's members are up, at their disks, and at the way \
                    to them";
        Self::new(cause, cure)
    }

    /// What etcd holds is no table that this host can use.
    pub(super) fn unusable(cause: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { elsewhere: false, ..Self::new(cause, cure) }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let (text, code) = match &error {
            Error::GRpcStatus(status) => (chain(status.message(), status), status.code() as i32),
            Error::TransportError(transport) => (chain(&transport.to_string(), transport), -1),
            other => (other.to_string(), -1),
        };
        let known = CURES.iter().find(|(word, _)| text.contains(word));
        let refused = REFUSING.contains(&code);
        Self {
            cure: known.map_or(CURE, |(_, cure)| cure).to_owned(),
            refused,
            compacted: code == OUT_OF_RANGE && text.contains("compacted"),
            elsewhere: !refused,
            problem: None,
            cause: text,
        }
    }
}

/// An error with what caused it: the transport's own words say little.
fn chain(first: &str, error: &dyn std::error::Error) -> String {
    let mut text = first.replace('\n', " ");
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            // Writing into a text can't fail.
            let _ = write!(text, ": {words}");
        }
        // rustls says in its debug form which alert it was.
        source = cause.source();
        if source.is_none() {
            let alert = format!("{cause:?}");
            if alert.contains("AlertReceived") || alert.contains("InvalidCertificate") {
                let _ = write!(text, " ({alert})");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_can_mend_has_its_cure() {
        for (text, word) in [
            ("etcdserver: authentication failed, invalid user ID or password", "password"),
            ("tcp connect error: Connection refused (os error 111)", "start etcd"),
            ("invalid peer certificate: UnknownIssuer", "store.ca"),
            ("received fatal alert: CertificateRequired", "store.certificate"),
            ("etcdserver: mvcc: database space exceeded", "alarm disarm"),
            ("who knows", "endpoint status"),
        ] {
            let fault = Fault::from(Error::WatchError(text.to_owned()));
            assert!(fault.cure.contains(word), "{fault:?}");
            assert!(!fault.refused && fault.elsewhere);
        }
    }
}
