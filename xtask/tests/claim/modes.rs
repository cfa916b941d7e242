//! With and without XDP, in its modes: the same answers, and nothing left attached.

use std::process::Command;

use xtask::{
    lab::{
        Host,
        HostName::{A, B},
    },
    process,
    scene::{MODELS, Settings},
};

use crate::{assert_redirect, stage};

fn mode(mode: &'static str) -> Settings {
    Settings { mode: Some(mode), ..Settings::default() }
}

/// What `ip` says of the host's interface, with programs that are attached.
fn link(host: &Host) -> String {
    let mut ip = Command::new("ip");
    process::capture(ip.args(["-n", &host.namespace(), "-d", "link", "show", "eth0"])).unwrap()
}

#[test]
#[ignore = "needs root"]
fn with_xdp_off_the_same_redirect_has_the_same_bytes() {
    let mut stage = stage("c-off", &mode("native"));
    let (a, b) = (stage.sip(A), stage.sip(B));
    let mut phones: Vec<_> = MODELS
        .iter()
        .map(|model| {
            let mut phone = stage.phone(model, &format!("same-{}", model.maker)).unwrap();
            let first = phone.register(a).unwrap();
            assert_redirect(&first.answer, a, b);
            (phone, first)
        })
        .collect();
    let all = MODELS.len() as u64;
    assert_eq!(stage.homeward(A).status().unwrap().kernel_count("redirect"), all);
    for (other, by_kernel) in [("off", 0), ("generic", all), ("native", all)] {
        stage = stage.restart_a(&mode(other)).unwrap();
        for (phone, first) in &mut phones {
            let again = phone.exchange(first.request.clone(), a).unwrap();
            let (again, first) = (again.answer, &first.answer);
            assert_eq!(again.text(), first.text(), "{other}: {}", phone.model().maker);
            assert_eq!(&again, first, "{other}: {}", phone.model().maker);
        }
        let status = stage.homeward(A).status().unwrap();
        assert_eq!(status.kernel_count("redirect"), by_kernel, "{other}");
        let modes: Vec<_> = status.kernel().interfaces.iter().map(|at| at.mode.as_str()).collect();
        assert_eq!(modes, if other == "off" { vec![] } else { vec![other] });
    }
}

#[test]
#[ignore = "needs root"]
fn sigterm_leaves_nothing_attached() {
    let stage = stage("c-term", &mode("native"));
    let (a, socket) = (stage.lab().host(A), stage.lab().host(A).control_socket());
    assert!(link(&a).contains("xdp"), "{}", link(&a));
    let lab = stage.clear().unwrap();
    for host in [lab.host(A), lab.host(B)] {
        assert!(!link(&host).contains("xdp"), "{}", link(&host));
    }
    assert!(!socket.exists());
    // A bpffs has files of its own at its root; the daemons' folders would be beside them.
    for host in [A, B] {
        assert!(!lab.bpffs().join(host.as_str()).exists(), "{host} left pins");
    }
}

#[test]
#[ignore = "needs root"]
fn kill_leaves_nothing_attached_and_the_next_start_takes_over() {
    let mut stage = stage("c-kill", &mode("native"));
    let host = stage.lab().host(A);
    let service = stage.a().service();
    service.signal(nix::sys::signal::Signal::SIGKILL).unwrap();
    service.wait(std::time::Duration::from_secs(5)).unwrap().unwrap();
    assert!(!link(&host).contains("xdp"), "{}", link(&host));
    let (a, b) = (stage.sip(A), stage.sip(B));
    let stage = stage.start_a_again(&mode("native")).unwrap();
    let mut phone = stage.phone(&MODELS[0], "after").unwrap();
    assert_redirect(&phone.register(a).unwrap().answer, a, b);
    assert_eq!(stage.homeward(A).status().unwrap().kernel_count("redirect"), 1);
}
