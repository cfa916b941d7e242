//! What may be said about a server, by a command or by the API: each part by itself, so that what
//! is not said stays.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::core::table::{ContactHost, Fill, Kind, State};

/// What is said about a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerFields {
    /// Where requests are forwarded to over UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "192.0.2.1:5060")]
    pub address: Option<SocketAddr>,
    /// What a 302 names; the address if it was never said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<ContactHost>,
    /// The server that a 302 names beside it; `none` for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standby: Option<String>,
    /// Its share of the slots, against the other servers' weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// How it comes by that share: at once by weight, or by moves alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fill: Option<Fill>,
    /// What it may be asked to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Clients that it can serve; 0 if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
    /// What answers there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Where it takes requests over TCP, `IP:PORT`; `none` for nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<String>,
    /// Where it takes requests over TLS, `IP:PORT`; `none` for nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Where other Homeward hosts ask it, `IP:PORT`; `none` for nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
}
