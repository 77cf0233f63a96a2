//! The store as a whole, over real files.

use std::os::unix::fs::MetadataExt;

use sqlx::migrate::Migrator;
use weir_media::failover::{Mode, Standby};
use weir_media::id::StreamId;
use weir_media::package::Numbers;

use super::*;

fn named(name: &str) -> StreamFields {
    StreamFields { name: name.into(), ..StreamFields::default() }
}

#[tokio::test]
async fn a_stream_comes_back_as_it_was_written_after_a_restart() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    let fields = StreamFields {
        active: true,
        uri: Some("srt://a srt://b".into()),
        record_type: RecordType::Transcoded,
        projection: Projection::Vr360tb,
        quality_set_id: Some(2),
        client_entity_data: Some("x".into()),
        broadcast_ids: Ids(vec![3, 4]),
        ..named("a")
    };
    let made = store.create(&fields).await.unwrap();
    store.close().await;
    let read = Store::open(&dir).await.unwrap().stream(made.id).await.unwrap().unwrap();
    assert_eq!(read.fields, fields);
    assert_eq!((read.token.expose(), read.token_digest), (made.token.expose(), made.token_digest));
    assert_eq!(made.token.expose().len(), 32, "128 bits");
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_failover_choice_survives_a_restart_and_a_refused_one_changes_nothing() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    let made = store.create(&named("a")).await.unwrap();
    assert_eq!(made.failover, FailoverSettings::default());
    let choice = FailoverSettings { mode: Some(Mode::Hitless), delay_ms: Some(3500), ..FailoverSettings::default() };
    let choose = |failover: &mut FailoverSettings| {
        *failover = choice;
        Ok::<_, ()>(())
    };
    let edited = store.edit_failover(made.id, choose).await.unwrap();
    assert_eq!(edited.unwrap().unwrap().failover, choice);
    let refuse = |failover: &mut FailoverSettings| {
        failover.standby = Some(Standby::Warm);
        Err("no")
    };
    assert_eq!(store.edit_failover(made.id, refuse).await.unwrap().unwrap().unwrap_err(), "no");
    assert!(store.edit_failover(StreamId(99), |_| Ok::<_, ()>(())).await.unwrap().is_none());
    // An edit of what clients write leaves the operator's choice alone.
    let switch_on = |fields: &mut StreamFields| {
        fields.active = true;
        Ok::<_, ()>(())
    };
    store.edit(made.id, switch_on).await.unwrap().unwrap().unwrap();
    store.close().await;
    let read = Store::open(&dir).await.unwrap().stream(made.id).await.unwrap().unwrap();
    assert_eq!((read.failover, read.fields.active), (choice, true));
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_database_of_every_earlier_schema_opens_and_keeps_its_streams() {
    let all = sqlx::migrate!();
    // Later ones have no column for a plain token any more.
    let newest_plain = 3;
    for version in 1..=newest_plain {
        let dir = testing::dir();
        let options = SqliteConnectOptions::new().filename(private_file(&dir).unwrap());
        let mut old = SqliteConnection::connect_with(&options).await.unwrap();
        let until = all.iter().filter(|migration| migration.version <= version).cloned().collect();
        Migrator::with_migrations(until).run(&mut old).await.unwrap();
        let insert = "INSERT INTO streams (name, active, pull, auto_record, record_type, dvr_enabled, dvr_duration, hls_mpegts_endlist_tag, \
             html_overlay, broadcast_ids, projection, token, created_at, next_sequence) \
             VALUES ('kept', 1, 0, 0, 'origin', 0, 3600, 1, 0, '[3]', 'regular', 'secret', 1696118461007, 77)";
        sqlx::query(insert).execute(&mut old).await.unwrap();
        old.close().await.unwrap();

        let store = Store::open(&dir).await.unwrap();
        let stream = store.stream(StreamId(1)).await.unwrap().unwrap();
        assert_eq!((stream.fields.name.as_str(), stream.fields.active), ("kept", true), "from version {version}");
        assert_eq!(stream.token.expose(), "secret");
        assert_eq!(stream.token_digest, store.digest_key().digest(stream.id, &stream.token));
        assert_eq!((stream.fields.broadcast_ids, stream.failover), (Ids(vec![3]), FailoverSettings::default()));
        assert_eq!(store.numbers(StreamId(1)).await.unwrap().next_sequence, 77);
        store.close().await;
        std::fs::remove_dir_all(dir).unwrap();
    }
}

/// What of these stands in the files of the directory, other than the key's.
fn found(dir: &Path, canaries: &[&str]) -> Vec<String> {
    let mut found = vec![];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let holds = |text: &&&str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        found.extend(canaries.iter().filter(holds).map(|text| format!("{text} in {}", path.display())));
    }
    found
}

const CANARIES: [&str; 3] = ["canary-token", "canary-passphrase", "rtmp://user:canary@example.org/live"];

#[tokio::test]
async fn secrets_of_an_older_database_are_sealed_and_nothing_of_them_is_left_in_its_files() {
    let (dir, killed) = (testing::dir(), testing::dir());
    let all = sqlx::migrate!();
    let options = SqliteConnectOptions::new().filename(private_file(&dir).unwrap());
    let mut old = SqliteConnection::connect_with(&options.journal_mode(SqliteJournalMode::Wal)).await.unwrap();
    let until = all.iter().filter(|migration| migration.version <= 2).cloned().collect();
    Migrator::with_migrations(until).run(&mut old).await.unwrap();
    let insert = |id: u32| {
        sqlx::query(
            "INSERT INTO streams (id, name, active, pull, uri, srt_passphrase, auto_record, record_type, dvr_enabled, dvr_duration, \
             hls_mpegts_endlist_tag, html_overlay, broadcast_ids, projection, token, created_at) \
             VALUES (?, 'kept', 1, 0, ?, ?, 0, 'origin', 0, 3600, 1, 0, '[]', 'regular', ?, 0)",
        )
        .bind(id)
        .bind(CANARIES[2])
        .bind(CANARIES[1])
        .bind(CANARIES[0])
    };
    for id in 1..=200 {
        insert(id).execute(&mut old).await.unwrap();
    }
    // Some of it stands in the file, on free pages too, some in the log.
    sqlx::query("DELETE FROM streams WHERE id > 1").execute(&mut old).await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut old).await.unwrap();
    insert(2).execute(&mut old).await.unwrap();
    // As a server that was killed leaves it.
    std::fs::create_dir(&killed).unwrap();
    for file in [FILE.to_owned(), format!("{FILE}-wal")] {
        std::fs::copy(dir.join(&file), killed.join(&file)).unwrap();
    }
    assert_eq!(found(&killed, &CANARIES).len(), 2 * CANARIES.len());

    let store = Store::open(&killed).await.unwrap();
    assert_eq!(found(&killed, &CANARIES), Vec::<String>::new());
    for stream in store.streams().await.unwrap() {
        assert_eq!(stream.token.expose(), CANARIES[0]);
        assert_eq!(stream.fields.srt_passphrase.as_deref(), Some(CANARIES[1]));
        assert_eq!(stream.fields.uri.as_deref(), Some(CANARIES[2]));
    }
    store.close().await;
    let store = Store::open(&killed).await.unwrap();
    assert_eq!(store.streams().await.unwrap().len(), 2);
    assert_eq!(found(&killed, &CANARIES), Vec::<String>::new());
    for dir in [dir, killed] {
        std::fs::remove_dir_all(dir).unwrap();
    }
}

#[tokio::test]
async fn secrets_never_stand_in_the_files() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    let fields = StreamFields { srt_passphrase: Some(CANARIES[1].into()), uri: Some(CANARIES[2].into()), ..named("a") };
    let made = store.create(&fields).await.unwrap();
    let reset = store.reset_token(made.id).await.unwrap().unwrap();
    assert_ne!((made.token.expose(), made.token_digest), (reset.token.expose(), reset.token_digest));
    assert_eq!(reset.fields, fields);
    let secrets = [made.token.expose(), reset.token.expose(), CANARIES[1], CANARIES[2]];
    assert_eq!(found(&dir, &secrets), Vec::<String>::new());
    let clear = |fields: &mut StreamFields| {
        fields.srt_passphrase = None;
        Ok::<_, ()>(())
    };
    let edited = store.edit(made.id, clear).await.unwrap().unwrap().unwrap();
    assert_eq!(store.stream(made.id).await.unwrap().unwrap().fields, edited.fields);
    store.close().await;
    assert_eq!(found(&dir, &secrets), Vec::<String>::new());
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_lost_key_is_told_and_secrets_can_be_reset() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    let fields = StreamFields { srt_passphrase: Some(CANARIES[1].into()), ..named("a") };
    let made = store.create(&fields).await.unwrap();
    store.close().await;
    std::fs::remove_file(dir.join("token.key")).unwrap();
    let lost = Store::open(&dir).await.unwrap_err();
    assert!(matches!(lost, StoreError::Vault(VaultError::Lost { .. })), "{lost}");
    assert_eq!(Store::reset_secrets(&dir, None).await.unwrap(), 1);
    let store = Store::open(&dir).await.unwrap();
    let reset = store.stream(made.id).await.unwrap().unwrap();
    assert_ne!(reset.token.expose(), made.token.expose());
    assert_eq!(reset.token_digest, store.digest_key().digest(reset.id, &reset.token));
    assert_eq!((reset.fields.name.as_str(), reset.fields.srt_passphrase), ("a", None));
    store.close().await;
    let wrong = Store::open_with(&dir, Some(&Secret::new("ab".repeat(32)))).await.unwrap_err();
    assert!(matches!(wrong, StoreError::Vault(VaultError::Other { .. })), "{wrong}");
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn failover_settings_that_cannot_be_read_cost_one_stream_its_choices_alone() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    let (good, bad) = (store.create(&named("a")).await.unwrap(), store.create(&named("b")).await.unwrap());
    let choice = FailoverSettings { mode: Some(Mode::Hitless), ..FailoverSettings::default() };
    for id in [good.id, bad.id] {
        let choose = |failover: &mut FailoverSettings| {
            *failover = choice;
            Ok::<_, ()>(())
        };
        store.edit_failover(id, choose).await.unwrap().unwrap().unwrap();
    }
    for damage in ["", "{\"mode\":", "{\"mode\":\"sideways\"}", "7"] {
        let write = sqlx::query("UPDATE streams SET failover = ? WHERE id = ?").bind(damage).bind(bad.id.0 as i64);
        write.execute(&store.pool).await.unwrap();
        let kept: Vec<_> = store.page(0, 10).await.unwrap().into_iter().map(|stream| stream.failover).collect();
        assert_eq!(kept, [choice, FailoverSettings::default()], "{damage:?}");
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn an_id_is_never_given_again() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    let first = store.create(&named("a")).await.unwrap().id;
    assert!(store.delete(first).await.unwrap());
    assert!(!store.delete(first).await.unwrap());
    assert!(store.create(&named("b")).await.unwrap().id > first);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn concurrent_edits_of_different_fields_lose_nothing() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    let id = store.create(&named("0")).await.unwrap().id;
    let edits = (0..50).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let edit = |fields: &mut StreamFields| {
                fields.name = (fields.name.parse::<u32>().unwrap() + 1).to_string();
                Ok::<_, ()>(())
            };
            store.edit(id, edit).await.unwrap().unwrap().unwrap();
        })
    });
    for edit in edits.collect::<Vec<_>>() {
        edit.await.unwrap();
    }
    assert_eq!(store.stream(id).await.unwrap().unwrap().fields.name, "50");
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn the_limit_of_active_streams_holds_under_concurrent_writes() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap().with_max_active(3);
    let off = store.create(&named("off")).await.unwrap().id;
    let creates = (0..20).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.create(&StreamFields { active: true, ..named("a") }).await })
    });
    let edit = store.edit(off, |fields| {
        fields.active = true;
        Ok::<_, ()>(())
    });
    let mut on = usize::from(edit.await.is_ok());
    for create in creates.collect::<Vec<_>>() {
        match create.await.unwrap() {
            Ok(_) => on += 1,
            Err(error) => assert!(matches!(error, StoreError::MaxActive(3)), "{error}"),
        }
    }
    assert_eq!(on, 3);
    let active = store.streams().await.unwrap().into_iter().find(|stream| stream.fields.active).unwrap().id;
    let rename = |fields: &mut StreamFields| {
        fields.name = "b".into();
        Ok::<_, ()>(())
    };
    assert!(store.edit(active, rename).await.is_ok(), "it is on already");
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn numbers_never_go_back() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    let id = store.create(&named("a")).await.unwrap().id;
    let of = |next_sequence, discontinuity_sequence| Numbers { next_sequence, discontinuity_sequence };
    store.save_numbers(id, of(10, 2)).await.unwrap();
    store.save_numbers(id, of(4, 3)).await.unwrap();
    assert_eq!(store.numbers(id).await.unwrap(), of(10, 3));
    assert_eq!(store.numbers(StreamId(99)).await.unwrap(), Numbers::default());
    std::fs::remove_dir_all(dir).unwrap();
}

/// Bounds the file's size on every connection: SQLite then fails as on a full disk.
async fn bound_pages(store: &Store, pages: u32) {
    let mut connections = vec![];
    for _ in 0..CONNECTIONS {
        let mut connection = store.pool.acquire().await.unwrap();
        let pragma = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::query(pragma).fetch_one(&mut *connection).await.unwrap();
        connections.push(connection);
    }
}

#[tokio::test]
async fn writes_work_again_once_a_full_disk_has_room() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    let id = store.create(&named("a")).await.unwrap().id;
    let long = |fields: &mut StreamFields| {
        fields.client_entity_data = Some("x".repeat(100_000));
        Ok::<_, ()>(())
    };
    for _ in 0..2 * CONNECTIONS {
        bound_pages(&store, 1).await;
        let refused = store.edit(id, long).await.unwrap_err();
        assert!(refused.is_disk_full(), "{refused}");
    }
    bound_pages(&store, 1_000_000).await;
    for _ in 0..2 * CONNECTIONS {
        store.edit(id, long).await.unwrap().unwrap().unwrap();
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn the_shared_memory_outlives_every_connection_of_the_pool() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    let mut connections = vec![];
    for _ in 0..CONNECTIONS {
        connections.push(store.pool.acquire().await.unwrap());
    }
    for connection in connections {
        connection.close().await.unwrap();
    }
    let there = |suffix: &str| dir.join(format!("{FILE}{suffix}")).exists();
    assert!(there("-shm") && there("-wal"));
    store.close().await;
    assert!(!there("-shm") && !there("-wal"));
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn other_users_cannot_read_the_data() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    store.create(&named("a")).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for entry in std::fs::read_dir(&dir).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_directory_that_stands_already_keeps_its_mode() {
    let dir = testing::dir();
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o1777)).unwrap();
    Store::open(&dir).await.unwrap();
    assert_eq!(std::fs::metadata(&dir).unwrap().mode() & 0o7777, 0o1777);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn the_default_quality_set_can_be_chosen_and_unchosen() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    assert_eq!(store.default_quality_set().await.unwrap(), None);
    store.set_default_quality_set(Some(2)).await.unwrap();
    store.set_default_quality_set(Some(3)).await.unwrap();
    assert_eq!(store.default_quality_set().await.unwrap(), Some(3));
    store.set_default_quality_set(None).await.unwrap();
    assert_eq!(store.default_quality_set().await.unwrap(), None);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn listing_never_returns_an_id_sqlite_cannot_hold() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    assert!(store.stream(StreamId(u64::MAX)).await.unwrap().is_none());
    assert!(store.page(u64::MAX, 25).await.unwrap().is_empty());
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_full_disk_is_known_as_such_and_answers_507() {
    use actix_web::ResponseError;

    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    let mut connections = vec![];
    for _ in 0..CONNECTIONS {
        connections.push(store.pool.acquire().await.unwrap());
    }
    for connection in &mut connections {
        // Less than there is means: as it is.
        sqlx::query("PRAGMA max_page_count = 1").execute(&mut **connection).await.unwrap();
    }
    drop(connections);
    let large = StreamFields { client_entity_data: Some("x".repeat(4096)), ..named("a") };
    let error = store.create(&large).await.unwrap_err();
    assert!(error.is_disk_full(), "{error:?}");
    let answer = crate::http::error::ApiError::from(error);
    assert_eq!(answer.status_code().as_u16(), 507);
    assert!(answer.to_string().contains("disk"), "{answer}");
    assert!(store.streams().await.unwrap().is_empty());
    std::fs::remove_dir_all(dir).unwrap();
}
