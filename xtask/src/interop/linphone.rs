//! Linphone's console client: its configuration.
//!
//! It needs no screen, a home directory of its own, an input that stays open, and a default
//! route. With `-d 6` it traces every message.

use anyhow::{Context as _, Result};

use super::client::{Plan, Transport};
use crate::lab::{HostName, Lab, Service};

/// The first port of an instance.
const PORTS: u16 = 7000;

/// Starts it.
pub(super) fn start(plan: &Plan, lab: &Lab) -> Result<Service> {
    let folder = plan.folder(lab)?;
    // It does not make the folder of its database.
    let database = folder.join(".local/share/linphone");
    std::fs::create_dir_all(&database)
        .with_context(|| format!("cannot make {}", database.display()))?;
    let file = folder.join("linphonerc");
    std::fs::write(&file, configuration(plan, lab))
        .with_context(|| format!("cannot write {}", file.display()))?;
    let client = lab.host(HostName::Client);
    let mut command = client.command("linphonec");
    command.args(["-d", "6", "-c"]).arg(&file).env("HOME", &folder).current_dir(&folder);
    for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "DISPLAY"] {
        command.env_remove(name);
    }
    client.spawn_interactive(command, &plan.user())
}

fn configuration(plan: &Plan, lab: &Lab) -> String {
    let authority = lab.certificates().map(|of| of.authority().display().to_string());
    let port = |transport| if transport == Transport::Udp { PORTS + 10 * plan.number } else { 0 };
    let udp = port(plan.transport);
    format!(
        "[sip]\nsip_port={udp}\nsip_tcp_port=-1\nsip_tls_port=-1\nuse_ipv6=0\ndefault_proxy=0\n\
         root_ca={authority}\nverify_server_certs=1\nverify_server_cn=1\n\n\
         [proxy_0]\nreg_proxy=<sip:{server};transport={transport}>\n\
         reg_identity=sip:{aor}\nreg_expires={expires}\nreg_sendregister=1\npublish=0\n\n\
         [auth_info_0]\nusername={user}\npasswd={password}\ndomain={domain}\nrealm={domain}\n",
        udp = if udp == 0 { "-1".to_owned() } else { udp.to_string() },
        authority = authority.unwrap_or_default(),
        server = plan.address(lab),
        transport = plan.transport.as_str(),
        aor = plan.aor(),
        expires = plan.expires,
        user = plan.user(),
        password = plan.password(),
        domain = crate::scene::DOMAIN,
    )
}
