//! Many calls leave nothing behind, and the last one's end ends libsrt. Alone in its process, whose descriptors and threads it counts.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::time::timeout;
use weir_actors::ingest::srt::SrtLimits;
use weir_actors::ingest::srt::libsrt::{Call, CallError, Caller, Connection, Listener, Verdict, call, wait_ended};

/// Longer than anything here takes on a busy machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(40);
const CALLERS: &str = "srt-callers";

/// Names of this process's threads.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    // One may end meanwhile.
    tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok()).collect()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// How many threads turn the callers' poller.
fn turning() -> usize {
    threads().iter().filter(|name| name.trim() == CALLERS).count()
}

/// Waits until something is so.
fn wait(what: &str, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "{what}: {} descriptors, {:?}", descriptors(), threads());
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// A listener that lets in those with an empty stream id, and lets them go when it is told to.
struct Door {
    listener: Arc<Listener>,
    over: Arc<AtomicBool>,
    turning: Option<std::thread::JoinHandle<()>>,
}

impl Door {
    fn open() -> Self {
        let gatekeeper = |caller: Caller<'_>| match caller.stream_id {
            b"" => Verdict::Accept(None),
            _ => Verdict::Reject(Some(1403)),
        };
        let options = SrtLimits::default().options;
        let listener = Arc::new(Listener::bind(([127, 0, 0, 1], 0).into(), options, 64, Box::new(gatekeeper)).unwrap());
        let (turned, over) = (Arc::clone(&listener), Arc::<AtomicBool>::default());
        let ends = Arc::clone(&over);
        let turning = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                turned.turn(Duration::from_millis(50)).unwrap();
            }
        });
        Self { listener, over, turning: Some(turning) }
    }

    async fn accept(&self) -> Connection {
        timeout(PATIENCE, async {
            loop {
                match self.listener.accept() {
                    Ok(Some(connection)) => return connection,
                    Ok(None) => self.listener.acceptable().await,
                    // One that has hung up while it waited.
                    Err(_) => {}
                }
            }
        })
        .await
        .expect("a caller")
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.turning.take().unwrap().join().unwrap();
    }
}

fn to(address: SocketAddr, stream_id: Option<&str>) -> Call {
    let options = SrtLimits::default().options;
    let stream_id = stream_id.map(Into::into);
    Call { address, options, stream_id, passphrase: None, key_length: None }
}

#[test]
fn many_calls_leave_no_descriptor_and_no_thread_behind() {
    // Threads that only wait for blocking work end at once, so that they do not count.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(Duration::from_millis(10))
        .build()
        .unwrap();
    let door = Door::open();
    let address = door.listener.address();
    let (descriptors_before, threads_before) = (descriptors(), threads().len());

    for number in 0..200 {
        runtime.block_on(async {
            match number % 4 {
                // Refused.
                0 => {
                    let refused = call(to(address, Some("other"))).await.map(drop).unwrap_err();
                    assert!(matches!(&refused, CallError::Rejected(why) if why == "forbidden (1403)"), "{refused}");
                }
                // Given up before there is an answer.
                1 => {
                    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
                    let given_up = call(to(silent.local_addr().unwrap(), None));
                    timeout(Duration::from_millis(5), given_up).await.map(drop).unwrap_err();
                }
                // The caller hangs up, or the listener does.
                side => {
                    let (called, accepted) = tokio::join!(call(to(address, None)), door.accept());
                    let called = called.unwrap();
                    if side == 2 { drop((called, accepted)) } else { drop((accepted, called)) }
                }
            }
        });
    }
    wait("all is given back", || descriptors() <= descriptors_before && threads().len() <= threads_before);
    assert_eq!(turning(), 0, "the thread ends with the last caller");

    let called = runtime.block_on(async {
        let mut called = vec![];
        for _ in 0..5 {
            let (connection, accepted) = tokio::join!(call(to(address, None)), door.accept());
            called.push((connection.unwrap(), accepted));
        }
        called
    });
    assert_eq!(turning(), 1, "one thread for all callers");
    drop(called);

    // Without the door a caller has libsrt to itself: it starts with it, ends with it, and starts again.
    drop(door);
    assert!(wait_ended(PATIENCE), "libsrt ends with the door");
    for _ in 0..3 {
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let calling = call(to(silent.local_addr().unwrap(), None));
        runtime.block_on(async {
            tokio::select! {
                answer = calling => panic!("{:?}", answer.err()),
                () = async { while turning() == 0 { tokio::time::sleep(Duration::from_millis(5)).await } } => {}
            }
        });
        assert!(wait_ended(PATIENCE), "libsrt ends with the last caller");
    }
}
