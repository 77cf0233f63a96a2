//! Stream ids: any bytes.
//!
//! What is read takes little memory, and names what its plain spelling names: written again as `id#token`, it is read the same. A text that
//! is no stream id of ours is never one of a stream. Errors are short and repeat nothing of what was sent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::memory::peak_of;
use weir_media::id::Slot;
use weir_media::srt::{MAX_STREAM_ID, PublishName};

fuzz_target!(|stream_id: &[u8]| {
    let (outcome, peak) = peak_of(|| PublishName::parse(stream_id));
    assert!(peak <= 4 * MAX_STREAM_ID, "{peak} bytes for {}", stream_id.len());
    let name = match outcome {
        Ok(name) => name,
        Err(error) => return assert!(error.to_string().len() < 80),
    };
    let Some(id) = name.stream else { return };
    assert!(stream_id.len() <= MAX_STREAM_ID);
    assert!(name.token.len() <= stream_id.len());
    let backup = if name.slot == Slot::Backup { "b" } else { "" };
    let plain = format!("{id}{backup}#{}", name.token);
    // An id may be written with zeros before it, and escapes make a text longer, never shorter.
    assert!(plain.len() <= stream_id.len() + 1);
    if plain.len() <= MAX_STREAM_ID {
        let again = PublishName::parse(plain.as_bytes()).expect("a plain name is no error");
        assert!(again == name, "{plain} is read differently");
    }
});
