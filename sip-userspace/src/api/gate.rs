//! Who may pass: a token in `Authorization: Bearer`, looked up in constant time.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    REQUEST_TIME,
    fault::Fault,
    tokens::{Role, Stamp, TokenError, Tokens},
};

/// The file of tokens is looked at so often.
const LOOK: Duration = Duration::from_secs(1);

/// Who asks: the token's name, as the history has it.
#[derive(Clone, Debug)]
pub(super) struct Who(pub(super) String);

/// The tokens, and what was made of them.
pub(super) struct Gate {
    path: PathBuf,
    /// A lock, since connections share it; it is held for one look-up.
    inner: Mutex<Inner>,
    passed: AtomicU64,
    unauthorized: AtomicU64,
    forbidden: AtomicU64,
}

struct Inner {
    tokens: Tokens,
    looked: Instant,
    /// What is wrong with the file as it is now.
    wrong: Option<(Option<Stamp>, String)>,
}

impl std::fmt::Debug for Gate {
    /// Leaves the tokens out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Gate {
    pub(super) fn new(path: PathBuf) -> Result<Self, TokenError> {
        let inner = Inner { tokens: Tokens::read(&path)?, looked: Instant::now(), wrong: None };
        let inner = Mutex::new(inner);
        let [passed, unauthorized, forbidden] = [const { AtomicU64::new(0) }; 3];
        Ok(Self { path, inner, passed, unauthorized, forbidden })
    }

    pub(super) fn status(&self, address: SocketAddr) -> serde_json::Value {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        json!({
            "listen": address.to_string(),
            "tokens": inner.tokens.len(),
            "tokens_failed": inner.wrong.as_ref().map(|(_, reason)| reason),
            "passed": self.passed.load(Relaxed),
            "unauthorized": self.unauthorized.load(Relaxed),
            "forbidden": self.forbidden.load(Relaxed),
        })
    }

    fn find(&self, secret: &str) -> Option<(String, Role)> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.looked.elapsed() >= LOOK {
            inner.looked = Instant::now();
            self.look(&mut inner);
        }
        inner.tokens.find(secret).map(|(name, role)| (name.to_owned(), role))
    }

    /// Reads the file again if it has changed.
    fn look(&self, inner: &mut Inner) {
        let stamp = Stamp::of(&self.path).ok();
        let known = match &inner.wrong {
            Some((wrong, _)) => *wrong == stamp,
            None => stamp == Some(inner.tokens.stamp()),
        };
        if known {
            return;
        }
        match Tokens::read(&self.path) {
            Ok(tokens) => {
                tracing::info!(tokens = tokens.len(), "the API's tokens were read again");
                (inner.tokens, inner.wrong) = (tokens, None);
            }
            Err(error) => {
                tracing::error!(%error, "the API's tokens stay as they were");
                inner.wrong = Some((stamp, error.to_string()));
            }
        }
    }
}

/// Lets a request through that has a token which allows it, and ends one that takes too long.
pub(super) async fn pass(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Response {
    let bearer = request.headers().get(header::AUTHORIZATION);
    let bearer = bearer.and_then(|value| value.to_str().ok()?.split_once(' '));
    let secret = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let found = secret.and_then(|(_, secret)| gate.find(secret.trim()));
    let Some((name, role)) = found else {
        gate.unauthorized.fetch_add(1, Relaxed);
        let fault = Fault::new(
            StatusCode::UNAUTHORIZED,
            "no valid token",
            "send `Authorization: Bearer TOKEN` with a token of api.token_file",
        );
        return ([(header::WWW_AUTHENTICATE, "Bearer")], fault).into_response();
    };
    let looks = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !looks && role < Role::Write {
        gate.forbidden.fetch_add(1, Relaxed);
        let reason = format!("the token `{name}` may only read");
        let cure = "use one whose role in api.token_file is write";
        return Fault::new(StatusCode::FORBIDDEN, reason, cure).into_response();
    }
    gate.passed.fetch_add(1, Relaxed);
    request.extensions_mut().insert(Who(format!("api:{name}")));
    match tokio::time::timeout(REQUEST_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Fault::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the request took longer than {} s", REQUEST_TIME.as_secs()),
            "a change may still be made: look before you repeat it",
        )
        .into_response(),
    }
}
