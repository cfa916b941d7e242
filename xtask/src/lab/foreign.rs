//! Homes that are not Homeward: Kamailio with `lab/kamailio-home.cfg`, its bindings in memory.

use std::net::SocketAddr;

use anyhow::Result;

use super::{HostName, Lab, Service, edge};
use crate::setup::peers::Kamailio;

/// Starts one on a host, for UDP and TCP, and waits until the client gets an answer from it.
pub(super) fn start(lab: &Lab, kamailio: &Kamailio, host: HostName) -> Result<Service> {
    let sip = lab.host(host).sip();
    let listen = ["udp", "tcp"].map(|transport| format!("-l{transport}:{sip}"));
    let service = edge::run(lab, kamailio, host, "kamailio-home.cfg", &listen)?;
    let client = SocketAddr::new(lab.host(HostName::Client).v4().into(), 0);
    // It knows nobody of that name, which is an answer, too.
    edge::wait(lab, service, &[(client, sip)], "SIP/2.0 404")
}
