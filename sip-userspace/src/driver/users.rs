//! Users: from the store into memory at the start, and commands that change them.
//!
//! A change is durable in the store before it is in memory, and in memory before its command is
//! answered. What other hosts change comes as [`UsersNews`] from a store that they share; this
//! host's own changes come by there as well, behind those that were made before.

use tokio::sync::mpsc;

use super::{Host, RunError, Store, reply};
use crate::{
    control::Call,
    core::{
        Core,
        admin::{
            Answer, Command, Refused, UserView,
            users::{PAGE_MAX, changes},
        },
        auth::users::{Form, Users},
    },
    store::{StoreError, User, UserChange, UsersNews},
};

/// Changes of users that the store has made, or has not.
pub(crate) struct UsersSettled {
    changes: Vec<UserChange>,
    result: Result<(), StoreError>,
    what: String,
    call: Call,
}

/// The way of [`UsersSettled`] to the driver.
pub(super) type Settling = mpsc::UnboundedSender<UsersSettled>;

/// Takes all users of the store into memory, if anybody is asked who it is.
pub(super) fn load(core: &mut Core, store: &Store, realm: Option<&str>) -> Result<(), RunError> {
    let Some(auth) = core.auth_mut() else { return Ok(()) };
    let users = auth.users_mut();
    let mut others = 0u64;
    store.credentials().all_users(&mut |user| {
        others = others.saturating_add(u64::from(!put(users, &user, realm)));
    })?;
    if others > 0 {
        tracing::warn!(
            users = others,
            "these have passwords for another realm and can't log in; set auth.realm to what it \
             was, or give them new ones with `homeward user passwd`"
        );
    }
    tracing::info!(records = users.len(), "users loaded");
    Ok(())
}

/// Takes a user in; false if its hashes are for another realm, and then it can't log in.
fn put(users: &mut Users, user: &User, realm: Option<&str>) -> bool {
    let domain = user.aor.rsplit_once('@').map_or("", |(_, domain)| domain);
    let good = realm.unwrap_or(domain) == user.realm;
    let (by_user, by_aor) = if good { (user.by_user, user.by_aor) } else { Default::default() };
    users.set(user.aor.as_bytes(), Form::User, by_user);
    users.set(user.aor.as_bytes(), Form::Whole, by_aor);
    good
}

/// Takes changes in.
fn take(users: &mut Users, changes: &[UserChange], realm: Option<&str>) {
    for change in changes {
        match change {
            UserChange::Add(user) | UserChange::Change(user) | UserChange::Put(user) => {
                put(users, user, realm);
            }
            UserChange::Delete(aor) => {
                for form in [Form::User, Form::Whole] {
                    users.set(aor.as_bytes(), form, Default::default());
                }
            }
        }
    }
}

/// Takes news in. All users that are read anew take the place of the others once they are whole, so
/// that nobody is kept out meanwhile.
fn follow(users: &mut Users, anew: &mut Option<Users>, news: UsersNews, realm: Option<&str>) {
    match news {
        UsersNews::Changed(changes) => {
            take(users, &changes, realm);
            tracing::debug!(changes = changes.len(), "users followed");
        }
        UsersNews::Anew => *anew = Some(users.fresh()),
        UsersNews::Page(page) => {
            let anew = anew.get_or_insert_with(|| users.fresh());
            for user in &page {
                put(anew, user, realm);
            }
        }
        UsersNews::Whole => {
            if let Some(anew) = anew.take() {
                tracing::info!(records = anew.len(), "all users read anew");
                *users = anew;
            }
        }
    }
}

impl Host {
    /// Takes a command about users; any other comes back.
    pub(super) fn of_users(&mut self, call: Call) -> Option<Call> {
        match call.command {
            Command::UserPut { .. } | Command::UserDel { .. } | Command::UserList { .. } => {
                self.user_call(call);
                None
            }
            _ => Some(call),
        }
    }

    /// Answers a command about users.
    fn user_call(&mut self, call: Call) {
        let realm = self.config.auth.realm.clone();
        let asker = self.asker(&call.by);
        let (made, what) = match &call.command {
            Command::UserPut { users, how, dry_run } => {
                let made = changes(users, *how, realm.as_deref(), &asker);
                let what = match users.as_slice() {
                    [one] => format!("{} has a new password", one.aor),
                    many => format!("{} users taken", many.len()),
                };
                if *dry_run {
                    let revision = self.core.table().revision();
                    let what = format!("{what}, if it were not a dry run");
                    return reply(call, made.map(|_| Answer::Done { revision, what }));
                }
                (made, what)
            }
            Command::UserDel { aor } => {
                let what = format!("{aor} is no user any more");
                (crate::core::admin::names::aor(aor).map(|aor| vec![UserChange::Delete(aor)]), what)
            }
            Command::UserList { after, limit } => {
                let (after, limit) = (after.clone().unwrap_or_default(), *limit as usize);
                return self.user_list(after, limit, call);
            }
            _ => return reply(call, Err(Refused::daemon("no command on users", "report this"))),
        };
        match made {
            Ok(changes) => self.change_users(changes, what, call),
            Err(refused) => reply(call, Err(refused)),
        }
    }

    fn change_users(&mut self, changes: Vec<UserChange>, what: String, call: Call) {
        let (settling, kept) = (self.users_in.clone(), changes.clone());
        let done = move |result| {
            // The driver is gone when it has stopped; then nobody waits for the answer either.
            let _ = settling.send(UsersSettled { changes: kept, result, what, call });
        };
        self.store.credentials().change_users(changes, Box::new(done));
    }

    /// Durable changes go into memory, and then their command is answered.
    pub(super) fn users_settled(&mut self, settled: UsersSettled) {
        let UsersSettled { changes, result, what, call } = settled;
        if let Err(error) = result {
            let refused = match error {
                StoreError::UserExists { .. } | StoreError::NoUser { .. } => {
                    let text = error.to_string();
                    let (reason, cure) = text.split_once("; ").unwrap_or((&text, ""));
                    Refused::argument(reason, cure)
                }
                StoreError::TooManyUsers { users, max } => Refused {
                    parts_max: Some(max),
                    ..Refused::argument(
                        format!("{users} users are more than the shared store takes at once"),
                        format!("send {max} at once"),
                    )
                },
                // Whether anything was changed stands in it where nobody can tell.
                error => Refused::daemon(error.to_string(), "see `homeward user list`"),
            };
            return reply(call, Err(refused));
        }
        let realm = self.config.auth.realm.as_deref();
        if let Some(auth) = self.core.auth_mut() {
            take(auth.users_mut(), &changes, realm);
        }
        tracing::info!(changes = changes.len(), by = call.by, "users changed");
        let revision = self.core.table().revision();
        reply(call, Ok(Answer::Done { revision, what }));
    }

    /// Takes in what some host changed; this one's own changes come by here too.
    pub(super) fn users_news(&mut self, news: UsersNews) {
        if let Some(auth) = self.core.auth_mut() {
            let realm = self.config.auth.realm.as_deref();
            follow(auth.users_mut(), &mut self.users_anew, news, realm);
        }
    }

    fn user_list(&self, after: String, limit: usize, call: Call) {
        let limit = limit.clamp(1, PAGE_MAX);
        let done = move |page: Result<Vec<User>, StoreError>| {
            let shown = page.map(|mut users| {
                let more = users.len() > limit;
                users.truncate(limit);
                Answer::Users { users: users.iter().map(UserView::from).collect(), more }
            });
            let refused = |error: StoreError| Refused::daemon(error.to_string(), "try again");
            reply(call, shown.map_err(refused));
        };
        self.store.credentials().page_users(after, limit.saturating_add(1), Box::new(done));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::digest::Ha1;

    fn user(aor: &str, realm: &str, number: u8) -> User {
        let by_user = Ha1 { md5: [number; 16], sha256: [number; 32] };
        User { aor: aor.into(), realm: realm.into(), by_user, by_aor: by_user }
    }

    #[test]
    fn news_of_users_go_into_memory_and_all_of_them_at_once() {
        let mut users = Users::new(sip_common::siphash::Key { k0: 1, k1: 2 });
        let mut anew = None;
        let mut known = |news| {
            follow(&mut users, &mut anew, news, None);
            let number = |aor: &str| {
                let of = |form| users.get(aor.as_bytes(), form).map(|ha1| ha1.md5[0]);
                assert_eq!(of(Form::User), of(Form::Whole));
                of(Form::User).unwrap_or(0)
            };
            ["a@h", "b@h", "c@h"].map(number)
        };
        let [a, b, c] = ["a@h", "b@h", "c@h"];
        let put = |aor, number| UserChange::Put(user(aor, "h", number));
        assert_eq!(known(UsersNews::Changed(vec![put(a, 1), put(b, 1)])), [1, 1, 0]);
        let changes = vec![UserChange::Delete(a.into()), put(b, 2), put(c, 3)];
        assert_eq!(known(UsersNews::Changed(changes)), [0, 2, 3]);
        // Hashes for a realm that is not ours let nobody in, also not by those before.
        let foreign = UserChange::Put(user(c, "elsewhere", 4));
        assert_eq!(known(UsersNews::Changed(vec![foreign])), [0, 2, 0]);

        assert_eq!(known(UsersNews::Anew), [0, 2, 0]);
        assert_eq!(known(UsersNews::Page(vec![user(c, "h", 9)])), [0, 2, 0]);
        // The reading was cut off, and begins again.
        assert_eq!(known(UsersNews::Anew), [0, 2, 0]);
        assert_eq!(known(UsersNews::Page(vec![user(a, "h", 5)])), [0, 2, 0]);
        assert_eq!(known(UsersNews::Page(vec![user(b, "h", 6)])), [0, 2, 0]);
        assert_eq!(known(UsersNews::Whole), [5, 6, 0]);
        assert_eq!(known(UsersNews::Whole), [5, 6, 0]);
    }
}
