//! The edge host's proxy: Kamailio with `lab/kamailio-edge.cfg`; and how a Kamailio is started.

use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{HostName, Lab, Service};
use crate::{interrupt, setup::peers::Kamailio, workspace};

/// How long it has to answer its first OPTIONS.
const START: Duration = Duration::from_secs(10);

/// Starts it and waits until the client gets an answer from it, by IPv4 and by IPv6.
pub(super) fn start(lab: &Lab, kamailio: &Kamailio) -> Result<Service> {
    let service = run(lab, kamailio, HostName::Edge, "kamailio-edge.cfg", &[])?;
    wait(lab, service, &addresses(lab), "SIP/2.0 200")
}

/// Starts a Kamailio on a host, with a configuration of the lab's folder and more arguments.
pub(super) fn run(
    lab: &Lab,
    kamailio: &Kamailio,
    host: HostName,
    configuration: &str,
    arguments: &[String],
) -> Result<Service> {
    let here = lab.host(host);
    let folder = here.dir();
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let mut command = here.command(&kamailio.binary);
    command
        // In the foreground, errors to the log; its files in the run directory.
        .args(["-DD", "-E", "-m", "64", "-M", "8", "-f"])
        .arg(workspace::root().join("xtask/lab").join(configuration))
        .arg("-L")
        .arg(&kamailio.modules)
        .arg("-Y")
        .arg(&folder)
        .arg("-w")
        .arg(&folder)
        .arg("-P")
        .arg(folder.join("kamailio.pid"))
        .args(arguments);
    if let Some(certificates) = lab.certificates() {
        let folder = certificates.folder().display();
        command.args(["-A", "STREAMS", &format!("--subst=!CERTIFICATES!{folder}!g")]);
    }
    // Libraries that modules share stand beside their folder.
    if let Some(libraries) = kamailio.modules.parent() {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    here.spawn(command, &format!("{host}-kamailio"))
}

/// Waits until each address answers OPTIONS so that the answer begins with `line`.
pub(super) fn wait(
    lab: &Lab,
    mut service: Service,
    addresses: &[(SocketAddr, SocketAddr)],
    line: &str,
) -> Result<Service> {
    let deadline = Instant::now() + START;
    for (from, to) in addresses.iter().copied() {
        while !answers(lab, from, to, line)? {
            interrupt::check()?;
            if let Some(status) = service.ended()? {
                bail!("kamailio ended ({status}):\n{}", service.log_tail(12));
            }
            if Instant::now() > deadline {
                bail!("kamailio at {to} does not answer:\n{}", service.log_tail(12));
            }
        }
    }
    Ok(service)
}

fn addresses(lab: &Lab) -> [(SocketAddr, SocketAddr); 2] {
    let (client, edge) = (lab.host(HostName::Client), lab.host(HostName::Edge));
    [
        (SocketAddr::new(client.v4().into(), 0), edge.sip()),
        (SocketAddr::new(client.v6().into(), 0), edge.sip_v6()),
    ]
}

/// Whether an OPTIONS from the client's host gets such an answer within a moment.
fn answers(lab: &Lab, from: SocketAddr, to: SocketAddr, line: &str) -> Result<bool> {
    let ask = || -> std::io::Result<bool> {
        let socket = UdpSocket::bind(from)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let source = socket.local_addr()?;
        let request = format!(
            "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bK{port}\r\n\
             Max-Forwards: 1\r\nFrom: <sip:lab@{source}>;tag=lab\r\nTo: <sip:{to}>\r\n\
             Call-ID: lab-{port}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
            port = source.port()
        );
        socket.send_to(request.as_bytes(), to)?;
        let mut answer = [0; 2048];
        let (length, _) = socket.recv_from(&mut answer)?;
        Ok(answer.get(..length).is_some_and(|answer| answer.starts_with(line.as_bytes())))
    };
    // No answer yet, or the port is closed as yet: both are "not yet".
    Ok(lab.host(HostName::Client).enter(ask)?.unwrap_or(false))
}
