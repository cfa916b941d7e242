//! `/v1/table` and `/v1/history`.

use axum::{
    Json, Router,
    extract::{
        Query,
        rejection::{JsonRejection, QueryRejection},
    },
    http::StatusCode,
    routing::get,
};
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::IntoParams;

use super::{
    bodies::{Caller, History, Import, Page},
    fault::Fault,
};
use crate::{
    control::Call,
    core::{
        admin::{
            Answer, Command,
            rows::{HISTORY_PAGE_MAX, ImportView},
        },
        table::Revision,
    },
};

pub(super) fn routes() -> Router<mpsc::Sender<Call>> {
    Router::new().route("/v1/table", get(export).post(import)).route("/v1/history", get(history))
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only if the table is still at this revision; 409 otherwise.
    revision: Option<String>,
    /// Only those behind this AoR, in the table's own order.
    #[param(example = "alice@example.com")]
    after: Option<String>,
}

/// Gives the assignments of single clients, a page at a time.
#[utoipa::path(get, path = "/v1/table", tag = "table", params(Which),
    responses((status = 200, body = Page), (status = 409, body = Fault)))]
pub(super) async fn export(
    caller: Caller,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Page>, Fault> {
    let Query(Which { revision: at, after }) = which?;
    let revision = at.as_deref().map(revision).transpose()?;
    match caller.ask(Command::TablePage { revision, after }).await? {
        Answer::TablePage { revision, rows, next } => Ok(Json(Page { revision, rows, next })),
        _ => Err(Fault::odd_answer()),
    }
}

/// Assigns clients, all in one commit.
#[utoipa::path(post, path = "/v1/table", tag = "table",
    request_body(content = Import, example = json!({
        "rows": [{"aor": "alice@example.com", "server": "home1", "pinned": true}],
        "why": "moved house", "dry_run": true
    })),
    responses((status = 200, body = ImportView), (status = 400, body = Fault),
        (status = 413, body = Fault)))]
pub(super) async fn import(
    caller: Caller,
    import: Result<Json<Import>, JsonRejection>,
) -> Result<Json<ImportView>, Fault> {
    let Json(Import { rows, why, dry_run, skip_bad }) = import?;
    match caller.ask(Command::TableImport { rows, why, dry_run, skip_bad }).await? {
        Answer::Imported(view) => Ok(Json(*view)),
        _ => Err(Fault::odd_answer()),
    }
}

/// Which changes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct When {
    /// Only those before this revision.
    #[param(example = "1.0")]
    before: Option<String>,
    /// At most so many, 1 to 200.
    #[param(example = 10)]
    limit: Option<u32>,
}

/// Shows the last changes.
#[utoipa::path(get, path = "/v1/history", tag = "table", params(When),
    responses((status = 200, body = History), (status = 400, body = Fault)))]
pub(super) async fn history(
    caller: Caller,
    when: Result<Query<When>, QueryRejection>,
) -> Result<Json<History>, Fault> {
    let Query(When { before, limit }) = when?;
    let before = before.as_deref().map(revision).transpose()?;
    let limit = limit.unwrap_or(HISTORY_PAGE_MAX as u32);
    match caller.ask(Command::TableHistory { before, limit }).await? {
        Answer::History { records, servers } => Ok(Json(History { records, servers })),
        _ => Err(Fault::odd_answer()),
    }
}

fn revision(text: &str) -> Result<Revision, Fault> {
    text.parse().map_err(|reason: String| {
        Fault::new(StatusCode::BAD_REQUEST, reason, "take it from an answer")
    })
}
