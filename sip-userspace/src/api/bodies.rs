//! What is answered: the commands' answers, each under a schema of its own.

use std::collections::BTreeMap;

use axum::{
    Extension, Json,
    extract::FromRequestParts,
    http::{StatusCode, header::IF_MATCH, request::Parts},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::{fault::Fault, gate::Who};
use crate::{
    control::{Call, ask},
    core::{
        admin::{
            Answer, Command, EdgeView, ServerView,
            plans::PlanView,
            rows::{ClientRow, RecordView, TableRow},
        },
        table::Revision,
    },
};

/// A change is made, and durable.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Done {
    /// The table's revision with it.
    pub(super) revision: Revision,
    /// What was done.
    pub(super) what: String,
}

/// The servers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Servers {
    /// The table's revision.
    pub(super) revision: Revision,
    /// By index.
    pub(super) servers: Vec<ServerView>,
}

/// Hosts that share the table.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Edges {
    /// The table's revision.
    pub(super) revision: Revision,
    /// By name.
    pub(super) edges: Vec<EdgeView>,
}

/// Some clients.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Clients {
    /// The table's revision.
    pub(super) revision: Revision,
    /// By AoR.
    pub(super) clients: Vec<ClientRow>,
    /// There are more behind this AoR.
    pub(super) next: Option<String>,
}

/// Some of the assignments of single clients.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page {
    /// The table's revision.
    pub(super) revision: Revision,
    /// In the table's own order.
    pub(super) rows: Vec<TableRow>,
    /// There are more behind this AoR.
    pub(super) next: Option<String>,
}

/// The last changes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct History {
    /// Newest first.
    pub(super) records: Vec<RecordView>,
    /// Names of the servers that are in the table now, by index.
    pub(super) servers: BTreeMap<String, String>,
}

/// Plans of moves.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Plans {
    /// The table's revision.
    pub(super) revision: Revision,
    /// Oldest first.
    pub(super) plans: Vec<PlanView>,
}

/// What a client is assigned to.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Assignment {
    /// The server's name.
    #[schema(example = "home1")]
    pub(super) server: String,
    /// The balancer leaves the client alone.
    #[serde(default)]
    pub(super) pinned: bool,
    /// The client does not follow redirects.
    #[serde(default)]
    pub(super) no_redirect: bool,
}

/// Assignments to make, all in one commit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Import {
    /// The assignments, at most 2,000.
    pub(super) rows: Vec<TableRow>,
    /// Why; it stands in the history.
    #[serde(default)]
    pub(super) why: Option<String>,
    /// Only say what would change.
    #[serde(default)]
    pub(super) dry_run: bool,
    /// Leave out rows that are wrong, instead of refusing all.
    #[serde(default)]
    pub(super) skip_bad: bool,
}

/// A caller with its way to the driver.
pub(super) struct Caller {
    calls: mpsc::Sender<Call>,
    by: String,
    base: Option<Revision>,
}

impl FromRequestParts<mpsc::Sender<Call>> for Caller {
    type Rejection = Fault;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &mpsc::Sender<Call>,
    ) -> Result<Self, Fault> {
        let who = Extension::<Who>::from_request_parts(parts, state).await;
        let Ok(Extension(Who(by))) = who else { return Err(Fault::odd_answer()) };
        let base = parts.headers.get(IF_MATCH).map(|value| {
            let text = value.to_str().unwrap_or_default().trim().trim_matches('"');
            text.parse().map_err(|reason: String| {
                let cure = "send `If-Match: \"0.12\"`, or leave it out";
                Fault::new(StatusCode::BAD_REQUEST, format!("If-Match: {reason}"), cure)
            })
        });
        Ok(Self { calls: state.clone(), by, base: base.transpose()? })
    }
}

impl Caller {
    /// Gives a command to the driver.
    pub(super) async fn ask(self, command: Command) -> Result<Answer, Fault> {
        Ok(ask(&self.calls, command, self.by, self.base).await?)
    }

    /// Gives a command that changes the table, or says that it is so already.
    pub(super) async fn change(self, command: Command) -> Result<Json<Done>, Fault> {
        match self.ask(command).await? {
            Answer::Done { revision, what } => Ok(Json(Done { revision, what })),
            _ => Err(Fault::odd_answer()),
        }
    }

    /// The same caller once more.
    pub(super) fn again(&self) -> Self {
        Self { calls: self.calls.clone(), by: self.by.clone(), base: None }
    }
}
