//! Requests, counted as they are answered.
//!
//! Media and manifests are told apart by what was asked for; all else by the pattern of its route, never by its path. Times run to the
//! begin of an answer's body. A blocking reload, and a part that is asked for before it exists, wait for media by design.

use actix_web::HttpRequest;
use actix_web::http::Method;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use crate::http::delivery;

/// Upper bounds, seconds: an answer from memory takes microseconds, a blocking one up to a part (0.4 s), patience ends at 6 s.
const BOUNDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 6.0];

/// The counters; cloning shares them.
#[derive(Clone)]
pub struct Requests {
    delivered: IntCounterVec,
    delivery_s: HistogramVec,
    answered: IntCounterVec,
    answer_s: HistogramVec,
}

impl Requests {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name, help, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone())).map(|()| counter)
        };
        let histogram = |name, help, labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(BOUNDS.to_vec());
            let histogram = HistogramVec::new(options, labels)?;
            registry.register(Box::new(histogram.clone())).map(|()| histogram)
        };
        Ok(Self {
            delivered: counter(
                "weir_delivery_requests_total",
                "Requests for manifests and media, by kind of file and status.",
                &["kind", "code"],
            )?,
            delivery_s: histogram(
                "weir_delivery_request_duration_seconds",
                "Time until the answer to a request for a manifest or media begins; blocking_playlist, part and segment wait for media that is about to come.",
                &["kind"],
            )?,
            answered: counter(
                "weir_http_requests_total",
                "Requests for all but manifests and media, by route, method and status; what never reached a route has none.",
                &["route", "method", "code"],
            )?,
            answer_s: histogram(
                "weir_http_request_duration_seconds",
                "Time until the answer to a request for all but manifests and media begins.",
                &["route"],
            )?,
        })
    }

    /// One was answered after so many seconds. `request` is `None` when it was turned away before it reached a route.
    pub fn count(&self, request: Option<&HttpRequest>, method: &Method, status: u16, seconds: f64) {
        let code = status.to_string();
        if let Some(kind) = request.and_then(delivery::kind) {
            self.delivered.with_label_values(&[kind, &code]).inc();
            self.delivery_s.with_label_values(&[kind]).observe(seconds);
            return;
        }
        let route = request.and_then(HttpRequest::match_pattern);
        let route = route.as_deref().unwrap_or("none");
        self.answered.with_label_values(&[route, word(method), &code]).inc();
        self.answer_s.with_label_values(&[route]).observe(seconds);
    }
}

/// Clients can make up methods.
fn word(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}
