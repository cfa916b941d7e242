//! What the core has done, counted. Each counter's name is its name in metrics.

macro_rules! counters {
    ($($name:ident: $text:literal,)*) => {
        /// Counts since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $(#[doc = $text] pub $name: u64,)* }

        impl Counters {
            /// Names, texts and counts.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), $text, self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    datagrams: "datagrams taken",
    silent: "datagrams that are never answered",
    redirects_strict: "redirects made by the kernel's own code",
    redirects: "redirects made by the general path",
    forwards_strict: "messages forwarded without state by the kernel's own code",
    registers: "requests handed to the registrar",
    registered: "requests that the registrar accepted",
    registers_shed: "requests shed because too many answers wait for their records",
    registers_paced: "requests sent away for a while because too many came at once",
    removals_forgotten: "contacts taken back that there was no room to remember: a copy may come back",
    bindings_expired: "bindings that ran out",
    options: "OPTIONS answered with 200",
    refused: "requests refused with a final answer",
    malformed: "requests answered for a fault of their form",
    retransmissions_absorbed: "retransmissions of a request that is being proxied",
    retransmissions_answered: "retransmissions answered with the same bytes",
    transactions_full: "requests shed because every server transaction is taken",
    proxied: "requests forwarded",
    proxied_standby: "requests forwarded to another target after the first: a standby home, the next contact",
    proxied_retransmissions: "retransmissions of forwarded requests",
    proxied_answers: "responses sent back",
    proxied_stateless: "messages forwarded without state",
    proxy_acks: "ACKs sent for refused INVITEs",
    proxy_cancels: "CANCELs sent",
    proxy_timeouts: "proxied requests that nobody answered",
    proxy_unreachable: "proxied requests that nobody could be sent",
    proxy_full: "requests shed because too many are being proxied",
    proxy_no_address: "requests for a home or a next hop that no served address can reach",
    no_contact: "requests for a client that is at home here and has no binding",
    cancels: "CANCELs of a request that is being proxied",
    acks_absorbed: "ACKs of refusals",
    unacknowledged: "refused INVITEs that nobody acknowledged",
    late_100: "requests other than INVITE told by a 100 that they take long",
    responses_stray: "responses that nobody waits for",
    responses_absorbed: "provisional and repeated responses",
    flows_failed: "flows that ended or could not be opened",
    auth_accepted: "requests with right credentials",
    auth_challenged: "requests without credentials that were challenged",
    auth_stale: "requests whose nonce was too old, or used before",
    auth_wrong: "requests with wrong credentials",
    auth_forbidden: "requests of a user for another's AoR",
    learned_follows: "clients found to follow redirects",
    homes_asked: "clients that came back whose home was asked",
    homes_silent: "of these, homes that did not say",
    probes: "probes sent to servers",
    probes_failed: "probes that were not answered, or with a refusal of service",
    servers_down: "times that a server was found not to answer",
    servers_up: "times that a server was found to answer again",
    passed_over: "servers passed over for a request because they do not answer",
    home_unhealthy: "requests refused because home and standby do not answer",
    names_waited: "requests that had to wait for names in the DNS",
    names_answered: "questions that the DNS answered, with records or that there are none",
    names_failed: "questions that nobody could answer",
    names_full: "requests shed because too many wait for names",
    names_shared: "TLS peers that two names led to at a time; the first is asked for",
    learned_no_redirect: "clients found not to follow redirects",
    batches_given: "batches of clients' state given to their homes",
    batches_refused: "of these, such as were not kept",
    clients_left: "clients whose state was dropped when their home had it",
    clients_came: "clients whose state came from another home",
    moves_begun: "moves of slots and clients that this host began to carry out",
    moves_made: "of these, such as ended at the new home",
    moves_taken_back: "of these, such as stayed at the old home",
    subscribed: "SUBSCRIBEs accepted",
    subscriptions_capped: "SUBSCRIBEs and PUBLISHes refused because a limit is reached",
    subscriptions_shed: "SUBSCRIBEs and PUBLISHes shed because too much waits",
    subscriptions_expired: "subscriptions that ran out",
    subscriptions_failed: "subscriptions that ended because a NOTIFY was not taken",
    notices: "NOTIFYs sent",
    notices_again: "NOTIFYs sent again",
    published: "PUBLISHes accepted",
    publications_expired: "publications that ran out",
    lessons_proven: "requests by which such a client proved who it is",
}

impl Counters {
    /// Counts one.
    pub(super) fn add(counter: &mut u64) {
        *counter = counter.wrapping_add(1);
    }
}
