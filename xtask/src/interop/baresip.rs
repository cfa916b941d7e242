//! baresip: its configuration, and its control by TCP.
//!
//! A folder for each instance, no devices, no screen. It traces every message (`-s`). Commands
//! are JSON in netstrings (`ctrl_tcp`).

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::client::Plan;
use crate::{
    lab::{HostName, Lab, Service},
    scene::aor,
};

/// The first port of an instance, which takes ten.
const PORTS: u16 = 6000;
/// The first control port.
const CONTROL: u16 = 4400;
/// How long it may take to answer a command.
const PATIENCE: Duration = Duration::from_secs(3);

/// Starts it; it watches a user's presence if one is named.
pub(super) fn start(plan: &Plan, lab: &Lab, watched: Option<&str>) -> Result<Service> {
    let folder = plan.folder(lab)?;
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    };
    let modules = watched.map_or("", |_| "module_app contact.so\nmodule_app presence.so\n");
    write("config", &(configuration(plan, lab) + modules))?;
    write("accounts", &account(plan, lab))?;
    let contact = |user: &str| format!("\"watched\" <sip:{}>;presence=p2p\n", aor(user));
    write("contacts", &watched.map(contact).unwrap_or_default())?;
    let client = lab.host(HostName::Client);
    let mut command = client.command("baresip");
    command.args(["-4", "-s", "-v", "-f"]).arg(&folder);
    client.spawn(command, &plan.user())
}

fn configuration(plan: &Plan, lab: &Lab) -> String {
    let client = lab.host(HostName::Client);
    let authority = lab.certificates().map(|of| of.authority().display().to_string());
    format!(
        "sip_listen {listen}:{port}\nsip_cafile {authority}\ncall_local_timeout 30\n\
         module_path /usr/lib/baresip/modules\nmodule g711.so\nmodule aubridge.so\n\
         module_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n\
         ctrl_tcp_listen 127.0.0.1:{control}\naudio_player aubridge,{user}\n\
         audio_source aubridge,{user}\naudio_alert aubridge,{user}\n",
        listen = client.v4(),
        port = PORTS + 10 * plan.number,
        authority = authority.unwrap_or_default(),
        control = CONTROL + plan.number,
        user = plan.user(),
    )
}

fn account(plan: &Plan, lab: &Lab) -> String {
    format!(
        "<sip:{aor}>;auth_user={user};auth_pass={password};\
         outbound=\"sip:{server};transport={transport}\";regint={expires};answermode=auto\n",
        aor = plan.aor(),
        user = plan.user(),
        password = plan.password(),
        server = plan.address(lab),
        transport = plan.transport.as_str(),
        expires = plan.expires,
    )
}

/// Gives a running instance a command. What becomes of it stands in its trace.
pub(super) fn command(plan: &Plan, lab: &Lab, command: &str, params: &str) -> Result<()> {
    let client = lab.host(HostName::Client);
    let port = CONTROL + plan.number;
    let mut stream = client
        .enter(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)))?
        .with_context(|| format!("{} listens for no commands", plan.user()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let json = serde_json::json!({ "command": command, "params": params }).to_string();
    write!(stream, "{}:{json},", json.len())?;
    // It answers when it has done it; until then the connection has to stay.
    let answered = stream.read(&mut [0; 1024]);
    answered.map(drop).with_context(|| format!("{} takes no commands", plan.user()))
}
