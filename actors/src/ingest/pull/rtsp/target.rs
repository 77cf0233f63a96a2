//! What retina is told to ask for, and as whom.

use std::net::SocketAddr;

use retina::client::Credentials;
use url::Url;

use super::PullError;

/// The source's URL at another address, without the credentials in it, and those.
pub(super) fn of(source: &Url, address: SocketAddr) -> Result<(Url, Option<Credentials>), PullError> {
    let credentials = (!source.username().is_empty() || source.password().is_some()).then(|| Credentials {
        username: decoded(source.username()),
        password: decoded(source.password().unwrap_or_default()),
    });
    let mut url = source.clone();
    let moved = url
        .set_username("")
        .and_then(|()| url.set_password(None))
        .and_then(|()| url.set_ip_host(address.ip()))
        .and_then(|()| url.set_port(Some(address.port())));
    match moved {
        Ok(()) => Ok((url, credentials)),
        Err(()) => Err(PullError::Refused("no address that RTSP can be asked at".to_owned())),
    }
}

/// Text of a URL without its percent signs. What they do not turn into characters is left out.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, behind)) = rest.split_first() {
        let escaped = behind.first_chunk().filter(|_| byte == b'%').and_then(hex);
        bytes.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digits: &[u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? << 4 | low?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> (String, Option<(String, String)>) {
        let (url, credentials) = of(&Url::parse(url).unwrap(), "127.0.0.1:9".parse().unwrap()).unwrap();
        (url.into(), credentials.map(|credentials| (credentials.username, credentials.password)))
    }

    #[test]
    fn path_and_query_stay_and_host_and_credentials_go() {
        assert_eq!(target("rtsp://cam.example.com/live?id=7"), ("rtsp://127.0.0.1:9/live?id=7".to_owned(), None));
        assert_eq!(target("rtsp://[2606:4700::1]:8554/"), ("rtsp://127.0.0.1:9/".to_owned(), None));
        let (url, credentials) = target("rtsp://admin:p%40ss%2Bw+%zz@cam.example.com:554/live");
        assert_eq!(url, "rtsp://127.0.0.1:9/live");
        assert_eq!(credentials, Some(("admin".to_owned(), "p@ss+w+%zz".to_owned())));
        assert_eq!(target("rtsp://:only@h/").1, Some((String::new(), "only".to_owned())));
    }
}
