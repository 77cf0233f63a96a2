//! Whether a client takes gzip (RFC 9110, 12.5.3): one answer for manifests and for the player's files.

use actix_web::HttpRequest;
use actix_web::http::header::{AcceptEncoding, Encoding, Header};

/// The client prefers gzip to the bytes as they are. Without an `Accept-Encoding` it does not.
pub fn accepts_gzip(request: &HttpRequest) -> bool {
    let gzip = Encoding::gzip();
    AcceptEncoding::parse(request)
        .is_ok_and(|accepted| accepted.negotiate([&gzip, &Encoding::identity()].into_iter()) == Some(gzip.clone()))
}
