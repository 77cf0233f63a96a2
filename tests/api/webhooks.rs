//! What operators do with webhooks.

use serde_json::{Value, json};
use weir::config::Config;

use super::api_server::ApiServer;

const WEBHOOKS: &str = "/ops/webhooks";
const URL: &str = "https://user:canary@192.0.2.1/hook?key=canary";

/// A server that may tell documentation's addresses, where nobody is.
fn server() -> ApiServer {
    let mut config = Config::default();
    config.webhooks.allow = vec!["192.0.2.0/24".parse().unwrap()];
    ApiServer::with("127.0.0.1", config)
}

#[test]
fn a_webhook_is_made_shown_changed_and_deleted() {
    let server = server();
    assert_eq!(server.get(WEBHOOKS), (200, json!({"items": [], "next": null})));
    let (status, made) = server.call("POST", WEBHOOKS, &json!({"url": URL}));
    assert_eq!(status, 200, "{made}");
    let path = format!("{WEBHOOKS}/{}", made["id"]);
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{made}");
    let (status, shown) = server.get(&path);
    let mut wanted = made.clone();
    wanted.as_object_mut().unwrap().remove("secret");
    assert_eq!((status, &shown), (200, &wanted), "the secret is told once");
    assert_eq!(
        (&shown["url"], &shown["enabled"], &shown["backlog"]),
        (&json!("https://***@192.0.2.1/hook?***"), &json!(true), &json!(0))
    );
    let (_, off) = server.call("PATCH", &path, &json!({"enabled": false, "url": "http://192.0.2.2/"}));
    assert_eq!(
        (&off["url"], &off["enabled"], &off["backlog"]),
        (&json!("http://192.0.2.2/"), &json!(false), &Value::Null)
    );
    assert_eq!(server.call("POST", &format!("{path}/replay"), &json!({"after": 0})).0, 409);
    let (status, rotated) = server.call("POST", &format!("{path}/rotate_secret"), &json!({"overlap_s": 60}));
    assert!(
        status == 200 && rotated["secret"] != made["secret"] && rotated["old_secret_until"].is_string(),
        "{rotated}"
    );
    let (_, rotated) =
        server.call("POST", &format!("{path}/rotate_secret"), &json!({"secret": secret, "overlap_s": 0}));
    assert_eq!((rotated["secret"].as_str(), &rotated["old_secret_until"]), (Some(secret), &Value::Null));
    assert_eq!(server.get(&format!("{path}/deliveries")), (200, json!({"items": [], "next": null})));
    assert_eq!(server.call("DELETE", &path, &Value::Null), (204, Value::Null));
    assert_eq!((server.get(&path).0, server.call("DELETE", &path, &Value::Null).0), (404, 404));
}

#[test]
fn everything_wrong_with_a_webhook_is_told_at_once_and_nothing_is_made() {
    let server = server();
    let (status, told) =
        server.call("POST", WEBHOOKS, &json!({"url": "ftp://h", "secret": "x", "enabled": 2, "key": 1}));
    let errors = told["errors"].as_object().unwrap();
    assert_eq!(
        (status, errors.keys().map(String::as_str).collect::<Vec<_>>()),
        (422, vec!["enabled", "key", "secret", "url"])
    );
    assert_eq!(server.call("POST", WEBHOOKS, &Value::Null).1, json!({"errors": {"url": ["can't be blank"]}}));
    let (_, made) = server.call("POST", WEBHOOKS, &json!({"url": URL}));
    let path = format!("{WEBHOOKS}/{}", made["id"]);
    assert_eq!(server.call("PATCH", &path, &json!({"secret": "x"})).0, 422);
    assert_eq!(server.call("POST", &format!("{path}/replay"), &json!({"after": 1})).0, 422, "no such event");
    for wrong in ["x", "-1", "99", "1.0"] {
        assert_eq!(server.get(&format!("{WEBHOOKS}/{wrong}")).0, 404, "{wrong}");
    }
    assert_eq!(server.call("PUT", &path, &Value::Null).0, 405);
    assert_eq!(server.raw("GET", WEBHOOKS, &[], b"").0, 401);
}

#[test]
fn an_address_of_this_machine_is_refused_with_the_setting_that_permits_it() {
    let server = ApiServer::start();
    for host in ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]", "2130706433"] {
        let (status, told) = server.call("POST", WEBHOOKS, &json!({"url": format!("http://{host}:8080/")}));
        let text = told["errors"]["url"][0].as_str().unwrap_or_default();
        assert!(status == 422 && text.contains("webhooks.allow"), "{host}: {told}");
    }
    assert_eq!(server.get(WEBHOOKS).1["items"], json!([]));
}
