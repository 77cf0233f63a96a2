//! `weir serve`: joins store, shelf, pipelines, supervision tree and HTTP, and takes them down in order.
//!
//! Start: certificates, store, key, sockets (a busy port is told by its configuration key), plugin registry, tree, HTTP, then ready. End: not ready,
//! doors closed, encoders told, workers flushed, HTTP drained, what is queued for the store written. A second signal ends it at once.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use weir_actors::admission_board::AdmissionBoard;
use weir_actors::control::{Drain, Stop};
use weir_actors::heartbeat::Heartbeat;
use weir_actors::ingest::rtmp::{self, RtmpDoor, RtmpLimits};
use weir_actors::ingest::srt;
use weir_actors::ingest::whip::{Whip, WhipSettings};
use weir_actors::network::Network;
use weir_actors::network::http::HttpError;
use weir_actors::status::StatusBoard;
use weir_actors::supervise::ExitReason;
use weir_actors::{Door, Outside, Puller, TreeConfig};
use weir_media::pipeline::{OutputSink, PipelineFactory};
use weir_pipelines::host::{self, HostConfig, WorkerPipelines};
use weir_policy::rotation;

use crate::api_key::{self, ApiKey, ApiKeyError};
use crate::config::{self, Config, Listen};
use crate::control;
use crate::descriptors;
use crate::http::urls::Urls;
use crate::http::{self, Api};
use crate::metrics::{Metrics, MetricsError, Sources};
use crate::pull::{self, GiveUps};
use crate::shelf::Shelf;
use crate::store::numbers::NumberKeeper;
use crate::store::outbox::Outbox;
use crate::store::{Health, Store, StoreError};
use crate::tls;
use crate::tls::files::PairError;
use crate::tls::watch::Watch;
use crate::webhooks::Webhooks;

/// How long an ended broadcast's playlists answer 200 (architecture, timeline laws).
const ENDED_RETENTION: Duration = Duration::from_secs(600);
/// How often media of broadcasts that ended long ago is freed.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Connections that one HTTP thread holds at once.
const HTTP_CONNECTIONS: usize = 25_000;
/// From accept to the end of an HTTPS handshake.
const TLS_HANDSHAKE: Duration = Duration::from_secs(5);
/// How long viewers' running requests may take once the server goes down, seconds.
const HTTP_DRAIN: u64 = 3;
/// Longest wait for the last events and numbers to be written.
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);
/// Longest wait for the last webhooks to be delivered; those that are not are delivered by the next start.
const DELIVERED_WITHIN: Duration = Duration::from_secs(2);
/// Longest wait for libsrt's threads to end, which must not outlive the process's own end.
const SRT_ENDED_WITHIN: Duration = Duration::from_secs(3);
/// Largest address backlog a door keeps.
const BACKLOG: u32 = 4_096;

/// Why the server cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A port cannot be bound.
    #[error("{key} = {address}: {source}")]
    Bind {
        /// The configuration key.
        key: &'static str,
        /// What it says.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A door's certificate cannot be used.
    #[error("{door}.{}: {source}", source.part().key())]
    Certificate {
        /// Section of its configuration keys.
        door: &'static str,
        /// Why.
        source: PairError,
    },
    /// TLS cannot be set up on this machine.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// Webhooks cannot be sent from this machine.
    #[error("webhooks: {0}")]
    Webhooks(#[from] HttpError),
    /// The database cannot be used.
    #[error("data.dir: {0}")]
    Store(#[from] StoreError),
    /// There is no API key.
    #[error(transparent)]
    ApiKey(#[from] ApiKeyError),
    /// The media worker cannot run here.
    #[error("media worker: {0}; `weir doctor` tells what is missing")]
    Worker(#[source] std::io::Error),
    /// The top of the supervision tree died; only a new process gets a fresh one.
    #[error("the supervision tree {0}")]
    TreeGone(ExitReason),
    /// Measurements cannot be registered: a defect.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A runtime, a signal handler or the HTTP server failed.
    #[error("{0}")]
    Runtime(#[from] std::io::Error),
}

/// Runs the server until SIGTERM or SIGINT, with doors besides the configured ones.
pub fn serve(config: Config, more: Vec<Door>) -> Result<(), ServeError> {
    // Wire tasks and worker sockets have threads of their own, so that media never waits for the tree or for a handler.
    let media = Builder::new_multi_thread().thread_name("media").enable_all().build()?;
    let handle = media.handle().clone();
    let result = actix_rt::System::new().block_on(async {
        let end = signals()?;
        run(Arc::new(config), more, handle, end).await
    });
    media.shutdown_timeout(Duration::from_secs(1));
    if !srt::libsrt::wait_ended(SRT_ENDED_WITHIN) {
        tracing::error!("libsrt did not end in time");
    }
    result
}

/// The end of the server: the first SIGTERM or SIGINT. The second one ends the process at once.
fn signals() -> Result<impl Future<Output = ()>, ServeError> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("going down; a second signal ends at once");
        actix_rt::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            std::process::exit(130);
        });
    })
}

/// Runs the server on the current actix system until `shutdown`. `media` is a multi-thread runtime.
pub async fn run(
    config: Arc<Config>,
    more: Vec<Door>,
    media: Handle,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let https_pair = pair("https", &config.https)?;
    let rtmps_pair = pair("rtmps", &config.rtmps)?;
    let store = Store::open_with(&config.data.dir, config.data.token_key.as_ref())
        .await?
        .with_max_active(config.limits.max_streams);
    let key = api_key::load(&config)?;
    let descriptors = descriptors::raise();
    let http_socket = bind("http.listen", config.http.listen)?;
    let https_socket = bind("https.listen", config.https.listen)?;
    let rtmp_socket = bind("rtmp.listen", config.rtmp.listen)?;
    let rtmps_socket = bind("rtmps.listen", config.rtmps.listen)?;
    let metrics_socket = bind("metrics.listen", config.metrics.listen)?;
    let (board, admission) = (StatusBoard::default(), AdmissionBoard::new(store.digest_key()));
    let srt_port = bind_srt(config.srt.listen, &admission)?;

    let urls = Urls::for_nobody(&config);
    let push_uri = move |stream, slot, protocol| urls.push_shown(stream, slot, protocol);
    let (outbox, outbox_written) = Outbox::open(store.clone(), Box::new(push_uri));
    let webhooks = webhooks(&config, &store, &outbox, media.clone())?;
    webhooks.start(&config.webhooks.configured()).await?;
    let (health, health_written) = Health::open(store.clone(), config.statistics.keep);
    let (keeper, numbers_written) = NumberKeeper::open(store.clone());
    let shelf = Arc::new(Shelf::new(Arc::new(keeper), ENDED_RETENTION).lingering(config.failover.linger));
    for stream in store.streams().await? {
        shelf.restore(stream.id, store.numbers(stream.id).await?);
    }
    let factory = pipelines(&config, &shelf, media.clone()).await?;
    let mut doors = more;
    let rtmp = RtmpDoor::new(rtmp_limits(&config, descriptors));
    if let Some(socket) = rtmp_socket {
        doors.push(rtmp_door("RtmpListener", rtmp.clone(), socket, media.clone())?);
    }
    if let (Some(socket), Some(pair)) = (rtmps_socket, &rtmps_pair) {
        let tls = TlsAcceptor::from(Arc::new(tls::for_rtmps(pair.certificate())?));
        doors.push(rtmp_door("RtmpsListener", rtmp.secured(tls), socket, media.clone())?);
    }
    let https_socket = match (https_socket, &https_pair) {
        (Some(socket), Some(pair)) => Some((socket, tls::for_https(pair.certificate())?)),
        _ => None,
    };
    doors.extend(srt_port.map(|port| srt_door(port, media.clone())));
    let streams = control::specs(&store, &config).await?;
    let (events, given_up) = GiveUps::before(outbox.clone());
    let network = Network::new(config.pull.allow.clone())?;
    let puller = Puller { fetch: Arc::new(network), runtime: media.clone() };
    let outside = Outside { factory, events, puller: Some(puller), health: Some(health.clone()) };
    let (root, mut end) =
        weir_actors::start(tree_config(&config), outside, board.clone(), admission.clone(), streams, doors);
    let heartbeat = Heartbeat::start();
    media.spawn(heartbeat.clone().watch());
    let whip = Whip::new(whip_settings(&config), root.clone().recipient(), admission, media.clone());
    let metrics = Metrics::new(Sources {
        outbox: Arc::downgrade(&outbox),
        certificates: [("https", &https_pair), ("rtmps", &rtmps_pair)]
            .into_iter()
            .filter_map(|(door, pair)| Some((door, pair.as_ref()?.certificate())))
            .collect(),
        media: Some(media.clone()),
        webhooks: Some({
            let webhooks = webhooks.clone();
            Arc::new(move || webhooks.backlog())
        }),
    })?;
    let tree = Arc::new(root.clone());
    let api = Api::new(config.clone(), key.secret().clone(), store.clone(), board, tree, heartbeat, metrics);

    let switching_off = actix_rt::spawn(pull::switch_off(given_up, api.control.clone()));
    let readiness = api.readiness.clone();
    let watches: Vec<_> = https_pair.into_iter().chain(rtmps_pair).map(|pair| media.spawn(pair.run())).collect();
    let exporter = metrics_socket.map(|socket| http::metrics::exporter(socket, api.clone())).transpose()?;
    let exporter = exporter.map(|server| (server.handle(), actix_rt::spawn(server)));
    let (server, running) = listen(http_socket, https_socket, api, whip, webhooks.clone(), shelf.clone(), media)?;
    readiness.ready();
    announce(&config, &key);

    let sweeper = actix_rt::spawn(sweep(shelf.clone()));
    // The last level of escalation is the end of the process, which is started again from outside.
    let dead = tokio::select! { () = shutdown => None, reason = &mut end => Some(reason) };
    if let Some(reason) = &dead {
        tracing::error!(%reason, "the supervision tree is gone, so the server ends");
    }
    sweeper.abort();
    switching_off.abort();
    watches.iter().for_each(JoinHandle::abort);
    readiness.draining();
    shelf.leave();
    if root.send(Drain).await.is_err() && dead.is_none() {
        tracing::error!("the supervision tree is gone before its drain");
    }
    shelf.dismiss();
    server.stop(true).await;
    running.await.map_err(std::io::Error::other)??;
    if let Some((server, running)) = exporter {
        server.stop(true).await;
        running.await.map_err(std::io::Error::other)??;
    }
    // The tree holds an outbox and a shelf, and what is queued is written to its end only once nobody can add to it.
    let _ = root.send(Stop).await;
    drop((root, shelf, outbox, health));
    let written = async { tokio::join!(outbox_written, numbers_written, health_written) };
    if tokio::time::timeout(WRITTEN_WITHIN, written).await.is_err() {
        tracing::error!("the last events could not be written");
    }
    webhooks.finish(DELIVERED_WITHIN).await;
    store.close().await;
    dead.map_or(Ok(()), |reason| Err(ServeError::TreeGone(reason)))
}

fn bind(key: &'static str, listen: Listen) -> Result<Option<TcpListener>, ServeError> {
    let Listen::At(address) = listen else { return Ok(None) };
    let bound = || {
        let socket = match address {
            SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4(),
            SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6(),
        }?;
        // A restarted server must get its port back while old connections are still timing out.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)?.into_std()
    };
    bound().map(Some).map_err(|source| ServeError::Bind { key, address, source })
}

/// Nobody is let in before the tree opens the door.
fn bind_srt(listen: Listen, board: &AdmissionBoard) -> Result<Option<srt::Port>, ServeError> {
    let Listen::At(address) = listen else { return Ok(None) };
    let port = srt::Port::bind(address, srt::SrtLimits::default(), board.clone());
    port.map(Some).map_err(|source| ServeError::Bind { key: "srt.listen", address, source })
}

async fn pipelines(config: &Config, shelf: &Arc<Shelf>, media: Handle) -> Result<Arc<dyn PipelineFactory>, ServeError> {
    let executable = std::env::current_exe()?;
    let gst_registry: PathBuf = std::path::absolute(config.data.dir.join("gstreamer-registry.bin"))?;
    let (program, registry) = (executable.clone(), gst_registry.clone());
    web::block(move || host::build_registry(&program, &registry))
        .await
        .map_err(std::io::Error::other)?
        .map_err(ServeError::Worker)?;
    let shelf = Arc::clone(shelf);
    let host = HostConfig {
        executable,
        gst_registry,
        encoder: config.worker.h264_encoder,
        preset: config.worker.preset.clone(),
        threads: config.worker.threads,
        audio_bitrate_kbps: config.worker.audio_bitrate_kbps,
        delay_ms: config.worker.delay.as_millis() as u32,
    };
    let open =
        Arc::new(move |spec: &weir_media::pipeline::BroadcastSpec| shelf.open(spec.stream) as Arc<dyn OutputSink>);
    Ok(Arc::new(WorkerPipelines::new(host, open, media)))
}

fn tree_config(config: &Config) -> TreeConfig {
    TreeConfig {
        stall: config.failover.stall,
        hold: config.failover.hold,
        linger: config.failover.linger,
        connect_every: config.limits.connect_every,
        connect_burst: config.limits.connect_burst,
        rotation: rotation::Policy {
            retry_every: config.pull.retry_every,
            give_up: config.pull.give_up,
            ..rotation::Policy::default()
        },
        ..TreeConfig::default()
    }
}

/// Reads a TLS door's files; `None` when the door is shut.
fn pair(door: &'static str, tls: &config::Tls) -> Result<Option<Watch>, ServeError> {
    let opened = tls.files().map(|files| Watch::open(door, files));
    opened.transpose().map_err(|source| ServeError::Certificate { door, source })
}

fn webhooks(config: &Config, store: &Store, outbox: &Outbox, runtime: Handle) -> Result<Webhooks, ServeError> {
    let network = Network::new(config.webhooks.allow.clone())?.allowed_by("webhooks.allow");
    Ok(Webhooks::new(store.clone(), network, outbox.newest_message(), runtime)?)
}

fn whip_settings(config: &Config) -> WhipSettings {
    let public_ip = config.whip.public_ip.as_deref().and_then(|ip| ip.parse().ok());
    WhipSettings { udp_ports: config.whip.udp_ports, public_ip }
}

fn rtmp_limits(config: &Config, descriptors: u64) -> RtmpLimits {
    RtmpLimits {
        preauth_per_address: config.limits.preauth_per_address as usize,
        preauth_total: descriptors::strangers(config.limits.preauth_total as usize, descriptors),
        ..RtmpLimits::default()
    }
}

fn rtmp_door(actor: &'static str, door: RtmpDoor, socket: TcpListener, runtime: Handle) -> Result<Door, ServeError> {
    let name = socket.local_addr()?.to_string();
    let serve: weir_actors::ServeFactory = Arc::new(move |publish, shutdown| {
        // A listener that is started again gets the same bound socket, so no encoder sees a closed port.
        let (socket, door) = (socket.try_clone(), door.clone());
        Box::pin(async move {
            let socket = socket.and_then(tokio::net::TcpListener::from_std).map_err(|error| error.to_string())?;
            rtmp::serve(socket, door, publish, shutdown).await;
            Ok(())
        })
    });
    Ok(Door { actor, name, runtime, serve })
}

fn srt_door(port: srt::Port, runtime: Handle) -> Door {
    let name = port.address().to_string();
    let serve: weir_actors::ServeFactory =
        Arc::new(move |publish, shutdown| Box::pin(srt::serve(port.clone(), publish, shutdown)));
    Door { actor: "SrtListener", name, runtime, serve }
}

type Running = (actix_web::dev::ServerHandle, actix_rt::task::JoinHandle<std::io::Result<()>>);

/// One server for both sockets, so that they have the same routes, threads and limits.
fn listen(
    plain: Option<TcpListener>,
    secured: Option<(TcpListener, rustls::ServerConfig)>,
    api: Api,
    whip: Whip,
    webhooks: Webhooks,
    shelf: Arc<Shelf>,
    media: Handle,
) -> Result<Running, ServeError> {
    let (shelf, media) = (web::Data::from(shelf), web::Data::new(media));
    let mut server = HttpServer::new(move || {
        App::new()
            .app_data(media.clone())
            .app_data(web::Data::new(whip.clone()))
            .app_data(web::Data::new(webhooks.clone()))
            .configure(http::routes(api.clone(), shelf.clone()))
            .wrap(from_fn(http::guard_plain))
            .wrap(from_fn(http::trace))
    })
    .disable_signals()
    // The last bytes of a playlist or part must not wait for the player to acknowledge the ones before.
    .tcp_nodelay(true)
    .max_connections(HTTP_CONNECTIONS)
    // Half-open TLS must not use up what it has of its own: nobody else, of plain HTTP neither, would be let in.
    .max_connection_rate(HTTP_CONNECTIONS)
    .tls_handshake_timeout(TLS_HANDSHAKE)
    .shutdown_timeout(HTTP_DRAIN);
    if let Some(socket) = plain {
        server = server.listen(socket)?;
    }
    if let Some((socket, tls)) = secured {
        server = server.listen_rustls_0_23(socket, tls)?;
    }
    let server = server.run();
    Ok((server.handle(), actix_rt::spawn(server)))
}

async fn sweep(shelf: Arc<Shelf>) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        ticks.tick().await;
        shelf.sweep();
    }
}

/// Says where the server can be reached. A generated key is printed here and nowhere else, and not through the log.
fn announce(config: &Config, key: &ApiKey) {
    if let ApiKey::Generated(secret) = key {
        println!("API key (kept in data.dir, printed this once): {}", secret.expose());
    }
    let Config { http, https, rtmp, rtmps, srt, metrics, .. } = config;
    let (http, https, rtmp, rtmps, srt) = (http.listen, https.listen, rtmp.listen, rtmps.listen, srt.listen);
    tracing::info!(%http, %https, %rtmp, %rtmps, %srt, metrics = %metrics.listen, "weir is ready");
}
