//! Users: from the store into memory at the start, and commands that change them.
//!
//! A change is durable in the store before it is in memory, and in memory before its command is
//! answered. A store that several hosts share will send what others change by the same way,
//! [`UsersSettled`] without a call.

use tokio::sync::mpsc;

use super::{Host, RunError, Store, reply};
use crate::{
    control::Call,
    core::{
        Core,
        admin::{
            Answer, Asker, Command, Refused, UserView,
            users::{PAGE_MAX, changes},
        },
        auth::users::{Form, Users},
    },
    store::{StoreError, User, UserChange},
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
    let credentials = store.credentials().ok_or(RunError::NoUsers)?;
    let users = auth.users_mut();
    let mut others = 0u64;
    credentials.all_users(&mut |user| {
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

/// Takes a user in; false if its hashes are for another realm.
fn put(users: &mut Users, user: &User, realm: Option<&str>) -> bool {
    let domain = user.aor.rsplit_once('@').map_or("", |(_, domain)| domain);
    if realm.unwrap_or(domain) != user.realm {
        return false;
    }
    users.set(user.aor.as_bytes(), Form::User, user.by_user);
    users.set(user.aor.as_bytes(), Form::Whole, user.by_aor);
    true
}

fn no_users() -> Refused {
    Refused::daemon(RunError::NoUsers.to_string(), "keep the table in sqlite")
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
        let asker = Asker { by: &call.by, domains: &self.config.sip.domains };
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
        let Some(credentials) = self.store.credentials() else {
            return reply(call, Err(no_users()));
        };
        let (settling, kept) = (self.users_in.clone(), changes.clone());
        let done = move |result| {
            // The driver is gone when it has stopped; then nobody waits for the answer either.
            let _ = settling.send(UsersSettled { changes: kept, result, what, call });
        };
        credentials.change_users(changes, Box::new(done));
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
                error => Refused::daemon(error.to_string(), "nothing was changed"),
            };
            return reply(call, Err(refused));
        }
        let realm = self.config.auth.realm.as_deref();
        if let Some(auth) = self.core.auth_mut() {
            let users = auth.users_mut();
            for change in &changes {
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
        tracing::info!(changes = changes.len(), by = call.by, "users changed");
        let revision = self.core.table().revision();
        reply(call, Ok(Answer::Done { revision, what }));
    }

    fn user_list(&self, after: String, limit: usize, call: Call) {
        let Some(credentials) = self.store.credentials() else {
            return reply(call, Err(no_users()));
        };
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
        credentials.page_users(after, limit.saturating_add(1), Box::new(done));
    }
}
