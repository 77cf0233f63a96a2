use super::*;
use crate::test_clock::start;
use Protocol::{Rtmp, Rtmps, Srt};
use Slot::{Backup, Primary};
use proptest::prelude::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn admission() -> Admission {
    Admission::new(AdmissionPolicy::default())
}

/// Each session comes from its own address, so that the rate limit stays out of the way.
fn claim(host: u64, slot: Slot, protocol: Protocol) -> Claim {
    Claim { slot, protocol, address: IpAddr::from([10, 0, 0, host as u8]) }
}

fn request(
    slots: &mut Admission,
    (session, slot, protocol): (u64, Slot, Protocol),
    now: Instant,
) -> Result<Vec<SessionId>, Refusal> {
    let claim = claim(session, slot, protocol);
    let checked = slots.check(&claim, now);
    assert_eq!(slots.check(&claim, now), checked, "asking changes nothing");
    assert_eq!(slots.request(SessionId(session), &claim, now), checked);
    checked
}

#[test]
fn nothing_is_told_before_a_right_token() {
    let right = Gate { known: true, token_matches: true, draining: false, active: true, pull: false };
    let wrong = Gate { token_matches: false, draining: true, active: false, pull: true, ..right };
    let table = [
        (right, Ok(())),
        (wrong, Err(Refusal::NotAuthorized { known: true })),
        (Gate { known: false, ..wrong }, Err(Refusal::NotAuthorized { known: false })),
        (Gate { known: false, ..right }, Err(Refusal::NotAuthorized { known: false })),
        (Gate { draining: true, active: false, ..right }, Err(Refusal::Draining)),
        (Gate { active: false, pull: true, ..right }, Err(Refusal::StreamOff)),
        (Gate { pull: true, ..right }, Err(Refusal::PullStream)),
    ];
    for (asked, answer) in table {
        assert_eq!(gate(asked), answer, "{asked:?}");
    }
}

#[test]
fn a_sending_publisher_keeps_its_slot_and_three_seconds_of_silence_free_it() {
    let (mut slots, t) = (admission(), start());
    assert_eq!(request(&mut slots, (1, Primary, Rtmp), t), Ok(vec![]));
    assert!(slots.on_media(SessionId(1), t + MS(1_000)));
    assert_eq!(request(&mut slots, (2, Primary, Rtmp), t + MS(3_999)), Err(Refusal::SlotTaken));
    assert_eq!(request(&mut slots, (3, Primary, Rtmp), t + MS(4_000)), Ok(vec![SessionId(1)]));
    assert!(!slots.on_media(SessionId(1), t + MS(4_001)), "displaced: its media counts for nothing");
    assert_eq!(slots.holder(Primary), Some(SessionId(3)));
}

#[test]
fn media_takes_a_silent_slot_back_while_it_is_free() {
    let (mut slots, t) = (admission(), start());
    request(&mut slots, (1, Primary, Rtmp), t).unwrap();
    assert!(slots.on_media(SessionId(1), t + MS(9_000)));
    assert_eq!(request(&mut slots, (2, Primary, Rtmp), t + MS(11_999)), Err(Refusal::SlotTaken));
}

#[test]
fn one_protocol_at_a_time_unless_the_other_is_silent() {
    let (mut slots, t) = (admission(), start());
    request(&mut slots, (1, Primary, Rtmp), t).unwrap();
    assert_eq!(request(&mut slots, (2, Backup, Srt), t), Err(Refusal::OtherProtocol));
    assert_eq!(request(&mut slots, (3, Backup, Rtmps), t), Ok(vec![]), "RTMPS is RTMP");
    slots.on_media(SessionId(3), t + MS(1_000));
    assert_eq!(request(&mut slots, (4, Primary, Srt), t + MS(3_000)), Err(Refusal::OtherProtocol));
    assert_eq!(slots.holder(Primary), Some(SessionId(1)), "a refused newcomer displaces nobody");
    let later = t + MS(4_000);
    assert_eq!(request(&mut slots, (5, Primary, Srt), later), Ok(vec![SessionId(1), SessionId(3)]));
}

#[test]
fn silence_closes_after_ten_seconds_and_audio_without_video_after_three() {
    let (mut slots, t) = (admission(), start());
    request(&mut slots, (1, Primary, Rtmp), t).unwrap();
    request(&mut slots, (2, Backup, Rtmp), t).unwrap();
    slots.on_source(SessionId(2), false, true);
    assert_eq!(slots.deadline(), Some(t + MS(3_000)));
    assert_eq!(slots.on_timeout(t + MS(3_000)), [(SessionId(2), Expiry::NoVideo)]);
    assert_eq!(slots.on_timeout(t + MS(9_999)), []);
    assert_eq!(slots.on_timeout(t + MS(10_000)), [(SessionId(1), Expiry::Silent)]);
    assert_eq!(slots.deadline(), None);
}

#[test]
fn in_a_preflight_who_comes_is_only_looked_at_until_it_is_over() {
    let (mut slots, t) = (admission(), start());
    let until = t + MS(60_000);
    assert_eq!(slots.open_preflight(Primary, until, t), Ok(()));
    assert_eq!(slots.open_preflight(Backup, until, t), Err(PreflightRefusal::Running(Primary)));
    assert_eq!(request(&mut slots, (1, Primary, Rtmp), t), Ok(vec![]));
    assert_eq!(request(&mut slots, (2, Primary, Rtmp), t + MS(1_000)), Err(Refusal::SlotTaken));
    assert!(slots.is_preflight(SessionId(1)));
    assert_eq!(request(&mut slots, (3, Backup, Rtmp), t + MS(1_000)), Ok(vec![]));
    assert!(!slots.is_preflight(SessionId(3)), "the other slot is as it ever was");
    slots.on_closed(SessionId(1));
    assert_eq!(request(&mut slots, (4, Primary, Rtmp), t + MS(55_000)), Ok(vec![]));
    assert!(slots.is_preflight(SessionId(4)), "so is who comes back");
    slots.on_media(SessionId(3), t + MS(59_999));
    slots.on_media(SessionId(4), t + MS(59_999));
    assert_eq!(slots.deadline(), Some(until));
    assert_eq!(slots.on_timeout(until), [(SessionId(4), Expiry::PreflightOver)]);
    assert_eq!(request(&mut slots, (5, Primary, Rtmp), until), Ok(vec![]));
    assert!(!slots.is_preflight(SessionId(5)), "on air as usual");
    assert_eq!(slots.open_preflight(Primary, until + MS(1), until), Err(PreflightRefusal::SlotTaken(Primary)));
}

#[test]
fn a_preflight_takes_nobodys_place_and_gives_way_to_who_goes_on_air() {
    let (mut slots, t) = (admission(), start());
    request(&mut slots, (1, Primary, Rtmp), t).unwrap();
    slots.open_preflight(Backup, t + MS(60_000), t).unwrap();
    let later = t + MS(5_000);
    assert_eq!(request(&mut slots, (2, Backup, Srt), later), Err(Refusal::OtherProtocol), "silent, but not for this");
    slots.on_closed(SessionId(1));
    assert_eq!(request(&mut slots, (3, Backup, Srt), later), Ok(vec![]));
    assert_eq!(request(&mut slots, (4, Primary, Rtmp), later), Ok(vec![SessionId(3)]), "on air goes first");
    assert_eq!(slots.holder(Backup), None);
}

#[test]
fn a_preflight_outlives_a_supervisor_and_can_be_ended() {
    let (mut slots, t) = (admission(), start());
    slots.open_preflight(Primary, t + MS(60_000), t).unwrap();
    request(&mut slots, (1, Primary, Rtmp), t).unwrap();
    slots.clear();
    assert_eq!(slots.holder(Primary), None);
    request(&mut slots, (2, Primary, Rtmp), t + MS(1_000)).unwrap();
    assert!(slots.is_preflight(SessionId(2)));
    assert_eq!((slots.close_preflight(), slots.holder(Primary)), (Some(SessionId(2)), None));
    request(&mut slots, (3, Primary, Rtmp), t + MS(2_000)).unwrap();
    assert!(!slots.is_preflight(SessionId(3)));
    assert_eq!(slots.close_preflight(), None, "what is on air stays there");
    assert_eq!(slots.holder(Primary), Some(SessionId(3)));
}

#[test]
fn only_admissions_count_for_the_rate_limit() {
    let (mut slots, t) = (admission(), start());
    let again = claim(1, Primary, Rtmp);
    for session in 1..=3 {
        slots.request(SessionId(session), &again, t).unwrap();
        for _ in 0..10 {
            assert_eq!(slots.request(SessionId(99), &again, t), Err(Refusal::SlotTaken));
        }
        slots.on_closed(SessionId(session));
    }
    let refusal = Refusal::RateLimited { retry_after: MS(10_000) };
    assert_eq!(slots.request(SessionId(4), &again, t), Err(refusal));
    assert_eq!(request(&mut slots, (5, Primary, Rtmp), t), Ok(vec![]), "another address is free to come");
}

proptest! {
    #[test]
    fn no_schedule_lets_a_sending_publisher_be_replaced(
        steps in proptest::collection::vec((0u64..4_000, 0u8..4, any::<bool>()), 1..200)
    ) {
        let (mut slots, mut now) = (admission(), start());
        let mut heard: [Option<(SessionId, Instant)>; 2] = [None; 2];
        for (n, (gap, what, backup)) in steps.into_iter().enumerate() {
            now += MS(gap);
            let slot = if backup { Backup } else { Primary };
            for (session, _) in slots.on_timeout(now) {
                let (_, at) = heard.iter().flatten().find(|(holder, _)| *holder == session).unwrap();
                prop_assert!(now >= *at + MS(10_000));
            }
            match what {
                0 | 1 => {
                    let claim = claim(n as u64, slot, if what == 0 { Rtmp } else { Srt });
                    let session = SessionId(n as u64);
                    if let Ok(displaced) = slots.request(session, &claim, now) {
                        for (_, at) in heard.iter().flatten().filter(|(holder, _)| displaced.contains(holder)) {
                            prop_assert!(now >= *at + MS(3_000));
                        }
                        heard[slot as usize] = Some((session, now));
                    }
                }
                2 => {
                    if let Some(session) = slots.holder(slot) {
                        slots.on_media(session, now);
                        heard[slot as usize] = Some((session, now));
                    }
                }
                _ => slots.on_closed(slots.holder(slot).unwrap_or(SessionId(0))),
            }
            prop_assert!(slots.deadline().is_none_or(|due| due > now || what == 3));
        }
    }
}
