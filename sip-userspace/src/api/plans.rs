//! `/v1/plans` and `/v1/balance`: moves between servers, and what the balancer does by itself. The
//! host that leads the cluster answers orders; the others say who that is, as far as they know.

use axum::{
    Json, Router,
    extract::{
        Path,
        rejection::{JsonRejection, PathRejection},
    },
    routing::{get, post},
};
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::{
    bodies::{Caller, Plans},
    fault::Fault,
};
use crate::{
    control::Call,
    core::{
        admin::{
            Answer, Command,
            plans::{BalanceView, PlanOrder, PlanView},
        },
        balance::Mode,
    },
};

type Number = Result<Path<u64>, PathRejection>;
type Shown = Result<Json<PlanView>, Fault>;

/// A plan to be made.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Only show it.
    #[serde(default)]
    what_if: bool,
}

/// What the balancer is to do by itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// What.
    mode: Mode,
}

pub(super) fn routes() -> Router<mpsc::Sender<Call>> {
    Router::new()
        .route("/v1/balance", get(balance).put(set_balance))
        .route("/v1/plans", get(list).post(create))
        .route("/v1/plans/pause", post(pause))
        .route("/v1/plans/resume", post(resume))
        .route("/v1/plans/cancel", post(cancel))
        .route("/v1/plans/{plan}", get(show))
        .route("/v1/plans/{plan}/apply", post(apply))
        .route("/v1/plans/{plan}/rollback", post(roll_back))
}

/// Shows how the balancer stands.
#[utoipa::path(get, path = "/v1/balance", tag = "plans",
    responses((status = 200, body = BalanceView)))]
pub(super) async fn balance(caller: Caller) -> Result<Json<BalanceView>, Fault> {
    set(caller, None).await
}

/// Sets what the balancers of all hosts do by themselves; it stands in the table.
#[utoipa::path(put, path = "/v1/balance", tag = "plans",
    request_body(content = Wish, example = json!({"mode": "advise"})),
    responses((status = 200, body = BalanceView), (status = 503, body = Fault)))]
pub(super) async fn set_balance(
    caller: Caller,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<Json<BalanceView>, Fault> {
    let Json(Wish { mode }) = wish?;
    set(caller, Some(mode)).await
}

async fn set(caller: Caller, mode: Option<Mode>) -> Result<Json<BalanceView>, Fault> {
    match caller.ask(Command::Balance { mode }).await? {
        Answer::Balance(view) => Ok(Json(*view)),
        _ => Err(Fault::odd_answer()),
    }
}

/// Lists the plans that are kept.
#[utoipa::path(get, path = "/v1/plans", tag = "plans",
    responses((status = 200, body = Plans)))]
pub(super) async fn list(caller: Caller) -> Result<Json<Plans>, Fault> {
    match caller.ask(Command::Plan(PlanOrder::Status { plan: None })).await? {
        Answer::Plans { revision, plans } => Ok(Json(Plans { revision, plans })),
        _ => Err(Fault::odd_answer()),
    }
}

/// Makes a plan of the moves that would be better now.
#[utoipa::path(post, path = "/v1/plans", tag = "plans",
    request_body(content = Wanted, example = json!({"what_if": true})),
    responses((status = 200, body = PlanView), (status = 503, body = Fault)))]
pub(super) async fn create(caller: Caller, wanted: Result<Json<Wanted>, JsonRejection>) -> Shown {
    let Json(Wanted { what_if }) = wanted?;
    order(caller, PlanOrder::Create { what_if }).await
}

/// Shows a plan.
#[utoipa::path(get, path = "/v1/plans/{plan}", tag = "plans",
    params(("plan" = u64, Path, example = 1)),
    responses((status = 200, body = PlanView), (status = 400, body = Fault)))]
pub(super) async fn show(caller: Caller, plan: Number) -> Shown {
    let Path(plan) = plan?;
    order(caller, PlanOrder::Status { plan: Some(plan) }).await
}

/// Carries a plan out, unless the table has moved on (409).
#[utoipa::path(post, path = "/v1/plans/{plan}/apply", tag = "plans",
    params(("plan" = u64, Path, example = 1)),
    responses((status = 200, body = PlanView), (status = 400, body = Fault),
        (status = 409, body = Fault)))]
pub(super) async fn apply(caller: Caller, plan: Number) -> Shown {
    let Path(plan) = plan?;
    order(caller, PlanOrder::Apply { plan }).await
}

/// Moves back what a plan has moved.
#[utoipa::path(post, path = "/v1/plans/{plan}/rollback", tag = "plans",
    params(("plan" = u64, Path, example = 1)),
    responses((status = 200, body = PlanView), (status = 400, body = Fault),
        (status = 409, body = Fault)))]
pub(super) async fn roll_back(caller: Caller, plan: Number) -> Shown {
    let Path(plan) = plan?;
    order(caller, PlanOrder::Rollback { plan }).await
}

/// Begins no more moves of the plan that is carried out.
#[utoipa::path(post, path = "/v1/plans/pause", tag = "plans",
    responses((status = 200, body = PlanView), (status = 400, body = Fault)))]
pub(super) async fn pause(caller: Caller) -> Shown {
    order(caller, PlanOrder::Pause).await
}

/// Goes on with the plan that was paused.
#[utoipa::path(post, path = "/v1/plans/resume", tag = "plans",
    responses((status = 200, body = PlanView), (status = 400, body = Fault)))]
pub(super) async fn resume(caller: Caller) -> Shown {
    order(caller, PlanOrder::Resume).await
}

/// Begins no more moves of the plan that is carried out, and takes back those in progress.
#[utoipa::path(post, path = "/v1/plans/cancel", tag = "plans",
    responses((status = 200, body = PlanView), (status = 400, body = Fault)))]
pub(super) async fn cancel(caller: Caller) -> Shown {
    order(caller, PlanOrder::Cancel).await
}

async fn order(caller: Caller, order: PlanOrder) -> Shown {
    match caller.ask(Command::Plan(order)).await? {
        Answer::Plan(plan) => Ok(Json(*plan)),
        _ => Err(Fault::odd_answer()),
    }
}
