//! What is told about an interface, and left to the operator or as it is.

use super::observe::Seen;
use crate::doctor::interface::MTU_ONE_PAGE;

/// The default of receive.buffer, bytes.
const BUFFER: u64 = 8_388_608;

/// What is told, and left to the operator or as it is.
pub(super) fn notes(seen: &Seen) -> Vec<String> {
    let mut notes = Vec::new();
    if seen.mtu > MTU_ONE_PAGE {
        notes.push(format!(
            "MTU {}: most drivers refuse native XDP above {MTU_ONE_PAGE}; `ip link set {} mtu \
             1500`, if everything else on this link can do with it",
            seen.mtu, seen.name
        ));
    }
    let sysctl = |name: &str| seen.sysctls.get(name).copied();
    if let Some(most) = sysctl("net.core.rmem_max").filter(|most| *most < BUFFER) {
        notes.push(format!(
            "net.core.rmem_max {most} is below receive.buffer: no matter, as the daemon has \
             CAP_NET_ADMIN and may exceed it"
        ));
    }
    match (sysctl("net.core.busy_read"), sysctl("net.core.busy_poll")) {
        (None, _) => {}
        (Some(0), _) => notes.push(
            "busy polling is off, and stays off: redirects don't need it, and it would take the \
             daemon's threads a processor each"
                .into(),
        ),
        (Some(read), poll) => notes.push(format!(
            "busy polling is on ({read} us, poll {} us): the daemon's threads spin; good only with \
             processors to spare",
            poll.unwrap_or_default()
        )),
    }
    if let Some(swappiness) = sysctl("vm.swappiness").filter(|value| *value > 60) {
        notes
            .push(format!("vm.swappiness {swappiness}: a daemon that is swapped out answers late"));
    }
    if seen.driver == "virtio_net" {
        let queues = seen.channels.get("Combined").map_or(0, |row| row.most as usize);
        if queues < 2 * seen.processors {
            notes.push(format!(
                "the hypervisor gives {queues} queue pairs; with {} (twice the processors) XDP gets \
                 send queues of its own and shares no lock",
                2 * seen.processors
            ));
        }
    }
    notes
}
