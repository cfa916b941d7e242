//! What went wrong, as JSON: the reason and the cure, under the status that fits.

use axum::{
    Json,
    extract::rejection::{JsonRejection, PathRejection, QueryRejection},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::core::{
    admin::{self, Refused},
    table::Revision,
};

/// A request that was not carried out. Nothing was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Fault {
    #[serde(skip)]
    status: StatusCode,
    /// The name of what is wrong, and why.
    reason: String,
    /// What to do about it.
    cure: String,
    /// The table's revision, if it was not the one that was expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<Revision>,
}

impl Fault {
    pub(super) fn new(
        status: StatusCode,
        reason: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { status, reason: reason.into(), cure: cure.into(), current: None }
    }

    /// The driver answered something else than it was asked.
    pub(super) fn odd_answer() -> Self {
        let cure = "this is a defect; the daemon's log may say more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the daemon answered something else", cure)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        let status = match (refused.fault, refused.current, refused.parts_max) {
            (_, Some(_), _) => StatusCode::CONFLICT,
            (_, _, Some(_)) => StatusCode::PAYLOAD_TOO_LARGE,
            (admin::Fault::Argument, ..) => StatusCode::BAD_REQUEST,
            (admin::Fault::Daemon, ..) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self { current: refused.current, ..Self::new(status, refused.reason, refused.cure) }
    }
}

impl From<JsonRejection> for Fault {
    fn from(rejection: JsonRejection) -> Self {
        let status = match rejection.status() {
            status @ (StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE) => status,
            _ => StatusCode::BAD_REQUEST,
        };
        let cure = "see /v1/openapi.json; send JSON with `Content-Type: application/json`";
        Self::new(status, rejection.body_text(), cure)
    }
}

impl From<QueryRejection> for Fault {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, rejection.body_text(), "see /v1/openapi.json")
    }
}

impl From<PathRejection> for Fault {
    fn from(rejection: PathRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, rejection.body_text(), "see /v1/openapi.json")
    }
}

pub(super) async fn no_such_path(uri: Uri) -> Fault {
    let reason = format!("there is no {}", uri.path());
    Fault::new(StatusCode::NOT_FOUND, reason, "see /v1/openapi.json")
}

pub(super) async fn no_such_method(uri: Uri) -> Fault {
    let reason = format!("{} does not take this method", uri.path());
    Fault::new(StatusCode::METHOD_NOT_ALLOWED, reason, "see /v1/openapi.json")
}
