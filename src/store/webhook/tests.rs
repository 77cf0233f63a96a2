use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::store::testing;

const FIRST: &str = "whsec_canaryfirstcanaryfirstcanaryfi";
const SECOND: &str = "whsec_canarysecondcanarysecondcanary";
const URL: &str = "https://user:canary-password@h.example/hook";

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

#[tokio::test]
async fn a_webhook_comes_back_as_it_was_and_stands_in_no_file() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    let id = store.add_webhook(&secret(URL), &secret(FIRST), true).await.unwrap().unwrap();
    let until = UNIX_EPOCH + Duration::from_secs(1_000);
    store.rotate_webhook(id, &secret(SECOND), until).await.unwrap();
    store.close().await;
    for file in std::fs::read_dir(&dir).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
    }
    let store = Store::open(&dir).await.unwrap();
    let webhook = store.webhook(id).await.unwrap().unwrap();
    assert_eq!((webhook.url.expose(), webhook.secret.expose()), (URL, SECOND));
    assert_eq!(webhook.old_secret, Some((secret(FIRST), until)));
    assert!(!format!("{webhook:?}").contains("canary"));
    let edit =
        WebhookEdit { url: Some(secret("https://other")), enabled: Some(false), disabled_reason: Some("gone".into()) };
    store.edit_webhook(id, &edit).await.unwrap();
    let off = store.webhook(id).await.unwrap().unwrap();
    assert_eq!((off.url.expose(), off.enabled, off.disabled_reason.as_deref()), ("https://other", false, Some("gone")));
    store.edit_webhook(id, &WebhookEdit { enabled: Some(true), ..WebhookEdit::default() }).await.unwrap();
    assert_eq!(store.webhook(id).await.unwrap().unwrap().disabled_reason, None);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn no_more_are_kept_than_may() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    for _ in 0..MOST {
        assert!(store.add_webhook(&secret(URL), &secret(FIRST), true).await.unwrap().is_some());
    }
    assert_eq!(store.add_webhook(&secret(URL), &secret(FIRST), true).await.unwrap(), None);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn configured_webhooks_follow_the_configuration_and_others_stay() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    let own = store.add_webhook(&secret("https://a"), &secret(FIRST), true).await.unwrap().unwrap();
    let until = UNIX_EPOCH + Duration::from_secs(9);
    let configured = |url: &str, key: &str| (secret(url), secret(key));
    store.sync_webhooks(&[configured("https://a", FIRST), configured("https://b", FIRST)], until).await.unwrap();
    let first = store.webhooks().await.unwrap();
    assert_eq!(first.iter().map(|webhook| webhook.configured).collect::<Vec<_>>(), [false, true, true]);
    store.sync_webhooks(&[configured("https://b", SECOND), configured("https://c", FIRST)], until).await.unwrap();
    let second = store.webhooks().await.unwrap();
    let urls: Vec<_> = second.iter().map(|webhook| (webhook.id, webhook.url.expose())).collect();
    assert_eq!(urls, [(own, "https://a"), (first[2].id, "https://b"), (first[2].id + 1, "https://c")]);
    assert_eq!(second[1].secret.expose(), SECOND);
    assert_eq!(second[1].old_secret, Some((secret(FIRST), until)));
    store.sync_webhooks(&[], until).await.unwrap();
    assert_eq!(store.webhooks().await.unwrap().len(), 1);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn webhooks_are_gone_with_a_lost_key() {
    let dir = testing::dir();
    let store = Store::open(&dir).await.unwrap();
    store.add_webhook(&secret(URL), &secret(FIRST), true).await.unwrap().unwrap();
    store.close().await;
    std::fs::remove_file(dir.join("token.key")).unwrap();
    Store::reset_secrets(&dir, None).await.unwrap();
    assert!(Store::open(&dir).await.unwrap().webhooks().await.unwrap().is_empty());
    std::fs::remove_dir_all(dir).unwrap();
}
