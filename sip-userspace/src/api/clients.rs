//! `/v1/clients`.

use axum::{
    Json, Router,
    extract::{
        Path, Query,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    routing::get,
};
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::IntoParams;

use super::{
    bodies::{Assignment, Caller, Clients, Done},
    fault::Fault,
};
use crate::{
    control::Call,
    core::admin::{Answer, ClientView, Command, rows::ROWS_MAX},
};

type Aor = Result<Path<String>, PathRejection>;

pub(super) fn routes() -> Router<mpsc::Sender<Call>> {
    Router::new()
        .route("/v1/clients", get(list))
        .route("/v1/clients/{aor}", get(show).put(assign).delete(unassign))
}

/// Which clients.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only those whose AoR begins so.
    #[serde(default)]
    #[param(example = "a")]
    prefix: String,
    /// Only those whose home is this server.
    #[param(example = "home1")]
    home: Option<String>,
    /// Only those behind this AoR.
    #[param(example = "alice@example.com")]
    after: Option<String>,
    /// At most so many, 1 to 2,000.
    #[param(example = 100)]
    limit: Option<u32>,
}

/// Lists clients that have an assignment of their own, and those that are registered here.
#[utoipa::path(get, path = "/v1/clients", tag = "clients", params(Which),
    responses((status = 200, body = Clients), (status = 400, body = Fault)))]
pub(super) async fn list(
    caller: Caller,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Clients>, Fault> {
    let Query(Which { prefix, home, after, limit }) = which?;
    let limit = limit.unwrap_or(ROWS_MAX as u32);
    match caller.ask(Command::ClientList { prefix, home, after, limit }).await? {
        Answer::Clients { revision, clients, next } => {
            Ok(Json(Clients { revision, clients, next }))
        }
        _ => Err(Fault::odd_answer()),
    }
}

/// Shows a client's home, why it is there, and its bindings.
#[utoipa::path(get, path = "/v1/clients/{aor}", tag = "clients",
    params(("aor" = String, Path, example = "alice@example.com")),
    responses((status = 200, body = ClientView), (status = 400, body = Fault)))]
pub(super) async fn show(caller: Caller, aor: Aor) -> Result<Json<ClientView>, Fault> {
    let Path(aor) = aor?;
    match caller.ask(Command::ClientShow { aor, source: None }).await? {
        Answer::Client(view) => Ok(Json(*view)),
        _ => Err(Fault::odd_answer()),
    }
}

/// Assigns a client to a server.
#[utoipa::path(put, path = "/v1/clients/{aor}", tag = "clients",
    params(("aor" = String, Path, example = "alice@example.com")),
    request_body(content = Assignment, example = json!({"server": "home1", "pinned": true})),
    responses((status = 200, body = Done), (status = 400, body = Fault)))]
pub(super) async fn assign(
    caller: Caller,
    aor: Aor,
    assignment: Result<Json<Assignment>, JsonRejection>,
) -> Result<Json<Done>, Fault> {
    let (Path(aor), Json(Assignment { server, pinned, no_redirect })) = (aor?, assignment?);
    caller.change(Command::Assign { aor, server, pinned, no_redirect }).await
}

/// Gives a client back to its slot.
#[utoipa::path(delete, path = "/v1/clients/{aor}", tag = "clients",
    params(("aor" = String, Path, example = "alice@example.com")),
    responses((status = 200, body = Done), (status = 400, body = Fault)))]
pub(super) async fn unassign(caller: Caller, aor: Aor) -> Result<Json<Done>, Fault> {
    let Path(aor) = aor?;
    caller.change(Command::Unassign { aor }).await
}
