use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::super::origin::{Answer, Origin, PATIENCE, local};
use super::*;
use crate::network::tests::Stub;

fn client(url: &str, network: &Network) -> Client {
    Client::new(&PullUri::parse(url).unwrap(), network).unwrap()
}

async fn get(url: &str, network: &Network) -> Result<Response, HttpError> {
    client(url, network).get(&Url::parse(url).unwrap(), None).await
}

async fn error(url: &str, network: &Network) -> HttpError {
    match get(url, network).await {
        Ok(_) => panic!("{url} is answered"),
        Err(error) => error,
    }
}

/// Nothing but public addresses, and names that are all this machine.
fn public() -> Network {
    let loopback = vec![vec![Ipv4Addr::LOCALHOST.into()]];
    Network::with_resolver(vec![], Arc::new(Stub(Mutex::new(loopback)))).unwrap()
}

#[tokio::test]
async fn no_spelling_of_a_forbidden_address_is_connected_to() {
    let sentinel = Origin::new(|_| Answer::ok("secret")).await;
    let port = sentinel.address.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "localhost",
        "metadata.example",
        "user:password@127.0.0.1",
    ] {
        let error = error(&format!("http://{host}:{port}/"), &public()).await;
        assert!(error.is_forbidden(), "{host}: {error}");
    }
    assert_eq!(sentinel.connections(), 0);
    // The same place answers where it is allowed.
    assert_eq!(get(&sentinel.url("/"), &local()).await.unwrap().url().as_str(), sentinel.url("/"));
}

#[tokio::test]
async fn a_name_is_connected_to_by_its_checked_addresses_and_the_port_of_the_url() {
    let origin = Origin::new(|_| Answer::ok("here")).await;
    let answers = vec![vec!["10.0.0.1".parse().unwrap(), Ipv4Addr::LOCALHOST.into()]];
    let allowed = vec!["127.0.0.1".parse().unwrap()];
    let network = Network::with_resolver(allowed, Arc::new(Stub(Mutex::new(answers)))).unwrap();
    let port = origin.address.port();
    get(&format!("http://encoder.example:{port}/"), &network).await.unwrap();
    assert_eq!(origin.asked()[0].header("host"), Some(&*format!("encoder.example:{port}")));
}

#[tokio::test]
async fn a_redirect_is_checked_as_the_first_address_is() {
    let sentinel = Origin::on(Ipv4Addr::new(127, 0, 0, 2), |_| Answer::ok("secret")).await;
    let to = sentinel.url("/");
    let origin = Origin::new(move |asked| match asked.path.as_str() {
        "/chain" => Answer::redirect("/chain2"),
        "/chain2" | "/direct" => Answer::redirect(&to),
        "/file" => Answer::redirect("file:///etc/passwd"),
        "/gopher" => Answer::redirect("gopher://127.0.0.1/"),
        _ => Answer::redirect("/loop"),
    })
    .await;
    for path in ["/direct", "/chain", "/file", "/gopher"] {
        let error = error(&origin.url(path), &local()).await;
        assert!(error.is_forbidden(), "{path}: {error}");
    }
    assert_eq!(sentinel.connections(), 0);
    let asked = origin.asked().len();
    assert!(matches!(error(&origin.url("/loop"), &local()).await, HttpError::Redirect(_)));
    assert_eq!(origin.asked().len() - asked, 1 + MOST_REDIRECTS);
}

#[test]
fn a_redirect_may_lead_to_https_but_not_back() {
    let to = |from: &str, location: &str| redirected(&Url::parse(from).unwrap(), location.as_bytes());
    let url = |text: &str| Url::parse(text).unwrap();
    assert_eq!(to("http://h/a", "https://h/b").unwrap(), url("https://h/b"));
    assert_eq!(to("https://h/a/b?c", "../d").unwrap(), url("https://h/d"));
    assert_eq!(to("https://h/a", "//other/b").unwrap(), url("https://other/b"));
    assert!(to("https://h/a", "http://h/b").unwrap_err().is_forbidden());
    assert_eq!(to("http://h/", "http://user:password@h/").unwrap(), url("http://h/"), "a server gives no credentials");
}

#[tokio::test]
async fn credentials_go_to_the_source_s_origin_alone() {
    let other = Origin::new(|_| Answer::ok("other")).await;
    let to = other.url("/b");
    let origin = Origin::new(move |asked| match asked.path.as_str() {
        "/a" => Answer::redirect("/same"),
        "/same" => Answer::redirect(&to),
        _ => Answer::ok("c"),
    })
    .await;
    let source = format!("http://us%20er:pass%3Aword@{}/a", origin.address);
    let client = client(&source, &local());
    let response = client.get(&Url::parse(&source).unwrap(), None).await.unwrap();
    assert_eq!(response.url().as_str(), other.url("/b"));
    let basic = Some("Basic dXMgZXI6cGFzczp3b3Jk");
    let headers: Vec<_> = origin.asked().iter().map(|asked| asked.header("authorization").map(str::to_owned)).collect();
    assert_eq!(headers.iter().map(Option::as_deref).collect::<Vec<_>>(), [basic, basic]);
    assert_eq!(other.asked()[0].header("authorization"), None);
    // What a playlist names at the source's origin, with credentials of its own or without.
    client.get(&Url::parse(&origin.url("/c")).unwrap(), None).await.unwrap();
    client.get(&Url::parse(&format!("http://x:y@{}/c", other.address)).unwrap(), None).await.unwrap();
    assert_eq!(origin.asked()[2].header("authorization"), basic);
    assert_eq!(other.asked()[1].header("authorization"), None);
}

#[tokio::test]
async fn connections_are_used_again() {
    let origin = Origin::new(|_| Answer::ok("body")).await;
    let client = client(&origin.url("/"), &local());
    for _ in 0..5 {
        let response = client.get(&Url::parse(&origin.url("/")).unwrap(), None).await.unwrap();
        assert_eq!(response.body(10, PATIENCE, None).await.unwrap(), b"body");
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_body_is_bounded_whether_its_length_is_told_or_not() {
    let origin = Origin::new(|asked| match asked.path.as_str() {
        "/told" => Answer::ok(vec![7; 100]),
        _ => Answer::chunked(&[7; 100]),
    })
    .await;
    for path in ["/told", "/chunked"] {
        let url = origin.url(path);
        let body = async |most| get(&url, &local()).await.unwrap().body(most, PATIENCE, None).await;
        assert_eq!(body(100).await.unwrap(), [7; 100]);
        assert!(matches!(body(99).await, Err(HttpError::TooLarge { most: 99, .. })), "{path}");
    }
}

#[tokio::test]
async fn the_first_bytes_can_be_looked_at_without_taking_them() {
    let origin =
        Origin::new(|_| Answer::ok("#EXTM3U and so on").with("content-type", "Audio/MPEGURL; charset=utf-8")).await;
    let mut response = get(&origin.url("/"), &local()).await.unwrap();
    assert!(response.first(7).await.unwrap().starts_with(b"#EXTM3U"));
    assert_eq!(response.content_type().as_deref(), Some("audio/mpegurl"));
    assert_eq!(response.body(100, PATIENCE, None).await.unwrap(), b"#EXTM3U and so on");
}

#[tokio::test]
async fn a_part_is_asked_for_and_cut_out_where_the_server_sends_all() {
    let origin = Origin::new(|asked| match asked.path.as_str() {
        "/part" => Answer::part("3456"),
        _ => Answer::ok("0123456789"),
    })
    .await;
    let client = client(&origin.url("/"), &local());
    let range = Range { offset: 3, length: 4 };
    for path in ["/part", "/all"] {
        let response = client.get(&Url::parse(&origin.url(path)).unwrap(), Some(range)).await.unwrap();
        assert_eq!(response.body(100, PATIENCE, None).await.unwrap(), b"3456", "{path}");
    }
    assert_eq!(origin.asked()[0].header("range"), Some("bytes=3-6"));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_five_seconds() {
    let origin = Origin::new(|asked| if asked.path == "/" { Answer::ok("") } else { Answer::silence() }).await;
    let client = client(&origin.url("/"), &local());
    // The connection is there before time is virtual.
    client.get(&Url::parse(&origin.url("/")).unwrap(), None).await.unwrap().body(0, PATIENCE, None).await.unwrap();
    tokio::time::pause();
    let began = Instant::now();
    let Err(error) = client.get(&Url::parse(&origin.url("/silent")).unwrap(), None).await else { panic!("an answer") };
    assert!(matches!(error, HttpError::Timeout { within: CONNECT_WITHIN, .. }), "{error}");
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn errors_name_host_and_status_and_nothing_secret() {
    let origin = Origin::new(|_| Answer::status(403)).await;
    let port = origin.address.port();
    let closed = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let texts = [
        error(&format!("http://user:secret@127.0.0.1:{port}/secret?token=secret"), &local()).await,
        error(&format!("http://{closed}/secret?token=secret"), &local()).await,
        error("http://127.0.0.9/secret?token=secret", &local()).await,
    ];
    assert_eq!(texts[0].to_string(), "127.0.0.1 answers 403 Forbidden");
    assert!(texts[1].to_string().starts_with("no connection to 127.0.0.1: Connection refused"), "{}", texts[1]);
    for error in texts {
        assert!(error.to_string().contains("127.0.0."), "{error}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}
