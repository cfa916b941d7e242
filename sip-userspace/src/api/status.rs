//! `/v1/status`, `/v1/edges` and the document of all this.

use axum::{
    Json, Router,
    extract::{
        Path, Query,
        rejection::{PathRejection, QueryRejection},
    },
    routing::{delete, get},
};
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::{IntoParams, OpenApi as _};

use super::{
    bodies::{Caller, Done, Edges},
    document::Document,
    fault::Fault,
};
use crate::{
    control::Call,
    core::{
        admin::{Answer, Command, StatusView},
        load::LoadView,
    },
};

pub(super) fn routes() -> Router<mpsc::Sender<Call>> {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/load", get(load))
        .route("/v1/edges", get(edges))
        .route("/v1/edges/{host}", delete(forget))
        .route("/v1/openapi.json", get(document))
}

/// Shows the daemon's state.
#[utoipa::path(get, path = "/v1/status", tag = "status",
    responses((status = 200, body = StatusView)))]
pub(super) async fn status(caller: Caller) -> Result<Json<StatusView>, Fault> {
    match caller.ask(Command::Status).await? {
        Answer::Status(view) => Ok(Json(*view)),
        _ => Err(Fault::odd_answer()),
    }
}

/// What of the load is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Past {
    /// Also the windows of the last hour.
    #[serde(default)]
    history: bool,
}

/// Shows the load of the servers, and the clients that stand out.
#[utoipa::path(get, path = "/v1/load", tag = "status", params(Past),
    responses((status = 200, body = LoadView)))]
pub(super) async fn load(
    caller: Caller,
    past: Result<Query<Past>, QueryRejection>,
) -> Result<Json<LoadView>, Fault> {
    let Query(Past { history }) = past?;
    match caller.ask(Command::Load { history }).await? {
        Answer::Load(view) => Ok(Json(*view)),
        _ => Err(Fault::odd_answer()),
    }
}

/// Lists the hosts that share the table.
#[utoipa::path(get, path = "/v1/edges", tag = "status",
    responses((status = 200, body = Edges)))]
pub(super) async fn edges(caller: Caller) -> Result<Json<Edges>, Fault> {
    match caller.ask(Command::EdgeList).await? {
        Answer::Edges { revision, edges } => Ok(Json(Edges { revision, edges })),
        _ => Err(Fault::odd_answer()),
    }
}

/// Takes a host out of those that a removal waits for.
#[utoipa::path(delete, path = "/v1/edges/{host}", tag = "status",
    params(("host" = String, Path, example = "home1")),
    responses((status = 200, body = Done), (status = 503, body = Fault)))]
pub(super) async fn forget(
    caller: Caller,
    host: Result<Path<String>, PathRejection>,
) -> Result<Json<Done>, Fault> {
    let Path(host) = host?;
    caller.change(Command::EdgeForget { host }).await
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "status",
    responses((status = 200, body = serde_json::Value)))]
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}
