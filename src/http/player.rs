//! The player page at `/streams/{client}_{id}`, the page to go live from at `/publish/{client}_{id}`, and the files they load, `/assets/*`.
//!
//! All come out of the binary (`web/dist`, built by `make web`). A page is the same for every stream: its script reads the
//! numbers from the path and asks for the manifests itself, so a stream that does not exist yet still has its page, and the
//! page tells nothing about which streams exist. A push token may stand behind the `#` of the other's URL, which browsers never send. File names below `/assets/` hold a hash of the content, so they are cached for
//! good; the page names them and is revalidated each time.
//!
//! The player may be framed anywhere (it is the `iframe_url` of the API), the other page nowhere. Both load from their own origin only and run
//! no inline code.

use std::{
    collections::HashMap,
    io::{self, Write},
    sync::LazyLock,
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, EntityTag, Header, IfNoneMatch},
    web,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use rust_embed::RustEmbed;

use super::gzip::accepts_gzip;

const POLICY: &str = "default-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; connect-src 'self'; \
                      object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors *";
const UNFRAMED_POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const PLAYER: &str = "player.html";
const PUBLISH: &str = "publish.html";

#[derive(RustEmbed)]
#[folder = "web/dist"]
struct Dist;

/// An embedded file with all that its answer needs.
struct File {
    content_type: String,
    etag: EntityTag,
    plain: Bytes,
    /// Absent where compression gains nothing.
    gzip: Option<Bytes>,
}

/// Compressed once per process: 0.1 s at start instead of on each request.
static FILES: LazyLock<HashMap<String, File>> = LazyLock::new(|| {
    let file = |name: &str| Dist::get(name).map(|embedded| (name.to_owned(), File::new(&embedded)));
    Dist::iter().filter_map(|name| file(&name)).collect()
});

impl File {
    fn new(embedded: &rust_embed::EmbeddedFile) -> Self {
        let plain = Bytes::copy_from_slice(&embedded.data);
        let hash: String = embedded.metadata.sha256_hash()[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        let mime = embedded.metadata.mimetype();
        let charset = if mime.starts_with("text/") { "; charset=utf-8" } else { "" };
        Self {
            content_type: format!("{mime}{charset}"),
            // Weak: the compressed and the plain form share it.
            etag: EntityTag::new_weak(hash),
            gzip: compress(&plain).ok().filter(|packed| packed.len() < plain.len()),
            plain,
        }
    }
}

fn compress(plain: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain)?;
    Ok(encoder.finish()?.into())
}

/// Adds the page and its files to an application.
pub fn configure(cfg: &mut web::ServiceConfig) {
    LazyLock::force(&FILES);
    cfg.service(
        web::resource(r"/streams/{client:\d{1,20}}_{id:\d{1,20}}")
            .route(web::get().to(player))
            .route(web::head().to(player)),
    )
    .service(
        web::resource(r"/publish/{client:\d{1,20}}_{id:\d{1,20}}")
            .route(web::get().to(publish))
            .route(web::head().to(publish)),
    )
    .service(web::resource("/assets/{name}").route(web::get().to(asset)).route(web::head().to(asset)));
}

async fn player(request: HttpRequest) -> HttpResponse {
    answer(&request, PLAYER, "no-cache", POLICY)
}

async fn publish(request: HttpRequest) -> HttpResponse {
    answer(&request, PUBLISH, "no-cache", UNFRAMED_POLICY)
}

async fn asset(request: HttpRequest, name: web::Path<String>) -> HttpResponse {
    answer(&request, &format!("assets/{name}"), "public, max-age=31536000, immutable", POLICY)
}

/// An embedded page or file, to be kept by the client as `cache` says, and allowed what `policy` says.
pub(super) fn answer(request: &HttpRequest, name: &str, cache: &'static str, policy: &'static str) -> HttpResponse {
    let Some(file) = FILES.get(name) else {
        return HttpResponse::NotFound().insert_header((header::CACHE_CONTROL, "no-store")).finish();
    };
    let mut response = if held(request, &file.etag) { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((header::CACHE_CONTROL, cache))
        .insert_header((header::ETAG, file.etag.to_string()))
        .insert_header((header::VARY, "Accept-Encoding"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::REFERRER_POLICY, "no-referrer"));
    if held(request, &file.etag) {
        return response.finish();
    }
    response.content_type(file.content_type.as_str());
    match &file.gzip {
        Some(packed) if accepts_gzip(request) => {
            response.insert_header((header::CONTENT_ENCODING, "gzip")).body(packed.clone())
        }
        _ => response.body(file.plain.clone()),
    }
}

/// The client has this very content already.
fn held(request: &HttpRequest, etag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => request.headers().contains_key(header::IF_NONE_MATCH),
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(etag)),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App,
        dev::ServiceResponse,
        http::StatusCode,
        test::{TestRequest, call_service, init_service, read_body},
    };

    use super::*;

    async fn get(path: &str, headers: &[(&str, &str)]) -> ServiceResponse {
        let app = init_service(App::new().configure(configure)).await;
        let mut request = TestRequest::get().uri(path);
        for header in headers {
            request = request.insert_header(*header);
        }
        call_service(&app, request.to_request()).await
    }

    fn value(response: &ServiceResponse, name: header::HeaderName) -> String {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[actix_web::test]
    async fn page_is_revalidated_and_may_be_framed_but_loads_from_its_origin_only() {
        let response = get("/streams/1_7", &[]).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(value(&response, header::CONTENT_TYPE), "text/html; charset=utf-8");
        assert_eq!(value(&response, header::CACHE_CONTROL), "no-cache");
        let policy = value(&response, header::CONTENT_SECURITY_POLICY);
        assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors *"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }

    #[actix_web::test]
    async fn the_page_to_go_live_from_may_not_be_framed() {
        let response = get("/publish/1_7", &[]).await;
        assert_eq!(response.status(), StatusCode::OK);
        let policy = value(&response, header::CONTENT_SECURITY_POLICY);
        assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }

    #[actix_web::test]
    async fn page_names_only_files_that_are_served_for_good() {
        let body = read_body(get("/streams/1_7", &[]).await).await;
        let html = std::str::from_utf8(&body).unwrap();
        let names: Vec<_> = html.split('"').filter(|part| part.starts_with("/assets/")).collect();
        assert!(names.len() >= 2, "script and style at least: {names:?}");
        for name in names {
            let response = get(name, &[]).await;
            assert_eq!(response.status(), StatusCode::OK, "{name}");
            assert!(value(&response, header::CACHE_CONTROL).contains("immutable"), "{name}");
        }
    }

    #[actix_web::test]
    async fn page_names_no_other_host() {
        let body = read_body(get("/streams/1_7", &[]).await).await;
        let html = std::str::from_utf8(&body).unwrap().replace("http://www.w3.org/2000/svg", "");
        assert!(!html.contains("://"));
    }

    #[actix_web::test]
    async fn known_content_is_not_sent_again() {
        let etag = value(&get("/streams/1_7", &[]).await, header::ETAG);
        let response = get("/streams/1_7", &[("if-none-match", &etag)]).await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        let response = get("/streams/1_7", &[("if-none-match", "W/\"other\"")]).await;
        assert_eq!(response.status(), StatusCode::OK);
    }

    #[actix_web::test]
    async fn compressed_only_for_who_takes_it() {
        let packed = get("/streams/1_7", &[("accept-encoding", "gzip, br")]).await;
        assert_eq!(value(&packed, header::CONTENT_ENCODING), "gzip");
        let plain = get("/streams/1_7", &[("accept-encoding", "gzip;q=0, identity")]).await;
        assert_eq!(value(&plain, header::CONTENT_ENCODING), "");
        assert!(read_body(packed).await.len() < read_body(plain).await.len());
    }

    #[actix_web::test]
    async fn other_paths_have_no_page() {
        for path in ["/streams/7", "/streams/a_b", "/streams/1_7/x", "/assets/none.js", "/assets/..%2fplayer.html"] {
            assert_eq!(get(path, &[]).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
