//! A client of server-sent events, over a plain socket: what it does not read stays with the server.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A connection that follows a journal, or whatever else.
pub struct Events {
    lines: BufReader<TcpStream>,
}

/// An event, or a comment.
#[derive(Debug, Default, PartialEq)]
pub struct Event {
    pub id: Option<u64>,
    pub name: String,
    pub data: Value,
    pub comment: String,
}

impl Events {
    /// Asks, and reads up to the comment that every answer begins with.
    pub fn open(server: SocketAddr, key: &str, id: &Value, headers: &str) -> Self {
        let mut events = Self::ask(server, key, id, headers);
        let (status, head) = events.head();
        assert_eq!(status, 200, "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        assert!(events.next().unwrap().comment.starts_with(" journal from "));
        events
    }

    /// Asks for the journal of stream `id`, with more headers, each with its line break.
    pub fn ask(server: SocketAddr, key: &str, id: &Value, headers: &str) -> Self {
        let headers = format!("Authorization: APIKey {key}\r\n{headers}");
        Self::ask_for(server, &format!("/ops/streams/{id}/journal"), &headers)
    }

    /// Asks for any events, and reads up to the first comment.
    #[allow(dead_code)] // Not every test crate follows more than journals.
    pub fn follow(server: SocketAddr, path: &str, headers: &str) -> Self {
        let mut events = Self::ask_for(server, path, headers);
        let (status, head) = events.head();
        assert_eq!(status, 200, "{head}");
        assert_eq!(events.next().unwrap().comment, " follows");
        events
    }

    fn ask_for(server: SocketAddr, path: &str, headers: &str) -> Self {
        let mut socket = TcpStream::connect(server).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n{headers}\r\n").unwrap();
        Self { lines: BufReader::new(socket) }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).unwrap();
        (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Status, and the header in lower case.
    pub fn head(&mut self) -> (u16, String) {
        let mut head = vec![];
        while let Some(line) = self.line().filter(|line| !line.is_empty()) {
            head.push(line.to_ascii_lowercase());
        }
        (head[0].split(' ').nth(1).unwrap().parse().unwrap(), head.join("\n"))
    }

    /// The next event or comment; `None` at the end. Lines that are lengths of HTTP chunks belong to neither.
    pub fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some(("", comment)) => event.comment = comment.to_owned(),
                Some(("id", id)) => event.id = Some(id.trim().parse().unwrap()),
                Some(("event", name)) => event.name = name.trim().to_owned(),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                _ if line == "0" => return None,
                _ if line.is_empty() && event != Event::default() => return Some(event),
                _ => {}
            }
        }
    }

    /// The ids of the next events.
    pub fn entries(&mut self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.next().unwrap().id.unwrap()).collect()
    }
}
