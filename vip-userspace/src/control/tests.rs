//! What the control socket does with those who ask badly, slowly, or do not listen: they are refused or cut off, and nobody
//! else waits for them.

use std::{future::Future, path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{
    Answer, Code, Command, Desk, Herald, Limits, Query, Refused, Request, Wanted,
    client::Client,
    protocol::{ErrorBody, News, Rules},
    server,
};
use crate::model::Others;

/// Longer than anything here may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// A server whose controller knows only what it runs, and does whatever it is asked for.
struct Stage {
    socket: PathBuf,
    herald: Herald,
    controller: JoinHandle<Vec<Command>>,
    _rules: watch::Sender<Rules>,
    _directory: tempfile::TempDir,
}

impl Stage {
    fn new(limits: Limits) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("vip.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let (requests, mut asked) = mpsc::channel::<Request>(4);
        let (herald, events) = Herald::new();
        let rules = Rules { owner: 0, group: 0, group_name: "root".to_owned(), others: Others::None };
        let (rules, watched) = watch::channel(rules);
        tokio::spawn(server::serve(listener, Desk::new(requests, events, watched, limits)));
        let controller = tokio::spawn(async move {
            let mut done = Vec::new();
            while let Some(request) = asked.recv().await {
                let ends = request.what == Wanted::Command(Command::Detach);
                let answer = match request.what {
                    Wanted::Query(Query::Config) => Answer::Config("as it was".to_owned()),
                    Wanted::Query(_) => Answer::Drain(Vec::new()),
                    Wanted::Trace(_) | Wanted::EndTrace => Answer::Done,
                    Wanted::Command(command) => {
                        done.push(command);
                        Answer::Done
                    }
                };
                let _ = request.answer.send(Ok(answer));
                if ends {
                    break;
                }
            }
            done
        });
        Self { socket, herald, controller, _rules: rules, _directory: directory }
    }

    /// A connection; the kernel refuses one while too many wait to be accepted.
    async fn connect(&self) -> UnixStream {
        let connect = async {
            loop {
                match UnixStream::connect(&self.socket).await {
                    Ok(stream) => return stream,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        within(connect).await
    }

    async fn send(&self, text: &str) -> UnixStream {
        let mut stream = self.connect().await;
        within(stream.write_all(text.as_bytes())).await.expect("it is taken");
        stream
    }

    /// Sends a request, and returns the status and the body of the answer.
    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let text = format!("{method} {path} HTTP/1.1\r\nhost: vip\r\ncontent-length: {length}\r\n\r\n{body}");
        let mut stream = self.send(&text).await;
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head[9..12].parse().expect("a status"), body.to_owned())
    }

    async fn refusal(&self, method: &str, path: &str, body: &str) -> (u16, Refused) {
        let (status, body) = self.ask(method, path, body).await;
        let ErrorBody { error } = serde_json::from_str(&body).expect(&body);
        (status, error)
    }

    /// Expects that the controller is answered for at once, and has done just that many commands.
    async fn assert_works(self, commands: usize) {
        let config = within(Client::new(&self.socket).config()).await;
        assert_eq!(config.as_deref(), Ok("as it was"));
        within(Client::new(&self.socket).command(&Command::Detach)).await.expect("it ends");
        assert_eq!(within(self.controller).await.expect("it ended").len(), commands + 1);
    }

    /// Follows the changes, and returns once it does.
    async fn follow(&self) -> UnixStream {
        let mut stream = self.send("GET /v1/events HTTP/1.1\r\nhost: vip\r\n\r\n").await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(stream.read_u8()).await.expect("a head"));
        }
        assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
        stream
    }

    fn tell(&self, count: usize) {
        for number in 0..count {
            self.herald
                .tell(News::Link { interface: "eth0".to_owned(), up: true }, format!("change {number}"));
        }
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("it takes too long")
}

#[tokio::test]
async fn what_is_no_request_of_the_wanted_shape_is_refused() {
    let stage = Stage::new(Limits::default());
    for (body, says) in [
        ("", "EOF"),
        ("{", "EOF"),
        (r#"{"admin":"enabled"} {}"#, "trailing characters"),
        ("null", "invalid type: null"),
        ("[\"enabled\"]", "no JSON object"),
        ("\"enabled\"", "no JSON object"),
        (r#"{"admin":"enabled","color":"red"}"#, "unknown field `color`"),
        (r#"{"admin":7}"#, "line 1"),
        (r#"{"admin":"open"}"#, "unknown variant `open`"),
        (r#"{"admin":"draining","timeout":5}"#, "expected a string"),
        (r#"{"admin":"draining","timeout":"5 minutes"}"#, "no duration"),
        (r#"{"admin":"enabled","service":"a b"}"#, "no name"),
        (r#"{"admin":"enabled","admin":"enabled"}"#, "duplicate field"),
        ("{\"admin\":\"\u{0}\"}", "line 1"),
    ] {
        let (status, refused) = stage.refusal("PUT", "/v1/backends/b1/admin", body).await;
        assert_eq!((status, refused.code), (400, Code::BadRequest), "{body}");
        assert!(refused.message.contains(says), "{body}: {refused}");
    }
    for (method, path, status, code) in [
        ("GET", "/v1/nothing", 404, Code::NoSuchPath),
        ("GET", "/", 404, Code::NoSuchPath),
        ("GET", "/v2/config", 404, Code::NoSuchPath),
        ("DELETE", "/v1/config", 405, Code::MethodNotAllowed),
        ("GET", "/v1/config?all=1", 400, Code::BadRequest),
        ("DELETE", "/v1/backends/b1?service=a&service=b", 400, Code::BadRequest),
        ("DELETE", "/v1/backends/b1?service=a%20b", 400, Code::BadRequest),
        ("DELETE", "/v1/backends/a%2Fb", 400, Code::BadRequest),
        ("DELETE", "/v1/backends/", 400, Code::BadRequest),
        ("DELETE", "/v1/backends/%ff", 400, Code::BadRequest),
    ] {
        let (got, refused) = stage.refusal(method, path, "").await;
        assert_eq!((got, refused.code), (status, code), "{method} {path}: {refused}");
    }
    let (status, _) = stage.ask("PUT", "/v1/backends/b1/admin", r#" {"admin":"enabled"} "#).await;
    assert_eq!(status, 200);
    let (status, _) = stage.ask("PUT", "/v1/backends/b1/weight", r#"{"weight":5.0}"#).await;
    assert_eq!(status, 200, "a whole number is one, however it is written");
    let (status, refused) = stage.refusal("PUT", "/v1/backends/b1/weight", r#"{"weight":5.5}"#).await;
    assert_eq!(status, 400, "{refused}");
    stage.assert_works(2).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_its_sender_sees_why() {
    let stage = Stage::new(Limits::default());
    for length in [65 * 1024, 4 * 1024 * 1024] {
        let (status, refused) = stage.refusal("POST", "/v1/services", &" ".repeat(length)).await;
        assert_eq!((status, refused.code), (413, Code::TooLong));
    }
    stage.assert_works(0).await;
}

#[tokio::test]
async fn who_does_not_finish_asking_is_cut_off() {
    let soon = Duration::from_millis(100);
    let stage = Stage::new(Limits { head: soon, body: soon, ..Limits::default() });
    let mut half = stage.send("GET /v1/config HT").await;
    let mut answer = Vec::new();
    within(half.read_to_end(&mut answer)).await.expect("an end");
    let mut half = stage.send("POST /v1/reload HTTP/1.1\r\nhost: vip\r\ncontent-length: 9\r\n\r\n{").await;
    let mut answer = String::new();
    within(half.read_to_string(&mut answer)).await.expect("an answer");
    assert!(answer.contains("the body did not arrive in"), "{answer}");
    stage.assert_works(0).await;
}

#[tokio::test]
async fn a_thousand_half_open_connections_keep_nobody_waiting() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).expect("room for descriptors");
    let stage = Stage::new(Limits::default());
    let mut half_open = Vec::new();
    for number in 0..1000 {
        let mut stream = stage.connect().await;
        if number % 2 == 0 {
            // Those that have been cut off already can't be written to.
            let _ = stream.write_all(b"GET /v1/sta").await;
        }
        half_open.push(stream);
    }
    stage.assert_works(0).await;
}

#[tokio::test]
async fn who_follows_hears_of_each_change_in_order() {
    let stage = Stage::new(Limits::default());
    let mut follower = stage.follow().await;
    stage.tell(3);
    stage.assert_works(0).await;
    let mut text = String::new();
    within(follower.read_to_string(&mut text)).await.expect("the end");
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(lines.len(), 3, "{text}");
    for (number, line) in lines.iter().enumerate() {
        assert!(line.contains(&format!("\"change {number}\"")), "{line}");
    }
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_what_it_missed_and_cut_off() {
    let stage = Stage::new(Limits { write: DEADLINE, ..Limits::default() });
    let mut follower = stage.follow().await;
    for _ in 0..200 {
        stage.tell(100);
        tokio::task::yield_now().await;
    }
    let mut text = String::new();
    within(follower.read_to_string(&mut text)).await.expect("the end");
    let last = text.lines().rfind(|line| line.starts_with('{')).expect("a line");
    assert!(last.contains(r#""event":"lagged","missed":"#), "{last}");
    stage.assert_works(0).await;
}

#[tokio::test]
async fn who_stops_reading_is_cut_off_and_nobody_waits_for_it() {
    let stage = Stage::new(Limits { write: Duration::from_millis(100), followers: 1, ..Limits::default() });
    let mut follower = stage.follow().await;
    let (status, refused) = stage.refusal("GET", "/v1/events", "").await;
    assert_eq!((status, refused.code), (503, Code::TooMany));
    // The place is free again once the one that does not read is gone.
    let next = async {
        loop {
            stage.tell(1000);
            let (status, _) = stage.ask("GET", "/v1/config", "").await;
            assert_eq!(status, 200);
            let mut next = stage.send("GET /v1/events HTTP/1.1\r\nhost: vip\r\n\r\n").await;
            let mut status = [0; 12];
            next.read_exact(&mut status).await.expect("an answer");
            if status.ends_with(b"200") {
                return;
            }
        }
    };
    within(next).await;
    let mut rest = Vec::new();
    let _ = within(follower.read_to_end(&mut rest)).await;
    stage.assert_works(0).await;
}
