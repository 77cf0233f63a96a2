use proptest::prelude::*;

use super::*;

fn media(text: &str) -> Media {
    match Playlist::parse(text.as_bytes()) {
        Ok(Playlist::Media(media)) => media,
        other => panic!("{other:?}"),
    }
}

fn error(text: &str) -> PlaylistError {
    Playlist::parse(text.as_bytes()).unwrap_err()
}

#[test]
fn a_live_playlist_is_read() {
    let media = media(
        "#EXTM3U\r\n#EXT-X-VERSION:3\r\n#EXT-X-TARGETDURATION:8\r\n#EXT-X-MEDIA-SEQUENCE:2680\r\n\r\n#EXTINF:7.975,\r\n\
         https://priv.example.com/fileSequence2680.ts?token=secret\r\n#EXTINF:7.941,a title, with a comma\r\n# a comment\r\n\
         fileSequence2681.ts\r\n#EXTINF:8\r\nfileSequence2682.ts",
    );
    assert_eq!((media.target_duration, media.sequence), (Duration::from_secs(8), 2680));
    assert!(!media.ended && !media.on_demand);
    let read: Vec<_> = media
        .segments
        .iter()
        .map(|segment| (segment.sequence, segment.uri.as_str(), segment.duration.as_millis()))
        .collect();
    let first = "https://priv.example.com/fileSequence2680.ts?token=secret";
    assert_eq!(read, [(2680, first, 7975), (2681, "fileSequence2681.ts", 7941), (2682, "fileSequence2682.ts", 8000)]);
    assert!(!format!("{media:?}").contains("secret"));
}

#[test]
fn an_end_and_a_recording_are_told() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST";
    let media = media(text);
    assert!(media.ended && media.on_demand);
}

#[test]
fn a_discontinuity_and_a_gap_are_of_the_next_segment_only() {
    let media = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-DISCONTINUITY-SEQUENCE:7\n#EXTINF:4,\na.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:4,\nb.ts\n\
         #EXTINF:4,\n#EXT-X-GAP\nc.ts\n#EXTINF:4,\nd.ts\n",
    );
    let marks: Vec<_> = media.segments.iter().map(|segment| (segment.discontinuity, segment.gap)).collect();
    assert_eq!(marks, [(false, false), (true, false), (false, true), (false, false)]);
}

#[test]
fn byte_ranges_go_on_where_the_one_before_ended() {
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n";
    let media = media(&format!(
        "{head}#EXTINF:4,\n#EXT-X-BYTERANGE:75232@100\na.ts\n#EXT-X-BYTERANGE:82112\n#EXTINF:4,\na.ts\n#EXTINF:4,\nb.ts\n"
    ));
    let range = |offset, length| Some(Range { offset, length });
    let ranges: Vec<_> = media.segments.iter().map(|segment| segment.range).collect();
    assert_eq!(ranges, [range(100, 75_232), range(75_332, 82_112), None]);
    for wrong in [
        "#EXTINF:4,\n#EXT-X-BYTERANGE:100\na.ts\n",
        "#EXTINF:4,\n#EXT-X-BYTERANGE:100@0\na.ts\n#EXTINF:4,\n#EXT-X-BYTERANGE:100\nb.ts\n",
        "#EXTINF:4,\n#EXT-X-BYTERANGE:0@0\na.ts\n",
        "#EXTINF:4,\n#EXT-X-BYTERANGE:1@18446744073709551615\na.ts\n",
        "#EXTINF:4,\n#EXT-X-BYTERANGE:-1@5\na.ts\n",
    ] {
        assert_eq!(error(&format!("{head}{wrong}")), PlaylistError::Damaged("EXT-X-BYTERANGE"), "{wrong}");
    }
}

#[test]
fn a_map_holds_until_the_next_one_and_is_shared() {
    let media = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"700@10\"\n#EXTINF:4,\na.m4s\n#EXTINF:4,\nb.m4s\n\
         #EXT-X-MAP:URI=\"other.mp4\"\n#EXTINF:4,\nc.m4s\n",
    );
    let maps: Vec<_> = media.segments.iter().map(|segment| segment.map.clone().unwrap()).collect();
    assert_eq!((maps[0].uri.as_str(), maps[0].range), ("init.mp4", Some(Range { offset: 10, length: 700 })));
    assert!(Arc::ptr_eq(&maps[0], &maps[1]));
    assert_eq!((maps[2].uri.as_str(), maps[2].range), ("other.mp4", None));
}

#[test]
fn a_key_holds_until_the_next_of_its_format_or_none() {
    let media = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n#EXT-X-KEY:METHOD=AES-128,URI=\"k?secret\",IV=0x1F\n#EXTINF:4,\nb.ts\n\
         #EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n#EXTINF:4,\nc.ts\n\
         #EXT-X-KEY:METHOD=NONE\n#EXTINF:4,\nd.ts\n#EXT-X-KEY:METHOD=AES-128,URI=\"k2\",KEYFORMAT=\"identity\"\n#EXTINF:4,\ne.ts\n",
    );
    let kinds: Vec<_> = media.segments.iter().map(|segment| segment.encryption.clone()).collect();
    let Encryption::Aes128(first) = &kinds[1] else { panic!("{kinds:?}") };
    assert_eq!((first.uri.as_str(), first.iv), ("k?secret", Some(0x1f_u128.to_be_bytes())));
    assert_eq!((&kinds[0], &kinds[2], &kinds[3]), (&Encryption::None, &kinds[1], &Encryption::None));
    assert!(matches!(&kinds[4], Encryption::Aes128(key) if key.uri.as_str() == "k2" && key.iv.is_none()));
}

#[test]
fn an_encryption_that_is_not_supported_keeps_its_name() {
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:";
    for list in ["METHOD=SAMPLE-AES,URI=\"k\"", "METHOD=SAMPLE-AES,URI=\"k\",KEYFORMAT=\"com.widevine\""] {
        let media = media(&format!("{head}{list}\n#EXTINF:4,\na.ts\n"));
        assert_eq!(media.segments[0].encryption, Encryption::Other("SAMPLE-AES".into()), "{list}");
    }
    for list in ["URI=\"k\"", "METHOD=AES-128", "METHOD=AES-128,URI=\"k\",IV=0x+1", "METHOD=AES-128,URI=\"k\",IV=17"] {
        assert_eq!(error(&format!("{head}{list}\n")), PlaylistError::Damaged("EXT-X-KEY"), "{list}");
    }
}

#[test]
fn a_master_playlist_is_told_from_a_media_playlist() {
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1280000,RESOLUTION=1280x720,CODECS=\"avc1,mp4a\"\nmid.m3u8\n";
    let Ok(Playlist::Master(read)) = Playlist::parse(master.as_bytes()) else { panic!("no master playlist") };
    let variant = &read.variants[0];
    assert_eq!((variant.bandwidth, variant.resolution), (1_280_000, Some((1280, 720))));
    assert_eq!(error(&format!("{master}#EXTINF:4,\na.ts\n")), PlaylistError::Mixed);
}

#[test]
fn what_is_no_live_playlist_is_refused() {
    assert_eq!(error("<html>"), PlaylistError::NoPlaylist);
    assert_eq!(error(""), PlaylistError::NoPlaylist);
    assert_eq!(error("#EXTM3U\n"), PlaylistError::Damaged("EXT-X-TARGETDURATION"));
    assert_eq!(error("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-I-FRAMES-ONLY\n"), PlaylistError::KeyframesOnly);
    assert_eq!(error("#EXTM3U\n#EXTINF:NaN,\na.ts"), PlaylistError::Damaged("EXTINF"));
    assert_eq!(error("#EXTM3U\n#EXTINF:-4,\na.ts"), PlaylistError::Damaged("EXTINF"));
    assert_eq!(error("#EXTM3U\n#EXTINF:1e300,\na.ts"), PlaylistError::Damaged("EXTINF"));
    let far =
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXTINF:4,\na\n#EXTINF:4,\nb\n";
    assert_eq!(error(far), PlaylistError::Damaged("EXT-X-MEDIA-SEQUENCE"));
}

#[test]
fn an_absurd_target_duration_is_brought_to_the_nearest_that_is_not() {
    let target =
        |text: &str| media(&format!("#EXTM3U\n#EXT-X-TARGETDURATION:{text}\n#EXTINF:4,\na.ts\n")).target_duration;
    assert_eq!(target("0"), Duration::from_secs(1));
    assert_eq!(target("99999999"), Duration::from_secs(60));
    assert_eq!(media("#EXTM3U\n#EXTINF:4.5,\na.ts\n").target_duration, Duration::from_millis(4500), "missing");
}

#[test]
fn a_line_that_is_not_utf_8_harms_no_other() {
    let Ok(Playlist::Media(media)) = Playlist::parse(b"\xef\xbb\xbf#EXTM3U\n#EXT-X-DATE\xff\n#EXTINF:4,\xfe\na.ts\n")
    else {
        panic!("no media playlist")
    };
    assert_eq!(media.segments.len(), 1);
}

proptest! {
    #[test]
    fn no_lines_make_it_panic(lines in prop::collection::vec(
        prop_oneof![
            "#EXT-X-(KEY|MAP|BYTERANGE|MEDIA|STREAM-INF|MEDIA-SEQUENCE|TARGETDURATION):[A-Z=,\"@x0-9-]{0,40}",
            "#EXTINF:[0-9.,e-]{0,12}", "#EXT-X-(DISCONTINUITY|GAP|ENDLIST)", "[a-z./?]{1,12}",
        ], 0..40)) {
        let text = format!("#EXTM3U\n{}", lines.join("\n"));
        if let Ok(Playlist::Media(media)) = Playlist::parse(text.as_bytes()) {
            for (segment, ahead) in media.segments.iter().zip(0..) {
                prop_assert_eq!(segment.sequence, media.sequence + ahead);
            }
        }
    }
}
