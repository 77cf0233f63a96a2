//! HTTP: REST API, operations, panel, delivery and player.
//!
//! [`routes`] is the route table; [`Api`] is all that its handlers share. Every answer that is not media or a page is JSON, errors too.

pub mod arrival;
pub mod auth;
pub mod body;
pub mod delivery;
pub mod error;
mod gzip;
pub mod health;
pub mod metrics;
pub mod openapi;
pub mod ops;
pub mod panel;
pub mod player;
pub mod process;
pub mod quality_sets;
mod query;
pub mod statistics;
pub mod streams;
mod trace;
pub mod urls;
pub mod whip;

use std::sync::Arc;

use actix_web::dev::HttpServiceFactory;
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{Resource, Responder};
use weir_actors::heartbeat::Heartbeat;
use weir_actors::status::StatusBoard;

use self::error::ApiError;
use self::health::Readiness;
use self::ops::follow::Followers;
use self::ops::tree::Sample;
use self::panel::sessions::Sessions;
use crate::config::{Config, Secret};
use crate::control::Control;
use crate::metrics::Metrics;
use crate::shelf::Shelf;
use crate::store::Store;
use crate::tree::Tree;

pub use self::auth::guard_plain;
pub use self::trace::trace;

/// What API handlers work with; cloning shares it.
#[derive(Clone)]
pub struct Api {
    /// What the operator set.
    pub config: Arc<Config>,
    /// What clients must send.
    pub key: Secret,
    /// Streams as they are kept.
    pub store: Store,
    /// Streams as they are now.
    pub board: StatusBoard,
    /// The running tree.
    pub tree: Arc<dyn Tree>,
    /// The way to change streams.
    pub control: Control,
    /// Whether work is taken.
    pub readiness: Readiness,
    /// Whether the tree's thread gets on.
    pub heartbeat: Heartbeat,
    /// Who follows what happens.
    pub followers: Followers,
    /// The latest look at the tree, of those who follow it.
    pub sample: Sample,
    /// Who is signed in to the panel.
    pub sessions: Sessions,
    /// What monitoring reads.
    pub metrics: Metrics,
}

impl Api {
    /// Joins the parts. `key` is [`crate::api_key::load`]'s.
    pub fn new(
        config: Arc<Config>,
        key: Secret,
        store: Store,
        board: StatusBoard,
        tree: Arc<dyn Tree>,
        heartbeat: Heartbeat,
        metrics: Metrics,
    ) -> Self {
        let control = Control::new(Arc::clone(&config), store.clone(), Arc::clone(&tree));
        Self {
            config,
            key,
            store,
            board,
            tree,
            control,
            readiness: Readiness::default(),
            heartbeat,
            followers: Followers::default(),
            sample: Sample::default(),
            sessions: Sessions::default(),
            metrics,
        }
    }
}

/// The whole route table. An app adds [`guard_plain`] and [`trace`] round it:
///
/// ```ignore
/// App::new().configure(routes(api, shelf)).wrap(from_fn(guard_plain)).wrap(from_fn(trace))
/// ```
pub fn routes(api: Api, shelf: web::Data<Shelf>) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        let delivery = delivery::Delivery::new(api.config.api.client_id);
        config
            .app_data(web::Data::new(api))
            .app_data(shelf)
            .app_data(web::PayloadConfig::new(body::MAX_BODY))
            .app_data(
                web::QueryConfig::default().error_handler(|error, _| ApiError::BadRequest(error.to_string()).into()),
            )
            .configure(delivery::configure(delivery))
            .configure(player::configure)
            .configure(panel::configure)
            .service(
                resource("/healthz", "GET, HEAD")
                    .route(web::get().to(health::healthz))
                    .route(web::head().to(health::healthz)),
            )
            .service(
                resource("/readyz", "GET, HEAD")
                    .route(web::get().to(health::readyz))
                    .route(web::head().to(health::readyz)),
            )
            .service(
                resource("/metrics", "GET").route(web::get().to(metrics::metrics)).wrap(from_fn(auth::require_key)),
            )
            .service(resource("/openapi.json", "GET").route(web::get().to(openapi::openapi)))
            .service(streaming())
            .service(operations())
            .configure(whip::configure)
            .default_service(web::to(nothing_here));
    }
}

fn streaming() -> impl HttpServiceFactory {
    let off = |path: &'static str| web::resource(path).to(streams::feature_disabled);
    web::scope("/streaming")
        .wrap(from_fn(auth::require_key))
        .service(
            resource("/streams", "GET, POST")
                .route(web::get().to(streams::list))
                .route(web::post().to(streams::create)),
        )
        .service(
            resource("/streams/{id}", "GET, PATCH, DELETE")
                .route(web::get().to(streams::get))
                .route(web::patch().to(streams::patch))
                .route(web::delete().to(streams::delete)),
        )
        .service(
            // The documentation spells it in both ways.
            web::resource(["/streams/{id}/reset_push_token", "/streams/{id}/reset-push-token"])
                .route(web::post().to(streams::reset_push_token))
                .default_service(web::to(|| async { method_not_allowed("POST") })),
        )
        .service(off("/streams/{id}/start_recording"))
        .service(off("/streams/{id}/stop_recording"))
        .service(off("/streams/{id}/clip_recording"))
        .service(off("/streams/{id}/dvr_cleanup"))
        .service(off("/streams/{id}/overlays"))
        .service(off("/streams/{id}/overlays/{overlay}"))
        .service(resource("/statistics/ffprobe", "GET").route(web::get().to(statistics::ffprobe)))
        .service(resource("/quality_sets", "GET").route(web::get().to(quality_sets::list)))
        .service(resource("/quality_sets/default", "PUT").route(web::put().to(quality_sets::set_default)))
        .default_service(web::to(nothing_here))
}

fn operations() -> impl HttpServiceFactory {
    web::scope("/ops")
        .wrap(from_fn(auth::require_key))
        .service(resource("/tree", "GET").route(web::get().to(ops::tree::tree)))
        .service(resource("/tree/restart", "POST").route(web::post().to(ops::restart::restart)))
        .service(resource("/events", "GET").route(web::get().to(ops::events::events)))
        .service(resource("/process", "GET").route(web::get().to(process::process)))
        .service(resource("/streams", "GET").route(web::get().to(ops::streams)))
        .service(resource("/streams/{id}", "GET").route(web::get().to(ops::detail::stream)))
        .service(resource("/streams/{id}/events", "GET").route(web::get().to(ops::detail::events)))
        .service(
            resource("/streams/{id}/failover", "GET, PATCH")
                .route(web::get().to(ops::failover::get))
                .route(web::patch().to(ops::failover::patch)),
        )
        .service(resource("/streams/{id}/on_air", "POST").route(web::post().to(ops::on_air::choose)))
        .service(
            resource("/streams/{id}/preflight", "GET, POST, DELETE")
                .route(web::get().to(ops::preflight::get))
                .route(web::post().to(ops::preflight::open))
                .route(web::delete().to(ops::preflight::end)),
        )
        .service(resource("/refusals", "GET").route(web::get().to(ops::refusals::of_no_stream)))
        .service(resource("/streams/{id}/refusals", "GET").route(web::get().to(ops::refusals::of_stream)))
        .service(resource("/streams/{id}/journal", "GET").route(web::get().to(ops::journal::journal)))
        .service(resource("/streams/{id}/reset_push_token", "POST").route(web::post().to(ops::reset_push_token)))
        .configure(webhooks)
        .default_service(web::to(nothing_here))
}

fn webhooks(config: &mut ServiceConfig) {
    use ops::webhooks::{create, delete, deliveries, get, list, patch, replay, rotate_secret, test};
    config
        .service(resource("/webhooks", "GET, POST").route(web::get().to(list)).route(web::post().to(create)))
        .service(
            resource("/webhooks/{id}", "GET, PATCH, DELETE")
                .route(web::get().to(get))
                .route(web::patch().to(patch))
                .route(web::delete().to(delete)),
        )
        .service(resource("/webhooks/{id}/rotate_secret", "POST").route(web::post().to(rotate_secret)))
        .service(resource("/webhooks/{id}/replay", "POST").route(web::post().to(replay)))
        .service(resource("/webhooks/{id}/test", "POST").route(web::post().to(test)))
        .service(resource("/webhooks/{id}/deliveries", "GET").route(web::get().to(deliveries)));
}

/// A resource that answers all but its own methods with 405.
fn resource(path: &'static str, methods: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move || async move { method_not_allowed(methods) }))
}

fn method_not_allowed(methods: &'static str) -> Result<&'static str, ApiError> {
    Err(ApiError::MethodNotAllowed(methods))
}

async fn nothing_here() -> impl Responder {
    Err::<&'static str, _>(ApiError::NotFound("There is nothing at this path".into()))
}
