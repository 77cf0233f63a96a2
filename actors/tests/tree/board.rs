//! What the board says at once is what Root says a moment later.

use secrecy::{ExposeSecret, SecretString};
use weir_actors::control::{Drain, PutStream, RemoveStream, StreamSpec};
use weir_actors::ingest::Publish;
use weir_actors::token::Token;
use weir_media::id::{Protocol, Slot, StreamId};
use weir_policy::admission::Refusal;

use crate::support::*;

const SCHEDULES: u64 = 60;
const STEPS: u64 = 120;

/// What the board says to who would then publish.
fn ask(tree: &Tree, publish: &Publish) -> Result<Option<String>, Refusal> {
    let Publish { stream, slot, token, protocol, peer, .. } = publish;
    let asked = tree.admission.ask(*stream, *slot, token, *protocol, peer.ip());
    asked.map(|admissible| admissible.passphrase.map(|secret| secret.expose_secret().to_owned()))
}

struct Schedule {
    tree: Tree,
    dice: Dice,
    wires: Vec<Wire>,
    spec: StreamSpec,
    token: Token,
    poisons: u64,
    granted: u64,
    refusals: Vec<Refusal>,
}

impl Schedule {
    async fn new(seed: u64) -> Self {
        let (tree, spec, token) = (Tree::new().await, spec(STREAM), Token::new(TOKEN));
        Self { tree, dice: Dice(seed), wires: vec![], spec, token, poisons: 2, granted: 0, refusals: vec![] }
    }

    async fn step(&mut self) {
        match self.dice.roll(16) {
            0..6 => self.publish().await,
            6..9 => self.tell(Cmd::Media).await,
            9 => self.tell(Cmd::Flow).await,
            10 => self.tell(Cmd::Silence).await,
            11 => self.tell(Cmd::Unpublish).await,
            12 => self.change().await,
            // A third death would leave the stream alone for a minute, and the publisher that it dies of cannot be told in advance.
            13 if self.poisons > 0 && self.dice.roll(8) == 0 => {
                self.poisons -= 1;
                *self.tree.events.poisoned_for.lock().unwrap() = Some(STREAM);
            }
            14 => self.reconnect().await,
            _ => {
                let time = 1 + self.dice.roll(6_000);
                pass(time).await;
            }
        }
    }

    async fn publish(&mut self) {
        let token = if self.dice.roll(8) == 0 { Token::new("wrong") } else { self.token.clone() };
        let publish = Publish {
            stream: [Some(STREAM), Some(STREAM), Some(STREAM), Some(StreamId(7)), None][self.dice.roll(5) as usize],
            slot: [Slot::Primary, Slot::Backup][self.dice.roll(2) as usize],
            token,
            protocol: [Protocol::Rtmp, Protocol::Rtmps, Protocol::Srt][self.dice.roll(3) as usize],
            ..publish(1 + self.dice.roll(3) as u8)
        };
        self.publish_as(publish).await;
    }

    async fn publish_as(&mut self, publish: Publish) {
        let (what, asked) = (format!("{publish:?}"), ask(&self.tree, &publish));
        let decided = self.tree.try_publish(publish).await;
        // Each of both counts a wrong token, and the tenth is answered as the eleventh is not.
        let plain = |refusal: Refusal| match refusal {
            Refusal::Unanswered { known } => Refusal::NotAuthorized { known },
            refusal => refusal,
        };
        let both = (asked.map(|_| ()).map_err(plain), decided.as_ref().map(|_| ()).map_err(|no| plain(no.clone())));
        assert_eq!(both.0, both.1, "{what}");
        match decided {
            Ok(grant) => {
                self.granted += 1;
                self.wires.push(Wire::start(grant));
            }
            Err(refusal) => self.refusals.push(refusal),
        }
    }

    /// An encoder that comes back at once, and again.
    async fn reconnect(&mut self) {
        for _ in 0..4 {
            self.publish_as(Publish { token: self.token.clone(), ..publish(1) }).await;
            self.tell(Cmd::Unpublish).await;
        }
    }

    async fn tell(&mut self, command: Cmd) {
        self.wires.retain(|wire| !wire.ended.is_finished());
        if !self.wires.is_empty() {
            let which = self.dice.roll(self.wires.len() as u64) as usize;
            self.wires[which].tell(command).await;
        }
    }

    async fn change(&mut self) {
        match self.dice.roll(8) {
            0 => {
                self.tree.root.send(RemoveStream(STREAM)).await.unwrap();
                return settle().await;
            }
            1 => {
                let token = format!("token {}", self.dice.roll(1_000));
                (self.spec.token, self.token) = (digest(STREAM, &token), Token::new(token));
            }
            2 | 3 => self.spec.active = !self.spec.active,
            4 => self.spec.pull = !self.spec.pull,
            _ => (self.spec.active, self.spec.pull) = (true, false),
        }
        self.tree.root.send(PutStream(self.spec.clone())).await.unwrap();
        settle().await;
    }
}

#[test]
fn the_board_says_what_root_says() {
    let (mut granted, mut refusals) = (0, vec![]);
    for seed in 1..=SCHEDULES {
        let life = async {
            let mut schedule = Schedule::new(seed).await;
            for _ in 0..STEPS {
                schedule.step().await;
            }
            schedule.tree.root.send(Drain).await.unwrap();
            schedule.publish().await;
            (schedule.granted, schedule.refusals)
        };
        let life = std::panic::AssertUnwindSafe(|| actix_rt::System::new().block_on(life));
        let (more, refused) = std::panic::catch_unwind(life).unwrap_or_else(|_| panic!("seed {seed}"));
        granted += more;
        refusals.extend(refused);
    }
    let seen = |what: fn(&Refusal) -> bool| refusals.iter().filter(|refusal| what(refusal)).count();
    let counts = [
        seen(|refusal| matches!(refusal, Refusal::NotAuthorized { known: true } | Refusal::Unanswered { known: true })),
        seen(|refusal| {
            matches!(refusal, Refusal::NotAuthorized { known: false } | Refusal::Unanswered { known: false })
        }),
        seen(|refusal| matches!(refusal, Refusal::StreamOff)),
        seen(|refusal| matches!(refusal, Refusal::PullStream)),
        seen(|refusal| matches!(refusal, Refusal::SlotTaken)),
        seen(|refusal| matches!(refusal, Refusal::OtherProtocol)),
        seen(|refusal| matches!(refusal, Refusal::RateLimited { .. })),
        seen(|refusal| matches!(refusal, Refusal::Draining)),
    ];
    assert!(granted > 100 && counts.iter().all(|count| *count > 10), "{granted} let in, refused {counts:?}");
}

#[actix::test]
async fn a_right_token_learns_the_passphrase_and_a_wrong_one_nothing() {
    let tree = Tree::new().await;
    let srt = || Publish { protocol: Protocol::Srt, ..publish(1) };
    assert_eq!(ask(&tree, &srt()), Ok(None));
    let encrypted = StreamSpec { srt_passphrase: Some(SecretString::from("a passphrase")), ..spec(STREAM) };
    tree.root.send(PutStream(encrypted)).await.unwrap();
    assert_eq!(ask(&tree, &srt()), Ok(Some("a passphrase".to_owned())));
    let wrong = Publish { token: Token::new("wrong"), ..srt() };
    assert_eq!(ask(&tree, &wrong), Err(Refusal::NotAuthorized { known: true }));
}

#[actix::test]
async fn a_stream_whose_supervisor_keeps_dying_is_refused_by_the_board_too() {
    let tree = Tree::new().await;
    *tree.events.cursed.lock().unwrap() = Some(STREAM);
    for host in 1..=4 {
        let _ = tree.try_publish(publish(host)).await;
        pass(1_000).await;
    }
    assert_eq!(ask(&tree, &publish(9)), Err(Refusal::Restarting));
    *tree.events.cursed.lock().unwrap() = None;
    pass(61_000).await;
    assert_eq!(ask(&tree, &publish(9)), Ok(None));
}
