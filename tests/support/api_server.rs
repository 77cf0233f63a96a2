//! The HTTP side of the server on a free port, over a real store and a tree that only remembers what it was told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use serde_json::Value;
use ureq::http::HeaderMap;
use weir::config::{Config, Secret};
use weir::http::health::Readiness;
use weir::http::{Api, guard_plain, routes, trace};
use weir::metrics::{Metrics, Sources};
use weir::shelf::{NumberStore, Reservation, Shelf};
use weir::store::Store;
use weir::tree::{Answer, PreflightAnswer, Tree, TreeGone};
use weir::webhooks::Webhooks;
use weir_actors::control::{ClosedSession, NotLive, NotRestarted, Restartable, StreamActor, StreamSpec};
use weir_actors::heartbeat::Heartbeat;
use weir_actors::journal::{Journal, JournalReader};
use weir_actors::network::Network;
use weir_actors::preflight::{PreflightDetail, PreflightPhase};
use weir_actors::refusals::RefusalLedger;
use weir_actors::status::{StatusBoard, StreamDetail, TreeNode};
use weir_actors::survey::{StreamSurvey, Survey};
use weir_actors::token::DigestKey;
use weir_media::id::{Protocol, SessionId, Slot, StreamId};
use weir_media::package::Numbers;
use weir_policy::admission::PreflightRefusal;

pub const KEY: &str = "1234$test-key";

/// What the tree was told, in order: each stream as it was put, `None` when it was removed.
pub type Told = Arc<Mutex<Vec<(StreamId, Option<StreamSpec>)>>>;

/// Each stream's journal; a removed stream's is dropped.
pub type Journals = Arc<Mutex<HashMap<StreamId, Journal>>>;

/// Each stream's refusals, and those of no stream.
pub type Refusals = Arc<Mutex<HashMap<Option<StreamId>, RefusalLedger>>>;

/// A tree with one session that closes on every change, in `took`.
#[derive(Clone, Default)]
struct FakeTree {
    told: Told,
    took: Arc<Mutex<Option<Duration>>>,
    gone: Arc<Mutex<bool>>,
    journals: Journals,
    refusals: Refusals,
    live: Arc<Mutex<Vec<Slot>>>,
    chosen: Arc<Mutex<Vec<Option<Slot>>>>,
    restarted: Arc<Mutex<Vec<Restartable>>>,
    preflight: Arc<Mutex<Option<(StreamId, PreflightDetail)>>>,
}

impl Tree for FakeTree {
    fn put_stream(&self, spec: StreamSpec) -> Answer<'_, Vec<ClosedSession>> {
        self.journals.lock().unwrap().entry(spec.id).or_insert_with(|| Journal::new(spec.id));
        self.told.lock().unwrap().push((spec.id, Some(spec)));
        let took = *self.took.lock().unwrap();
        let gone = *self.gone.lock().unwrap();
        Box::pin(async move { if gone { Err(TreeGone) } else { Ok(vec![closed(took)]) } })
    }

    fn remove_stream(&self, id: StreamId) -> Answer<'_, Vec<ClosedSession>> {
        self.journals.lock().unwrap().remove(&id);
        self.told.lock().unwrap().push((id, None));
        Box::pin(async { Ok(vec![]) })
    }

    fn tree(&self) -> Answer<'_, TreeNode> {
        let node = TreeNode {
            actor: "Root",
            name: "root".into(),
            state: "running".into(),
            restarts: 0,
            generation: 0,
            last_exit: None,
            last_exit_at: None,
            mailbox_lag: Some(Duration::from_micros(1_500)),
            pid: None,
            children: vec![TreeNode {
                actor: "PipelineActor",
                name: "broadcast 1".into(),
                state: "unresponsive".into(),
                restarts: 2,
                generation: 4,
                last_exit: Some("signal 9".into()),
                last_exit_at: Some(std::time::UNIX_EPOCH + Duration::from_millis(1_696_118_461_007)),
                mailbox_lag: None,
                pid: Some(4242),
                children: vec![],
            }],
        };
        Box::pin(async { Ok(node) })
    }

    fn stream(&self, id: StreamId) -> Answer<'_, Option<StreamDetail>> {
        let told = self.told.lock().unwrap();
        let spec = told.iter().rev().find(|(told, _)| *told == id).and_then(|(_, spec)| spec.as_ref());
        let detail = spec.map(|spec| StreamDetail {
            journal: self.journals.lock().unwrap()[&id].latest(100),
            ..StreamDetail::quiet(id, "idle", &spec.failover)
        });
        Box::pin(async move { Ok(detail) })
    }

    fn survey(&self) -> Answer<'_, Survey> {
        if *self.gone.lock().unwrap() {
            return Box::pin(async { Err(TreeGone) });
        }
        let (journals, refusals) = (self.journals.lock().unwrap(), self.refusals.lock().unwrap());
        let counts = |id| refusals.get(&id).map(RefusalLedger::counts).unwrap_or_default();
        let stream = |(id, journal): (&StreamId, &Journal)| StreamSurvey {
            active: true,
            in_use: journal.tally().is_used(),
            transcoding: false,
            detail: StreamDetail::quiet(*id, "idle", &Default::default()),
            tally: journal.tally(),
            refusals: counts(Some(*id)),
        };
        let streams = journals.iter().map(stream).collect();
        let survey = Survey { streams, strangers: counts(None), restarts: [("SrtListener", 2)].into() };
        Box::pin(async { Ok(survey) })
    }

    fn journal(&self, id: StreamId) -> Answer<'_, Option<JournalReader>> {
        let reader = self.journals.lock().unwrap().get(&id).map(Journal::reader);
        Box::pin(async move { Ok(reader) })
    }

    fn refusals(&self, id: Option<StreamId>) -> Answer<'_, Option<RefusalLedger>> {
        let known = id.is_none_or(|id| self.journals.lock().unwrap().contains_key(&id));
        let ledger =
            known.then(|| self.refusals.lock().unwrap().entry(id).or_insert_with(|| RefusalLedger::new(100)).clone());
        Box::pin(async move { Ok(ledger) })
    }

    fn choose_slot(&self, id: StreamId, slot: Option<Slot>) -> Answer<'_, Option<Result<(), NotLive>>> {
        let known = self.journals.lock().unwrap().contains_key(&id);
        let refused = slot.filter(|slot| !self.live.lock().unwrap().contains(slot));
        if known && refused.is_none() {
            self.chosen.lock().unwrap().push(slot);
        }
        Box::pin(async move { Ok(known.then_some(refused.map_or(Ok(()), |slot| Err(NotLive(slot))))) })
    }

    /// It runs everything but PullActors.
    fn restart(&self, which: Restartable) -> Answer<'_, Option<Result<(), NotRestarted>>> {
        let answer = match which {
            Restartable::Stream(id, _) if !self.journals.lock().unwrap().contains_key(&id) => None,
            Restartable::Stream(_, StreamActor::Pull) => Some(Err(NotRestarted)),
            which => {
                self.restarted.lock().unwrap().push(which);
                Some(Ok(()))
            }
        };
        Box::pin(async move { Ok(answer) })
    }

    fn open_preflight(&self, id: StreamId, slot: Slot, window: Duration) -> Answer<'_, Option<PreflightAnswer>> {
        let known = self.journals.lock().unwrap().contains_key(&id);
        let taken = self.live.lock().unwrap().contains(&slot);
        let detail = PreflightDetail {
            slot,
            state: PreflightPhase::Waiting,
            seconds: window.as_secs(),
            ends_in_s: Some(window.as_secs_f64()),
            session: None,
            closed: None,
            findings: vec![],
            verdict: None,
        };
        let answer = if taken { Err(PreflightRefusal::SlotTaken(slot)) } else { Ok(detail.clone()) };
        if known && !taken {
            *self.preflight.lock().unwrap() = Some((id, detail));
        }
        Box::pin(async move { Ok(known.then_some(answer)) })
    }

    fn preflight(&self, id: StreamId) -> Answer<'_, Option<PreflightDetail>> {
        let kept = self.preflight.lock().unwrap().clone().filter(|(of, _)| *of == id);
        Box::pin(async move { Ok(kept.map(|(_, detail)| detail)) })
    }

    fn end_preflight(&self, id: StreamId) -> Answer<'_, Option<PreflightDetail>> {
        let ended = self.preflight.lock().unwrap().take_if(|(of, _)| *of == id);
        let done = |(_, detail)| PreflightDetail { state: PreflightPhase::Done, ends_in_s: None, ..detail };
        Box::pin(async move { Ok(ended.map(done)) })
    }
}

fn closed(took: Option<Duration>) -> ClosedSession {
    let address = Some([192, 0, 2, 1].into());
    ClosedSession { session: SessionId(5), slot: Slot::Primary, protocol: Protocol::Rtmp, address, took }
}

struct NoNumbers;

impl NumberStore for NoNumbers {
    fn reserve(&self, _: StreamId, _: Numbers, _: Reservation) {}
}

/// A running server; its thread ends with the test process.
pub struct ApiServer {
    pub address: SocketAddr,
    pub board: StatusBoard,
    pub readiness: Readiness,
    /// By which the tree is told of tokens.
    pub digests: DigestKey,
    pub told: Told,
    /// How long the fake session takes to close; `None` means that it does not.
    pub took: Arc<Mutex<Option<Duration>>>,
    /// The tree does not answer changes.
    pub gone: Arc<Mutex<bool>>,
    pub journals: Journals,
    pub refusals: Refusals,
    /// Slots that may be chosen.
    pub live: Arc<Mutex<Vec<Slot>>>,
    /// Slots that were, in order.
    pub chosen: Arc<Mutex<Vec<Option<Slot>>>>,
    /// Actors that were restarted, in order.
    pub restarted: Arc<Mutex<Vec<Restartable>>>,
    dir: PathBuf,
    agent: ureq::Agent,
}

impl ApiServer {
    pub fn start() -> Self {
        Self::with("127.0.0.1", Config::default())
    }

    /// On an address of this machine.
    pub fn with(ip: &str, config: Config) -> Self {
        Self::with_heartbeat(ip, config, None)
    }

    /// With this heartbeat instead of the server's own.
    pub fn with_heartbeat(ip: &str, mut config: Config, heartbeat: Option<Heartbeat>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("weir-api-{}-{next}", std::process::id()));
        config.data.dir = dir.clone();
        let tree = FakeTree { took: Arc::new(Mutex::new(Some(Duration::from_millis(7)))), ..FakeTree::default() };
        let (told, took, journals) = (tree.told.clone(), tree.took.clone(), tree.journals.clone());
        let (gone, refusals) = (tree.gone.clone(), tree.refusals.clone());
        let (live, chosen, restarted) = (tree.live.clone(), tree.chosen.clone(), tree.restarted.clone());
        let (board, ip) = (StatusBoard::default(), ip.to_owned());
        let (started, waiting) = mpsc::channel();
        let seen = board.clone();
        std::thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let store = Store::open(&config.data.dir).await.unwrap().with_max_active(config.limits.max_streams);
                let digests = store.digest_key();
                let heartbeat = heartbeat.unwrap_or_else(Heartbeat::start);
                let network = Network::new(config.webhooks.allow.clone()).unwrap().allowed_by("webhooks.allow");
                let (newest, runtime) = (tokio::sync::watch::channel(0).1, tokio::runtime::Handle::current());
                let webhooks = Webhooks::new(store.clone(), network, newest, runtime).unwrap();
                let metrics = Metrics::new(Sources::default()).unwrap();
                let api = Api::new(Arc::new(config), Secret::new(KEY), store, seen, Arc::new(tree), heartbeat, metrics);
                let readiness = api.readiness.clone();
                let shelf = web::Data::new(Shelf::new(Arc::new(NoNumbers), Duration::from_secs(600)));
                let server = HttpServer::new(move || {
                    App::new()
                        .app_data(web::Data::new(webhooks.clone()))
                        .configure(routes(api.clone(), shelf.clone()))
                        .wrap(from_fn(guard_plain))
                        .wrap(from_fn(trace))
                })
                .workers(2)
                .disable_signals()
                .bind((ip, 0))
                .unwrap();
                started.send((server.addrs()[0], readiness, digests)).unwrap();
                server.run().await.unwrap();
            });
        });
        let (address, readiness, digests) = waiting.recv_timeout(Duration::from_secs(20)).expect("the server starts");
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .into();
        Self {
            address,
            board,
            readiness,
            digests,
            told,
            took,
            gone,
            journals,
            refusals,
            live,
            chosen,
            restarted,
            dir,
            agent,
        }
    }

    /// Status and body text of a request with these headers.
    pub fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        let (status, _, text) = self.whole(method, path, headers, body);
        (status, text)
    }

    /// The same with the answer's headers.
    pub fn whole(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, HeaderMap, String) {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = self.agent.run(request.body(body).unwrap()).expect("answer");
        let text = response.body_mut().read_to_string().expect("text");
        (response.status().as_u16(), response.headers().clone(), text)
    }

    /// The same with the API key; a JSON answer, null when it is empty.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let key = format!("APIKey {KEY}");
        let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
        let (status, text) = self.raw(method, path, &headers, text.as_bytes());
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("json") })
    }

    /// A stream's journal.
    pub fn journal(&self, id: &Value) -> Journal {
        self.journals.lock().unwrap()[&StreamId(id.as_u64().unwrap())].clone()
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, &Value::Null)
    }

    /// A new stream.
    pub fn create(&self, body: &Value) -> Value {
        let (status, stream) = self.call("POST", "/streaming/streams", body);
        assert_eq!(status, 200, "{stream}");
        stream
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.dir).ok();
    }
}
