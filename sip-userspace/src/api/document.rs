//! The OpenAPI document, made from the handlers and the types that they take and give.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Openapi,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::{clients, plans, servers, status, table};

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(title = "Homeward", description = "The assignment table of SIP clients to home servers. \
        A change may carry `If-Match: \"REVISION\"`, and is then made only at that revision of \
        the table (409 otherwise)."),
    paths(
        status::status, status::load, status::edges, status::forget, status::document,
        servers::list, servers::store, servers::change, servers::remove,
        servers::drain, servers::undrain, servers::disable, servers::enable,
        clients::list, clients::show, clients::assign, clients::unassign,
        table::export, table::import, table::history,
        plans::balance, plans::set_balance, plans::list, plans::create, plans::show,
        plans::apply, plans::roll_back, plans::pause, plans::resume, plans::cancel,
    ),
    modifiers(&Bearer),
    security(("token" = []))
)]
pub(super) struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut Openapi) {
        let components = document.components.get_or_insert_default();
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("token", scheme);
    }
}
