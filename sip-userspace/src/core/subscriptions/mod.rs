//! The notifier (RFC 6665): who watches the clients that are at home here, and what they are told.
//!
//! A SUBSCRIBE makes a dialog ([`dialog`]) and a subscription ([`subscription`]) to one of the packages
//! ([`package`]): [`reg`], fed by the bindings, or [`presence`], fed by PUBLISH ([`publish`]) and the
//! bindings. [`notify`] sends what changed, at a [`pace`]. Invariants: nothing is held before its sender
//! was authenticated, where users are known; all of it is bounded; a notice goes over the flow that
//! subscribed and nowhere else (threat T11), at most one a second to a watcher and so many a second
//! from this host; what was answered with 200 survives a restart ([`record`]), but for subscriptions
//! over a connection, which ends with the process.
//! Deliberately absent: who is moved, when and why; subscriptions to several clients in one (RFC
//! 4662); documents that say what changed of a presence (RFC 5263).

mod dialog;
mod notify;
mod pace;
mod package;
mod presence;
mod publish;
mod record;
mod refused;
mod reg;
mod release;
mod restore;
mod store;
mod subscribe;
mod subscription;
mod xml;

pub(super) use self::{
    dialog::DialogId, record::publication_of, reg::Event as RegEvent, restore::PublicationPlace,
    subscribe::sender,
};
pub use self::{store::Subscriptions, subscription::Reason};

/// What the configuration says about subscriptions and publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A shorter expiry is refused with 423, in seconds.
    pub expires_min_s: u32,
    /// Granted where none is named, in seconds.
    pub expires_default_s: u32,
    /// A longer expiry is granted as this one, in seconds.
    pub expires_max_s: u32,
    /// Subscriptions to one client.
    pub watchers_max: usize,
    /// Subscriptions of one user, or of one source where users are not known.
    pub user_max: usize,
    /// Subscriptions of all, about 1.5 kB each.
    pub max: usize,
    /// Publications of all clients, at most 4 kB each.
    pub publications_max: usize,
    /// Notices a second to all watchers together.
    pub notices_per_second: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            expires_min_s: 60,
            expires_default_s: 600,
            expires_max_s: 3_600,
            watchers_max: 10_000,
            user_max: 200,
            max: 200_000,
            publications_max: 200_000,
            notices_per_second: 1_000,
        }
    }
}

#[cfg(test)]
mod tests;

impl super::Core {
    /// Who watches whom, and who publishes.
    pub const fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }
}
