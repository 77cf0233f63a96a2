//! Keeps a door's certificate current: looks at its files, and presents what they hold once it can be used.
//!
//! A pair that cannot be used, or does not hold while the present one does, changes nothing but the log. So does a certificate that comes
//! to its end: the log says it a fortnight before, once a day.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use humantime_serde::re::humantime;
use tokio::time::Instant;
use weir_actors::clock;
use weir_policy::reload::Reload;

use super::certificate::Certificate;
use super::files::{Files, Pair, PairError, Stamp, Validity};

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two complaints about a certificate that comes to its end.
const REMIND_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// A door's pair while the server runs.
pub struct Watch {
    door: &'static str,
    files: Files,
    reload: Reload<Stamp>,
    current: Pair,
    certificate: Arc<Certificate>,
    reminded: Option<Instant>,
}

impl Watch {
    /// Reads a door's files for the first time. `door` is the section of its configuration keys.
    pub fn open(door: &'static str, files: Files) -> Result<Self, PairError> {
        // Before they are read: what changes meanwhile is read again.
        let reload = Reload::new(files.stamp());
        let current = files.read()?;
        let certificate = Arc::new(Certificate::new(Arc::clone(&current.certified)));
        Ok(Self { door, files, reload, current, certificate, reminded: None })
    }

    /// What handshakes are to present.
    pub fn certificate(&self) -> Arc<Certificate> {
        Arc::clone(&self.certificate)
    }

    /// Watches for as long as the server runs.
    pub async fn run(mut self) {
        self.warn_of_permissions();
        loop {
            self.remind();
            tokio::time::sleep(LOOK_EVERY).await;
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let files = self.files.clone();
        // A file system that hangs holds up this watch, and nobody else.
        let Ok(stamp) = tokio::task::spawn_blocking(move || files.stamp()).await else { return };
        if !self.reload.look(stamp, clock::now()) {
            return;
        }
        let files = self.files.clone();
        let Ok(read) = tokio::task::spawn_blocking(move || files.read()).await else { return };
        match read {
            Ok(pair) if !pair.holds(clock::wall()) && self.current.holds(clock::wall()) => {
                self.refuse(&pair.validity(clock::wall()).to_string());
            }
            Ok(pair) => self.take(pair),
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    fn take(&mut self, pair: Pair) {
        self.certificate.replace(Arc::clone(&pair.certified));
        self.reload.taken();
        self.current = pair;
        self.reminded = None;
        tracing::info!(door = self.door, valid_until = %self.until(), "certificate reloaded");
        self.warn_of_permissions();
    }

    fn refuse(&mut self, why: &str) {
        if self.reload.failed(clock::now()) {
            let (door, until) = (self.door, self.until());
            tracing::error!(
                door,
                why,
                valid_until = %until,
                "new certificate cannot be used; the present one stays, and the files are tried again"
            );
        }
    }

    fn until(&self) -> impl fmt::Display {
        humantime::format_rfc3339_seconds(self.current.not_after)
    }

    fn warn_of_permissions(&self) {
        if self.current.exposed {
            let path = self.files.key.display();
            tracing::warn!("{}.key: {path} can be read by others than its owner", self.door);
        }
    }

    fn remind(&mut self) {
        let now = Instant::now();
        let due = self.reminded.is_none_or(|last| now >= last + REMIND_EVERY);
        let validity = self.current.validity(clock::wall());
        if !due || validity == Validity::Fine {
            return;
        }
        self.reminded = Some(now);
        let (cert, until) = (self.files.cert.display(), self.until());
        if self.current.holds(clock::wall()) {
            tracing::warn!(valid_until = %until, "{}.cert: {cert}: {validity}", self.door);
        } else {
            tracing::error!(valid_until = %until, "{}.cert: {cert}: {validity}; clients that verify it refuse to connect", self.door);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};
    use std::time::SystemTime;

    use super::*;
    use crate::tls::self_signed;

    fn make(dir: &Path, now: SystemTime) -> Files {
        self_signed::write(dir, &["localhost".to_owned()], now).unwrap()
    }

    /// What the next handshake presents, as its certificate's bytes.
    fn presented(watch: &Watch) -> Vec<u8> {
        watch.certificate.current().end_entity_cert().unwrap().to_vec()
    }

    fn held(files: &Files) -> Vec<u8> {
        files.read().unwrap().certified.end_entity_cert().unwrap().to_vec()
    }

    async fn settle(watch: &mut Watch) {
        watch.look().await;
        watch.look().await;
    }

    struct Scene {
        dir: PathBuf,
        files: Files,
        watch: Watch,
    }

    /// A watch over files that stand in `dir/now`, a link to `dir/first`.
    fn scene() -> Scene {
        let dir = crate::store::testing::dir();
        make(&dir.join("first"), SystemTime::now());
        symlink("first", dir.join("now")).unwrap();
        let files = Files { cert: dir.join("now/cert.pem"), key: dir.join("now/key.pem") };
        let watch = Watch::open("https", files.clone()).unwrap();
        Scene { dir, files, watch }
    }

    #[tokio::test]
    async fn a_link_that_is_set_anew_is_followed() {
        let Scene { dir, files, mut watch } = scene();
        let before = presented(&watch);
        make(&dir.join("second"), SystemTime::now());
        settle(&mut watch).await;
        assert_eq!(presented(&watch), before);
        symlink("second", dir.join("new")).unwrap();
        std::fs::rename(dir.join("new"), dir.join("now")).unwrap();
        settle(&mut watch).await;
        assert!(presented(&watch) == held(&files) && presented(&watch) != before);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn files_that_are_renamed_one_after_the_other_are_taken_together() {
        let Scene { dir, files, mut watch } = scene();
        let before = presented(&watch);
        let next = make(&dir.join("second"), SystemTime::now());
        std::fs::rename(&next.cert, &files.cert).unwrap();
        settle(&mut watch).await;
        assert_eq!(presented(&watch), before, "of two pairs, one half each");
        std::fs::rename(&next.key, &files.key).unwrap();
        settle(&mut watch).await;
        assert!(presented(&watch) == held(&files) && presented(&watch) != before);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_used_leaves_the_present_certificate() {
        let Scene { dir, files, mut watch } = scene();
        let before = presented(&watch);
        let expired = make(&dir.join("expired"), SystemTime::now() - self_signed::LIFETIME * 2);
        let wrong: [&dyn Fn(); 4] = [
            &|| std::fs::remove_file(&files.cert).unwrap(),
            &|| std::fs::write(&files.cert, "").unwrap(),
            &|| std::fs::write(&files.cert, "nonsense").unwrap(),
            &|| {
                std::fs::copy(&expired.cert, &files.cert).unwrap();
                std::fs::copy(&expired.key, &files.key).unwrap();
            },
        ];
        for spoil in wrong {
            spoil();
            settle(&mut watch).await;
            assert_eq!(presented(&watch), before);
        }
        let next = make(&dir.join("next"), SystemTime::now());
        std::fs::rename(&next.cert, &files.cert).unwrap();
        std::fs::rename(&next.key, &files.key).unwrap();
        settle(&mut watch).await;
        assert_ne!(presented(&watch), before);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn an_expired_certificate_is_replaced_by_any_that_can_be_used() {
        let dir = crate::store::testing::dir();
        let long_ago = SystemTime::now() - self_signed::LIFETIME * 3;
        let files = make(&dir, long_ago);
        let mut watch = Watch::open("rtmps", files.clone()).unwrap();
        let next = make(&dir.join("next"), long_ago + self_signed::LIFETIME);
        std::fs::rename(&next.cert, &files.cert).unwrap();
        std::fs::rename(&next.key, &files.key).unwrap();
        settle(&mut watch).await;
        assert_eq!(presented(&watch), held(&files));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
