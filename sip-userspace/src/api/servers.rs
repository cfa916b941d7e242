//! `/v1/servers`.

use axum::{
    Json, Router,
    extract::{
        Path, Query,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    routing::{get, post, put},
};
use tokio::sync::mpsc;

use super::{
    bodies::{Caller, Done, Servers},
    fault::Fault,
};
use crate::{
    control::Call,
    core::{
        admin::{Answer, Command, ServerFields},
        table::State,
    },
};

type Name = Result<Path<String>, PathRejection>;
type Fields = Result<Json<ServerFields>, JsonRejection>;
type Paced = Result<Query<Pace>, QueryRejection>;
type Changed = Result<Json<Done>, Fault>;

/// How fast a server is emptied; at the balancer's own pace if nothing is said.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Pace {
    /// Moves that begin in a second, of slots and of clients.
    #[serde(default)]
    rate: Option<u32>,
    /// Seconds after which it should be empty.
    #[serde(default)]
    within_s: Option<u32>,
}

pub(super) fn routes() -> Router<mpsc::Sender<Call>> {
    Router::new()
        .route("/v1/servers", get(list))
        .route("/v1/servers/{name}", put(store).patch(change).delete(remove))
        .route("/v1/servers/{name}/drain", post(drain))
        .route("/v1/servers/{name}/undrain", post(undrain))
        .route("/v1/servers/{name}/disable", post(disable))
        .route("/v1/servers/{name}/enable", post(enable))
}

/// Lists the servers.
#[utoipa::path(get, path = "/v1/servers", tag = "servers",
    responses((status = 200, body = Servers)))]
pub(super) async fn list(caller: Caller) -> Result<Json<Servers>, Fault> {
    match caller.ask(Command::ServerList).await? {
        Answer::Servers { revision, servers } => Ok(Json(Servers { revision, servers })),
        _ => Err(Fault::odd_answer()),
    }
}

/// Adds a server, or changes what is said about one that is there.
#[utoipa::path(put, path = "/v1/servers/{name}", tag = "servers",
    params(("name" = String, Path, example = "home9")),
    request_body(content = ServerFields, example = json!({"address": "192.0.2.9:5060"})),
    responses((status = 200, body = Done), (status = 400, body = Fault)))]
pub(super) async fn store(caller: Caller, name: Name, fields: Fields) -> Changed {
    let (Path(name), Json(fields)) = (name?, fields?);
    let Answer::Servers { servers, .. } = caller.again().ask(Command::ServerList).await? else {
        return Err(Fault::odd_answer());
    };
    let is_there = servers.iter().any(|server| server.name == name);
    let command = match is_there {
        true => Command::ServerSet { name, fields },
        false => Command::ServerAdd { name, fields },
    };
    caller.change(command).await
}

/// Changes a server; what is not said stays.
#[utoipa::path(patch, path = "/v1/servers/{name}", tag = "servers",
    params(("name" = String, Path, example = "home1")),
    request_body(content = ServerFields, example = json!({"weight": 50, "capacity": 70000})),
    responses((status = 200, body = Done), (status = 400, body = Fault)))]
pub(super) async fn change(caller: Caller, name: Name, fields: Fields) -> Changed {
    let (Path(name), Json(fields)) = (name?, fields?);
    caller.change(Command::ServerSet { name, fields }).await
}

/// Removes a server that is out of use, and that nothing leads to any more.
#[utoipa::path(delete, path = "/v1/servers/{name}", tag = "servers",
    params(("name" = String, Path, example = "home3")),
    responses((status = 200, body = Done), (status = 400, body = Fault)))]
pub(super) async fn remove(caller: Caller, name: Name) -> Changed {
    let Path(name) = name?;
    caller.change(Command::ServerRemove { name }).await
}

/// Empties a server: it keeps what it has until the balancer has moved it to the others.
#[utoipa::path(post, path = "/v1/servers/{name}/drain", tag = "servers",
    params(("name" = String, Path, example = "home1"), Pace),
    responses((status = 200, body = Done), (status = 400, body = Fault)))]
pub(super) async fn drain(caller: Caller, name: Name, pace: Paced) -> Changed {
    let (Path(name), Query(Pace { rate, within_s })) = (name?, pace?);
    caller.change(Command::ServerDrain { name, rate, within_s }).await
}

/// Takes a server into use again.
#[utoipa::path(post, path = "/v1/servers/{name}/undrain", tag = "servers",
    params(("name" = String, Path, example = "home1")),
    responses((status = 200, body = Done), (status = 400, body = Fault)))]
pub(super) async fn undrain(caller: Caller, name: Name) -> Changed {
    state(caller, name, State::Up).await
}

/// Takes a server out of use at once.
#[utoipa::path(post, path = "/v1/servers/{name}/disable", tag = "servers",
    params(("name" = String, Path, example = "home1")),
    responses((status = 200, body = Done), (status = 400, body = Fault)))]
pub(super) async fn disable(caller: Caller, name: Name) -> Changed {
    state(caller, name, State::Disabled).await
}

/// Takes a server into use again.
#[utoipa::path(post, path = "/v1/servers/{name}/enable", tag = "servers",
    params(("name" = String, Path, example = "home1")),
    responses((status = 200, body = Done), (status = 400, body = Fault)))]
pub(super) async fn enable(caller: Caller, name: Name) -> Changed {
    state(caller, name, State::Up).await
}

async fn state(caller: Caller, name: Name, state: State) -> Changed {
    let Path(name) = name?;
    let fields = ServerFields { state: Some(state), ..ServerFields::default() };
    caller.change(Command::ServerSet { name, fields }).await
}
