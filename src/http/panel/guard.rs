//! Whether a request that may bear the panel's cookie comes from a page of this server.
//!
//! Browsers say where a request comes from, and scripts cannot write these headers: `Sec-Fetch-Site` (Fetch Metadata), sent to HTTPS and to this
//! machine, and `Origin` (RFC 6454), sent with all that changes something. What changes something bears a header besides that a form cannot
//! send, nor a script of another origin without being asked for. The cookie is `SameSite=Strict` anyway: this holds where that does not, as
//! between ports of one host.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderName};

use crate::http::arrival::Arrival;
use crate::http::error::ApiError;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Sent by the panel with everything that changes something.
const PANEL: HeaderName = HeaderName::from_static("x-weir-panel");

/// Refuses what a page of another origin may have sent.
pub(super) fn check(request: &HttpRequest, arrival: &Arrival) -> Result<(), ApiError> {
    let said = |name: HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    let reads = request.method().is_safe();
    let own = match (said(FETCH_SITE), said(header::ORIGIN)) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => is_own(origin, arrival),
        // An older browser, or plain HTTP from afar. What is read goes to this origin's scripts only, whoever asked.
        (None, None) => reads,
    };
    if !own {
        return Err(ApiError::Forbidden("The panel's cookie is for pages of this server only"));
    }
    if !reads && !request.headers().contains_key(PANEL) {
        return Err(ApiError::Forbidden("What the panel's cookie changes has to bear X-Weir-Panel"));
    }
    Ok(())
}

fn is_own(origin: &str, arrival: &Arrival) -> bool {
    let scheme = if arrival.secure { "https" } else { "http" };
    let own = |authority: &String| origin.eq_ignore_ascii_case(&format!("{scheme}://{authority}"));
    arrival.authority.as_ref().is_some_and(own)
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;
    use actix_web::test::TestRequest;

    use super::*;

    fn passes(method: Method, secure: bool, headers: &[(&str, &str)]) -> bool {
        let mut request = TestRequest::default().method(method).uri("/ops/tree");
        for header in headers {
            request = request.insert_header(*header);
        }
        let arrival = Arrival { client: None, authority: Some("a.example:8443".into()), secure };
        check(&request.to_http_request(), &arrival).is_ok()
    }

    #[test]
    fn what_is_read_comes_from_this_origin_as_far_as_the_browser_tells() {
        let reads = |headers: &[(&str, &str)]| passes(Method::GET, true, headers);
        assert!(reads(&[("sec-fetch-site", "same-origin")]));
        assert!(reads(&[("origin", "https://a.example:8443")]));
        assert!(reads(&[]), "a browser that tells nothing");
        for site in ["same-site", "cross-site", "none", "", "same-origin, same-origin"] {
            assert!(!reads(&[("sec-fetch-site", site)]), "{site}");
        }
        for origin in ["https://b.example", "https://a.example", "http://a.example:8443", "null", ""] {
            assert!(!reads(&[("origin", origin)]), "{origin}");
        }
        assert!(!reads(&[("sec-fetch-site", "cross-site"), ("origin", "https://a.example:8443")]));
    }

    #[test]
    fn what_changes_something_says_where_it_comes_from_and_bears_the_header() {
        let own = ("sec-fetch-site", "same-origin");
        let marked = ("x-weir-panel", "1");
        for method in [Method::POST, Method::PATCH, Method::PUT, Method::DELETE] {
            let writes = |headers: &[(&str, &str)]| passes(method.clone(), false, headers);
            assert!(writes(&[own, marked]));
            assert!(writes(&[("origin", "http://a.example:8443"), marked]));
            assert!(!writes(&[own]), "a form of this origin");
            assert!(!writes(&[marked]), "nothing says where it comes from");
            assert!(!writes(&[("sec-fetch-site", "same-site"), marked]), "another port of this host");
            assert!(!writes(&[("origin", "http://a.example:9000"), marked]));
        }
    }
}
