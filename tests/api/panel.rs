//! Signing in to the panel: what its cookie opens, to whom, and for how long.

use serde_json::{Value, json};
use ureq::http::HeaderMap;
use weir::config::Config;

use super::STREAMS;
use super::api_server::{ApiServer, KEY};
use super::events::Events;

const SESSION: &str = "/panel/session";
const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");
const MARK: (&str, &str) = ("x-weir-panel", "1");

fn try_key(server: &ApiServer, key: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, Value) {
    let (status, headers, text) =
        server.whole("POST", SESSION, &[&[OWN, MARK], headers].concat(), json!({ "key": key }).to_string().as_bytes());
    (status, headers, serde_json::from_str(&text).unwrap())
}

/// The cookie of a fresh session, as it is sent back.
fn sign_in(server: &ApiServer) -> String {
    let (status, headers, answer) = try_key(server, KEY, &[]);
    assert_eq!((status, &answer["signed_in"], &answer["client_id"]), (200, &json!(true), &json!(1)));
    let cookie = headers["set-cookie"].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

fn status(server: &ApiServer, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    server.raw(method, path, headers, b"").0
}

#[test]
fn a_session_opens_what_the_key_opens() {
    let server = ApiServer::start();
    let cookie = sign_in(&server);
    let cookie = ("cookie", cookie.as_str());
    for path in [STREAMS, "/streaming/quality_sets", "/ops/tree", "/ops/streams"] {
        assert_eq!(status(&server, "GET", path, &[OWN, cookie]), 200, "{path}");
        assert_eq!(status(&server, "GET", path, &[OWN]), 401, "{path}");
    }
    let (code, text) = server.raw("POST", STREAMS, &[OWN, MARK, cookie], b"{\"name\": \"a\"}");
    assert_eq!(code, 200, "{text}");
    assert_eq!(status(&server, "DELETE", &format!("{STREAMS}/1"), &[OWN, MARK, cookie]), 204);
    let (_, text) = server.raw("GET", SESSION, &[OWN, cookie], b"");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&answer["signed_in"], &answer["client_id"]), (&json!(true), &json!(1)));
    // Among others, and not by a name that only begins or ends alike.
    let among = format!("a=b; {}; c=d", cookie.1);
    assert_eq!(status(&server, "GET", STREAMS, &[OWN, ("cookie", &among)]), 200);
    for wrong in
        [format!("x{}", cookie.1), cookie.1.replace("weir=", "weir2="), format!("{}0", cookie.1), "weir=".into()]
    {
        assert_eq!(status(&server, "GET", STREAMS, &[OWN, ("cookie", &wrong)]), 401, "{wrong}");
    }
    // Who sends a key is judged by it.
    let wrong = ("authorization", "APIKey wrong");
    assert_eq!(status(&server, "GET", STREAMS, &[OWN, cookie, wrong]), 401);
}

#[test]
fn a_session_is_for_pages_of_this_server_only() {
    let server = ApiServer::start();
    let cookie = sign_in(&server);
    let cookie = ("cookie", cookie.as_str());
    let own = format!("http://{}", server.address);
    for site in ["cross-site", "same-site", "none"] {
        let from = ("sec-fetch-site", site);
        assert_eq!(status(&server, "GET", STREAMS, &[from, cookie]), 403, "{site}");
        assert_eq!(status(&server, "POST", STREAMS, &[from, MARK, cookie]), 403, "{site}");
        let (_, text) = server.raw("GET", SESSION, &[from, cookie], b"");
        assert!(text.contains("\"signed_in\":false"), "{text}");
    }
    let post = |headers: &[(&str, &str)]| server.raw("POST", STREAMS, headers, b"{\"name\": \"a\"}").0;
    assert_eq!(post(&[OWN, cookie]), 403, "without the panel's header");
    assert_eq!(post(&[MARK, cookie]), 403, "without an origin");
    assert_eq!(post(&[("origin", "http://evil.example"), MARK, cookie]), 403);
    assert_eq!(post(&[("origin", "null"), MARK, cookie]), 403);
    assert_eq!(post(&[("origin", &own), MARK, cookie]), 200);
    assert_eq!(status(&server, "DELETE", SESSION, &[OWN, cookie]), 403);
    assert_eq!(server.raw("POST", SESSION, &[OWN], b"{}").0, 403, "nobody is signed in from elsewhere either");
    // The key itself needs none of it.
    let (code, _) = server.call("POST", STREAMS, &json!({"name": "b"}));
    assert_eq!(code, 200);
}

#[test]
fn the_cookie_is_no_scripts_and_over_https_no_other_hosts() {
    let mut config = Config::default();
    config.http.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let server = ApiServer::with("127.0.0.1", config);
    let set = |headers: &[(&str, &str)]| {
        let (status, headers, _) = try_key(&server, KEY, headers);
        assert_eq!((status, &headers["cache-control"]), (200, &"no-store".parse().unwrap()));
        headers["set-cookie"].to_str().unwrap().to_owned()
    };
    let parts = |cookie: &str| {
        let (pair, rest) = cookie.split_once("; ").unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        assert!(value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit()), "{value}");
        (name.to_owned(), rest.to_owned())
    };
    let (plain, secure) = (set(&[]), set(&[("x-forwarded-proto", "https")]));
    let rest = "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict";
    assert_eq!(parts(&plain), ("weir".into(), rest.into()));
    assert_eq!(parts(&secure), ("__Host-weir".into(), format!("{rest}; Secure")));
    // Over HTTPS the other one, which any host of the domain could set, counts for nothing.
    let renamed = plain.split(';').next().unwrap();
    let by = |cookie: &str, more: (&str, &str)| status(&server, "GET", STREAMS, &[OWN, ("cookie", cookie), more]);
    assert_eq!(by(renamed, ("x-forwarded-proto", "https")), 401);
    assert_eq!(by(renamed, ("x-forwarded-proto", "http")), 200);
    assert_eq!(by(secure.split(';').next().unwrap(), ("x-forwarded-proto", "https")), 200);
}

#[test]
fn wrong_keys_are_refused_and_after_ten_the_next_has_to_wait() {
    let server = ApiServer::start();
    for nth in 1..=10 {
        let (status, headers, answer) = try_key(&server, "wrong", &[]);
        assert_eq!((status, &answer["status"]), (401, &json!(401)), "{nth}");
        assert!(headers.get("set-cookie").is_none());
    }
    for key in ["wrong", KEY] {
        let (status, headers, answer) = try_key(&server, key, &[]);
        assert_eq!(status, 429, "a right key would tell that it is one: {answer}");
        let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=6).contains(&wait), "{wait}");
    }
    assert_eq!(server.get(STREAMS).0, 200, "the API's key is not touched");
    assert_eq!(server.raw("POST", SESSION, &[OWN, MARK], b"{\"key\": 5}").0, 422);
}

#[test]
fn who_signs_out_is_out_at_once_also_of_what_he_follows() {
    let server = ApiServer::start();
    let (first, second) = (sign_in(&server), sign_in(&server));
    let following = |cookie: &str| {
        Events::follow(server.address, "/ops/events", &format!("Cookie: {cookie}\r\nSec-Fetch-Site: same-origin\r\n"))
    };
    let (mut his, mut others) = (following(&first), following(&second));
    let (code, headers, _) = server.whole("DELETE", SESSION, &[OWN, MARK, ("cookie", &first)], b"");
    assert_eq!(code, 204);
    assert_eq!(headers["set-cookie"], "weir=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    assert_eq!(his.next(), None);
    assert_eq!(status(&server, "GET", STREAMS, &[OWN, ("cookie", &first)]), 401);
    assert_eq!(status(&server, "DELETE", SESSION, &[OWN, MARK, ("cookie", &first)]), 401);
    server.create(&json!({"name": "a"}));
    assert_eq!(others.next().unwrap().name, "edited");
}

#[test]
fn the_page_is_for_everybody_loads_from_this_server_only_and_is_framed_by_nobody() {
    let server = ApiServer::start();
    let (status, headers, html) = server.whole("GET", "/", &[], b"");
    assert_eq!(status, 200);
    let value = |name: &str| headers[name].to_str().unwrap();
    assert_eq!(value("content-type"), "text/html; charset=utf-8");
    assert_eq!(value("x-frame-options"), "DENY");
    let policy = value("content-security-policy");
    assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("data:"), "{policy}");
    // The policy forbids code within the page.
    assert!(
        html.contains("<script type=\"module\"") && !html.contains("<style") && !html.contains(" style="),
        "{html}"
    );
    let scripts: Vec<&str> = html.split("<script").skip(1).collect();
    assert!(scripts.iter().all(|script| script.contains("src=\"/assets/")), "{html}");
    for file in html.split('"').filter(|part| part.starts_with("/assets/")) {
        assert_eq!(server.raw("GET", file, &[], b"").0, 200, "{file}");
    }
    assert_eq!(server.raw("HEAD", "/", &[], b"").0, 200);
    assert_eq!(server.raw("POST", "/", &[], b"").0, 405);
}
