//! The answers that any operation may give, added to each one's own: an operation describes what is particular to it.

use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, ToSchema};

/// What an error answers where fields are not what is wrong.
#[derive(ToSchema)]
#[allow(dead_code)] // Its schema is what counts: `ApiError` writes it.
pub struct ErrorView {
    /// The HTTP status.
    status: u16,
    /// Its name, and what is wrong.
    error: String,
}

/// Adds them.
pub struct CommonAnswers;

impl Modify for CommonAnswers {
    fn modify(&self, openapi: &mut OpenApi) {
        for item in openapi.paths.paths.values_mut() {
            let reads = [&mut item.get, &mut item.head];
            reads.into_iter().flatten().for_each(|operation| add(operation, false));
            let writes = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
            writes.into_iter().flatten().for_each(|operation| add(operation, true));
        }
    }
}

fn add(operation: &mut Operation, writes: bool) {
    let parameters = operation.parameters.iter().flatten();
    let query = parameters.into_iter().any(|parameter| match parameter {
        RefOr::T(parameter) => parameter.parameter_in == ParameterIn::Query,
        RefOr::Ref(_) => false,
    });
    let body = operation.request_body.is_some();
    // What names its own security asks for no key.
    let keyed = operation.security.is_none();
    let answers = [
        (query || body, "400", "The query or the body cannot be read"),
        (keyed, "401", "No API key, or a wrong one"),
        (keyed, "403", "By plain HTTP from another machine, or with the panel's cookie from another page"),
        (body, "413", "The body is longer than 256 KiB"),
        (keyed, "500", "The store failed"),
        (keyed && writes, "507", "The disk of `data.dir` is full or takes no writes; nothing was changed"),
    ];
    for (_, status, text) in answers.into_iter().filter(|(applies, ..)| *applies) {
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| {
            let content = Content::new(Some(Ref::from_schema_name("ErrorView")));
            RefOr::T(ResponseBuilder::new().description(text).content("application/json", content).build())
        });
    }
}
